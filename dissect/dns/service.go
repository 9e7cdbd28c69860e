package dns

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// Keys of service parameters (RFC 9460 §14.3.2, RFC 9848).
const (
	keyALPN     = 1
	keyPort     = 3
	keyIPv4Hint = 4
	keyECH      = 5
	keyIPv6Hint = 6
)

// mostHints bounds the addresses of one record, mostParameters its parameters.
const (
	mostHints      = 16
	mostParameters = 32
)

// Service is the data of an SVCB or HTTPS record (RFC 9460).
type Service struct {
	Priority uint16
	Target   string // "." stands for the record's own name
	ALPN     []string
	Port     uint16
	Hints    []netip.Addr // addresses that clients may use without asking further
	ECH      []byte       // configurations for Encrypted Client Hello (RFC 9848), as long as the message; nil: none
}

// Service reads the data of an SVCB or HTTPS record.
func (m *Message) Service(r *Record) (s Service, ok bool) {
	data := m.raw[r.offset : r.offset+r.length]
	if r.Type != TypeSVCB && r.Type != TypeHTTPS || len(data) < 3 {
		return s, false
	}
	s.Priority = binary.BigEndian.Uint16(data)
	name, next, err := m.name(r.offset + 2)
	if err != nil || next > r.offset+r.length {
		return s, false
	}
	s.Target = name.text
	rest := m.raw[next : r.offset+r.length]
	for range mostParameters {
		if len(rest) < 4 {
			break
		}
		n := 4 + int(binary.BigEndian.Uint16(rest[2:]))
		if len(rest) < n {
			return s, false
		}
		s.parameter(binary.BigEndian.Uint16(rest), rest[4:n])
		rest = rest[n:]
	}
	return s, true
}

func (s *Service) parameter(key uint16, value []byte) {
	switch key {
	case keyALPN:
		for len(value) > 0 && len(value) > int(value[0]) && len(s.ALPN) < mostHints {
			s.ALPN = append(s.ALPN, string(appendLabel(nil, value[1:1+int(value[0])])))
			value = value[1+int(value[0]):]
		}
	case keyPort:
		if len(value) == 2 {
			s.Port = binary.BigEndian.Uint16(value)
		}
	case keyIPv4Hint:
		s.hints(value, 4)
	case keyIPv6Hint:
		s.hints(value, 16)
	case keyECH:
		s.ECH = value
	}
}

func (s *Service) hints(value []byte, size int) {
	for len(value) >= size && len(s.Hints) < mostHints {
		if a, ok := netip.AddrFromSlice(value[:size]); ok {
			s.Hints = append(s.Hints, a)
		}
		value = value[size:]
	}
}

// appendTo writes the record as zone files do; of the ECH keys only that they are there.
func (s *Service) appendTo(b []byte) []byte {
	b = append(strconv.AppendUint(b, uint64(s.Priority), 10), ' ')
	b = append(b, s.Target...)
	for i, p := range s.ALPN {
		if i == 0 {
			b = append(b, " alpn="...)
		} else {
			b = append(b, ',')
		}
		b = append(b, p...)
	}
	if s.Port != 0 {
		b = strconv.AppendUint(append(b, " port="...), uint64(s.Port), 10)
	}
	for i, a := range s.Hints {
		if i == 0 {
			b = append(b, " hint="...)
		} else {
			b = append(b, ',')
		}
		b = a.AppendTo(b)
	}
	if len(s.ECH) > 0 {
		b = append(b, " ech"...)
	}
	return b
}
