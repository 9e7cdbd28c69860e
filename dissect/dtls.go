package dissect

import (
	"encoding/binary"

	"netaudit/dissect/tls"
	"netaudit/tap/decode"
)

const (
	dtlsRecordHeader    = 13
	dtlsHandshakeHeader = 12
	mostDTLSMessages    = 8  // of a side that wait for their missing fragments
	mostDTLSRecords     = 64 // of one datagram
	mostDTLSDatagrams   = 64 // after which a handshake that did not end is not followed any longer
	mostLate            = 8  // datagrams that may have been overtaken by the first encrypted ones
	helloVerifyRequest  = 3
	recordWithID        = 25
)

// isDTLS knows the record of a plain handshake message (RFC 6347 §4.1; the record layer of 1.3's hellos is the same, RFC 9147 §4).
func isDTLS(b []byte) bool {
	return len(b) >= dtlsRecordHeader+dtlsHandshakeHeader && b[0] == recordHandshake && b[1] == 0xfe && (b[2] == 0xff || b[2] == 0xfd) &&
		b[3] == 0 && b[4] == 0 && (b[13] == tls.TypeClientHello || b[13] == tls.TypeServerHello || b[13] == helloVerifyRequest)
}

// anotherDTLS knows the hello of another connection on the ports of one whose handshake is over, by its random bytes (RFC 6347 §4.2.8): one that is sent again has the same.
func (c *conn) anotherDTLS(h *decode.Headers) bool {
	const random, end = dtlsRecordHeader + dtlsHandshakeHeader + 2, dtlsRecordHeader + dtlsHandshakeHeader + 2 + 32
	f, hello := &c.flow, &c.first[initiator]
	return len(h.Payload) >= end && isDTLS(h.Payload) && h.Payload[dtlsRecordHeader] == tls.TypeClientHello && (f.TLS.Established || f.TLS.Alert != "") &&
		h.Src == f.Src.Addr() && h.SrcPort == f.Src.Port() && hello.n >= end && hello.data[0] == recordHandshake && string(hello.data[random:end]) != string(h.Payload[random:end])
}

// dtlsDatagrams reads the handshake of DTLS: records may be lost, repeated and swapped, and messages come in fragments.
type dtlsDatagrams struct {
	handshake
	waiting [2][]dtlsMessage
	count   int
	late    int // datagrams since both sides have begun to encrypt
}

// dtlsMessage is a handshake message that is not whole yet.
type dtlsMessage struct {
	seq  uint16
	kind byte
	body []byte
	got  int
	have []bool // which bytes are there
}

func newDTLSDatagrams() *dtlsDatagrams { return &dtlsDatagrams{handshake: handshake{transport: 'd'}} }

func (d *dtlsDatagrams) data(e *Engine, c *conn, side int, b []byte, _ int64) {
	if d.count++; d.count > mostDTLSDatagrams {
		c.proto = nil
		return
	}
	for range mostDTLSRecords {
		if len(b) == 0 {
			break
		}
		if b[0]&0xe0 == 0x20 { // the unified header of records that are encrypted (RFC 9147 §4)
			d.encrypted(c, side, b)
			break
		}
		if b[0] == recordWithID { // RFC 9146 §4
			d.spoken(c, side)
			break
		}
		if len(b) < dtlsRecordHeader || b[1] != 0xfe {
			break // another protocol on the same ports, STUN for example
		}
		n := dtlsRecordHeader + int(binary.BigEndian.Uint16(b[11:]))
		if len(b) < n {
			e.damage("dtls: record cut short")
			break
		}
		d.record(e, c, side, b[0], binary.BigEndian.Uint16(b[3:]), b[dtlsRecordHeader:n])
		b = b[n:]
	}
	if d.spoke[initiator] && d.spoke[responder] {
		if d.late++; d.late > mostLate {
			c.proto = nil
		}
	}
}

