package dns

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	miekg "github.com/miekg/dns"
)

// Record types (IANA DNS parameters).
const (
	TypeA     = 1
	TypeNS    = 2
	TypeCNAME = 5
	TypePTR   = 12
	TypeMX    = 15
	TypeTXT   = 16
	TypeAAAA  = 28
	TypeSRV   = 33
	TypeDNAME = 39
	TypeOPT   = 41
	TypeIXFR  = 251
	TypeAXFR  = 252
	TypeSVCB  = 64
	TypeHTTPS = 65
)

// longestData bounds the text of one record's data, in bytes.
const longestData = 512

// Address returns the address of an A or AAAA record.
func (m *Message) Address(r *Record) (netip.Addr, bool) {
	data := m.raw[r.offset : r.offset+r.length]
	if r.Type == TypeA && len(data) == 4 || r.Type == TypeAAAA && len(data) == 16 {
		return netip.AddrFromSlice(data)
	}
	return netip.Addr{}, false
}

// Word returns the data of a record that is an address or a name as AppendData writes it; ok is false for all others. What comes again and again is made once.
func (m *Message) Word(r *Record) (text string, ok bool) {
	if a, ok := m.Address(r); ok {
		data := m.raw[r.offset : r.offset+r.length]
		if text = m.addresses.find(data); text == "" {
			text = m.addresses.add(data, a.AppendTo(m.text[:0]))
		}
		return text, true
	}
	switch r.Type {
	case TypeCNAME, TypeNS, TypePTR, TypeDNAME:
		n, _, err := m.name(r.offset)
		return n.text, err == nil
	}
	return "", false
}

// AppendData appends a record's data in presentation form, at most 512 bytes. Names are in lower case and without the final dot.
func (m *Message) AppendData(b []byte, r *Record) []byte {
	if a, ok := m.Address(r); ok {
		return a.AppendTo(b)
	}
	data := m.raw[r.offset : r.offset+r.length]
	switch r.Type {
	case TypeCNAME, TypeNS, TypePTR, TypeDNAME:
		return m.appendName(b, r.offset)
	case TypeMX:
		if len(data) > 2 {
			b = append(strconv.AppendUint(b, uint64(binary.BigEndian.Uint16(data)), 10), ' ')
			return m.appendName(b, r.offset+2)
		}
	case TypeSRV:
		if len(data) > 6 {
			for i := range 3 {
				b = append(strconv.AppendUint(b, uint64(binary.BigEndian.Uint16(data[2*i:])), 10), ' ')
			}
			return m.appendName(b, r.offset+6)
		}
	case TypeSVCB, TypeHTTPS:
		if s, ok := m.Service(r); ok {
			return s.appendTo(b)
		}
	}
	return append(b, rare(m.raw, r)...)
}

// appendName appends the name that stands in a record's data, "?" when it cannot be read.
func (m *Message) appendName(b []byte, at int) []byte {
	n, _, err := m.name(at)
	if err != nil {
		return append(b, '?')
	}
	return append(b, n.text...)
}

// rare leaves all other types to a library that knows them.
func rare(raw []byte, r *Record) string {
	rr, _, err := miekg.UnpackRR(raw[:r.offset+r.length], r.begin)
	if err != nil {
		return "?"
	}
	text := rr.String()
	if _, data, ok := strings.Cut(text, rr.Header().String()); ok {
		text = data
	}
	return text[:min(len(text), longestData)]
}

// TypeName names a record type: A, AAAA, HTTPS …, TYPE123 for one that IANA's list of this build does not have.
func TypeName(t uint16) string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return typeName(t)
}

// typeNames are the names of nearly all types that are asked for: a list is quicker to look into than a map.
var typeNames = func() (names [256]string) {
	for t := range names {
		names[t] = typeName(uint16(t))
	}
	return names
}()

func typeName(t uint16) string {
	if name, ok := miekg.TypeToString[t]; ok {
		return name
	}
	return "TYPE" + strconv.Itoa(int(t))
}

// RCodeName names a response code: NOERROR, NXDOMAIN …, RCODE123 for unknown ones.
func RCodeName(c uint16) string {
	switch {
	case c == miekg.RcodeSuccess:
		return "NOERROR"
	case c == miekg.RcodeNameError:
		return "NXDOMAIN"
	case c == miekg.RcodeBadVers: // TSIG has another meaning for the number, in a field of its own (RFC 6891 §9)
		return "BADVERS"
	}
	if name, ok := miekg.RcodeToString[int(c)]; ok {
		return name
	}
	return "RCODE" + strconv.Itoa(int(c))
}
