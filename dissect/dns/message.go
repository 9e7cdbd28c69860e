// Package dns reads DNS messages (RFC 1035) in place: a Message points into the datagram and reuses its own memory, so that reading a
// query costs no allocation. Every loop is bounded: names by 255 bytes and by pointers that only lead backwards, messages by
// the records that are looked at. It is ours because a general resolver's unpacking makes an object of every record, whether it is kept or not;
// records of rare types are left to github.com/miekg/dns.
package dns

import (
	"encoding/binary"
	"errors"
)

// Errors of Parse. What was read before stays in the Message.
var (
	ErrShort       = errors.New("message cut short")
	ErrName        = errors.New("name longer than 255 bytes or with a reserved label")
	ErrPointer     = errors.New("compression pointers that lead nowhere")
	ErrManyRecords = errors.New("more records than a message can need")
)

const (
	mostQuestions = 8    // that are kept
	mostAnswers   = 256  // that are kept: more addresses of one name do not fit into a datagram that networks carry
	mostRecords   = 4096 // that are walked over; each has at least 11 bytes
	headerLength  = 12
)

// Message is one DNS message. The zero value is ready; Parse fills it again and again. One goroutine owns it.
type Message struct {
	ID            uint16
	Response      bool
	Opcode        uint8
	Authoritative bool
	Truncated     bool
	RCode         uint16 // with the upper bits of EDNS (RFC 6891 §6.1.3)
	EDNS          bool
	Questions     []Question // at most 8
	Answers       []Record   // at most 256, in their order
	MoreAnswers   int        // that were not kept

	raw       []byte
	text      []byte // space to spell in
	names     []spelled
	words     words // of names
	addresses words // of the data of A and AAAA records
}

// spelled is the name that begins at an offset of the message: compressed ones point to the same few again and again.
type spelled struct {
	offset int
	name   Name
}

// Question is one entry of the question section.
type Question struct {
	Name Name
	Type uint16
}

// Record is one entry of the answer section.
type Record struct {
	Name   Name
	Type   uint16
	TTL    uint32 // seconds
	begin  int    // of the record
	offset int    // of its data
	length int
}

// Name is a domain name.
type Name struct{ text string }

// Text returns the name in presentation form, in lower case and without the final dot; "." is the root.
func (n Name) Text() string { return n.text }

// Parse reads b, which must stay unchanged while the Message is used.
func (m *Message) Parse(b []byte) error {
	m.ID, m.Response, m.Opcode, m.Authoritative, m.Truncated, m.RCode, m.EDNS, m.MoreAnswers = 0, false, 0, false, false, 0, false, 0
	m.Questions, m.Answers, m.names, m.raw = m.Questions[:0], m.Answers[:0], m.names[:0], b
	if len(b) < headerLength {
		return ErrShort
	}
	m.ID = binary.BigEndian.Uint16(b)
	flags := binary.BigEndian.Uint16(b[2:])
	m.Response, m.Opcode, m.RCode = flags&0x8000 != 0, uint8(flags>>11&15), flags&15
	m.Authoritative, m.Truncated = flags&0x0400 != 0, flags&0x0200 != 0
	at := headerLength
	for range binary.BigEndian.Uint16(b[4:]) {
		name, next, err := m.name(at)
		if err != nil {
			return err
		}
		if len(b) < next+4 {
			return ErrShort
		}
		if len(m.Questions) < mostQuestions {
			m.Questions = append(m.Questions, Question{name, binary.BigEndian.Uint16(b[next:])})
		}
		at = next + 4
	}
	return m.records(at)
}

// records keeps the answers and walks over the rest in search of EDNS.
func (m *Message) records(at int) error {
	answers := int(binary.BigEndian.Uint16(m.raw[6:]))
	all := answers + int(binary.BigEndian.Uint16(m.raw[8:])) + int(binary.BigEndian.Uint16(m.raw[10:]))
	for i := range all {
		if i >= mostRecords {
			return ErrManyRecords
		}
		r, next, err := m.record(at, i < answers && len(m.Answers) < mostAnswers)
		if err != nil {
			return err
		}
		switch {
		case i < answers && len(m.Answers) < mostAnswers:
			m.Answers = append(m.Answers, r)
		case i < answers:
			m.MoreAnswers++
		case r.Type == TypeOPT:
			m.EDNS = true
			m.RCode |= uint16(r.TTL>>24) << 4
		}
		at = next
	}
	return nil
}

// record reads one resource record (RFC 1035 §4.1.3). Its name is spelled only when it is kept.
func (m *Message) record(at int, keep bool) (r Record, next int, err error) {
	r.begin = at
	if keep {
		r.Name, at, err = m.name(at)
	} else {
		at, err = m.skipName(at)
	}
	if err != nil {
		return r, 0, err
	}
	b := m.raw
	if len(b) < at+10 {
		return r, 0, ErrShort
	}
	r.Type, r.TTL = binary.BigEndian.Uint16(b[at:]), binary.BigEndian.Uint32(b[at+4:])
	r.length, r.offset = int(binary.BigEndian.Uint16(b[at+8:])), at+10
	if len(b) < r.offset+r.length {
		return r, 0, ErrShort
	}
	return r, r.offset + r.length, nil
}

// skipName finds the end of a name without spelling it.
func (m *Message) skipName(at int) (int, error) {
	for at < len(m.raw) {
		switch n := int(m.raw[at]); {
		case n == 0:
			return at + 1, nil
		case n&0xc0 == 0xc0:
			return at + 2, nil
		case n&0xc0 != 0:
			return 0, ErrName
		default:
			at += 1 + n
		}
	}
	return 0, ErrShort
}