func (d *dtlsDatagrams) record(e *Engine, c *conn, side int, kind byte, epoch uint16, body []byte) {
	switch {
	case epoch > 0:
		d.spoken(c, side)
	case kind == recordHandshake:
		d.fragments(e, c, side, body)
	case kind == recordAlert:
		d.alert(c, side, body)
	case kind == recordChangeCipherSpec:
		d.switched(c, side)
	}
}

// encrypted looks at the first of the encrypted records of 1.3 in a datagram. Its length may tell an alert, but an acknowledgement of nothing (RFC 9147 §7) is as long: who sends anything
// else later has not given up.
func (d *dtlsDatagrams) encrypted(c *conn, side int, b []byte) {
	const withID, longNumber, withLength, epochMask, handshakeEpoch = 0x10, 0x08, 0x04, 0x03, 2
	gaveUp := sideNames[side] + "encrypted"
	header := 2
	if b[0]&longNumber != 0 {
		header++
	}
	n := len(b) - header
	if b[0]&withLength != 0 && len(b) >= header+2 {
		n = int(binary.BigEndian.Uint16(b[header:]))
	}
	switch {
	case !d.spoke[side] && b[0]&withID == 0 && b[0]&epochMask == handshakeEpoch && d.refused(c, n):
		c.flow.TLS.Alert = gaveUp
	default:
		if f := c.flow.TLS; f != nil && f.Alert == gaveUp {
			f.Alert = ""
		}
		d.spoken(c, side)
	}
}

// fragments reads the fragments of handshake messages in one record (RFC 6347 §4.2.2).
func (d *dtlsDatagrams) fragments(e *Engine, c *conn, side int, b []byte) {
	for len(b) >= dtlsHandshakeHeader {
		length, seq := int(b[1])<<16|int(b[2])<<8|int(b[3]), binary.BigEndian.Uint16(b[4:])
		offset, n := int(b[6])<<16|int(b[7])<<8|int(b[8]), int(b[9])<<16|int(b[10])<<8|int(b[11])
		if len(b) < dtlsHandshakeHeader+n || offset+n > length || length > largestHandshake/4 {
			e.damage("dtls: handshake fragment")
			return
		}
		piece := b[dtlsHandshakeHeader : dtlsHandshakeHeader+n]
		if n == length {
			d.take(e, c, side, b[0], piece)
		} else if m := d.piece(side, seq, b[0], length, offset, piece); m != nil {
			d.take(e, c, side, m.kind, m.body)
		}
		b = b[dtlsHandshakeHeader+n:]
	}
}

func (d *dtlsDatagrams) take(e *Engine, c *conn, side int, kind byte, body []byte) {
	if kind == helloVerifyRequest {
		if c.flow.TLS == nil { // of a capture without the client's direction
			c.flow.TLS = e.tls.take()
			*c.flow.TLS = TLS{}
		}
		c.flow.TLS.Retry = true
		return
	}
	d.message(e, c, side, kind, body)
}

// piece keeps a fragment and returns its message when that is whole. Fragments may repeat and overlap.
func (d *dtlsDatagrams) piece(side int, seq uint16, kind byte, length, offset int, piece []byte) *dtlsMessage {
	var m *dtlsMessage
	for i := range d.waiting[side] {
		if w := &d.waiting[side][i]; w.seq == seq && w.kind == kind && len(w.body) == length {
			m = w
		}
	}
	if m == nil {
		if len(d.waiting[side]) >= mostDTLSMessages {
			return nil
		}
		d.waiting[side] = append(d.waiting[side], dtlsMessage{seq: seq, kind: kind, body: make([]byte, length), have: make([]bool, length)})
		m = &d.waiting[side][len(d.waiting[side])-1]
	}
	if m.got == length {
		return nil // repeated
	}
	for i := range piece {
		if !m.have[offset+i] {
			m.have[offset+i] = true
			m.got++
		}
	}
	copy(m.body[offset:], piece)
	if m.got < length {
		return nil
	}
	return m
}

func (d *dtlsDatagrams) gap(*Engine, *conn, int, int) {}
func (d *dtlsDatagrams) end(*Engine, *conn)           {}
