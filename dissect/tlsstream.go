package dissect

import (
	"netaudit/dissect/tls"
)

const (
	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22
	recordApplication      = 23

	recordHeader     = 5
	largestRecord    = 1<<14 + 2048 // RFC 8446 §5.2, RFC 5246 §6.2.3
	largestHandshake = 64 << 10     // of a message that is read; a longer one ends the reading
)

// tlsStream reads the handshake of one connection: records to messages, messages to facts.
type tlsStream struct {
	transport byte // for JA4: t TCP, q QUIC
	startTLS  string
	sides     [2]tlsSide
	hello     *tls.ClientHello
	server    *tls.ServerHello
}

// tlsSide is one direction: an unfinished record, an unfinished handshake message.
type tlsSide struct {
	record    []byte
	handshake []byte
	encrypted bool // after ChangeCipherSpec, or the 1.3 equivalent: contents say nothing
	done      bool
	spoke     bool // application data, or Finished
}

func newTLSStream(startTLS string) *tlsStream { return &tlsStream{startTLS: startTLS, transport: 't'} }

func (t *tlsStream) data(e *Engine, c *conn, side int, b []byte, _ int64) {
	s := &t.sides[side]
	for len(b) > 0 && !s.done {
		if len(s.record) == 0 && len(b) >= recordHeader {
			if n := recordHeader + int(b[3])<<8 + int(b[4]); len(b) >= n { // a whole record: no copy
				t.recordOf(e, c, side, b[:n])
				b = b[n:]
				continue
			}
		}
		need := recordHeader
		if len(s.record) >= recordHeader {
			need += int(s.record[3])<<8 + int(s.record[4])
		}
		take := min(need-len(s.record), len(b))
		s.record = append(s.record, b[:take]...)
		b = b[take:]
		if len(s.record) == need && need > recordHeader {
			record := s.record
			s.record = nil
			t.recordOf(e, c, side, record)
		} else if len(s.record) == recordHeader && (s.record[3] == 0 && s.record[4] == 0) {
			s.record = nil // an empty record is legal for application data
		}
	}
	if t.sides[0].done && t.sides[1].done {
		t.settle(c)
	}
}

func (t *tlsStream) recordOf(e *Engine, c *conn, side int, record []byte) {
	s := &t.sides[side]
	kind, body := record[0], record[recordHeader:]
	if kind < recordChangeCipherSpec || kind > recordApplication+1 || record[1] != 3 || len(body) > largestRecord {
		e.damage("tls: record header")
		t.give(c, side)
		return
	}
	switch kind {
	case recordHandshake:
		if s.encrypted {
			s.spoke, s.done = true, true // Finished
			t.established(c)
			return
		}
		if len(s.handshake)+len(body) > largestHandshake {
			e.damage("tls: handshake too long")
			t.give(c, side)
			return
		}
		s.handshake = append(s.handshake, body...)
		t.messages(e, c, side)
	case recordChangeCipherSpec:
		s.encrypted = true
	case recordApplication:
		s.spoke, s.done = true, true
		t.established(c)
	}
}

// messages takes whole handshake messages out of the side's buffer.
func (t *tlsStream) messages(e *Engine, c *conn, side int) {
	s := &t.sides[side]
	for len(s.handshake) >= 4 && !s.done {
		n := 4 + int(s.handshake[1])<<16 + int(s.handshake[2])<<8 + int(s.handshake[3])
		if n > largestHandshake {
			e.damage("tls: handshake too long")
			t.give(c, side)
			return
		}
		if len(s.handshake) < n {
			return
		}
		t.message(e, c, side, s.handshake[0], s.handshake[4:n])
		s.handshake = s.handshake[n:]
	}
	if len(s.handshake) == 0 {
		s.handshake = nil
	}
}

func (t *tlsStream) message(e *Engine, c *conn, side int, kind byte, body []byte) {
	switch kind {
	case tls.TypeClientHello:
		h, err := tls.ParseClientHello(body)
		if err != nil {
			e.damage("tls: client hello")
			return
		}
		if t.hello == nil { // the second one, after a HelloRetryRequest, says the same
			t.hello = h
			c.flow.TLS = describeHello(h, t.transport, t.startTLS)
			e.name(c)
		}
	case tls.TypeServerHello:
		h, err := tls.ParseServerHello(body)
		if err != nil {
			e.damage("tls: server hello")
			return
		}
		if !h.Retry {
			t.serverHello(c, h)
		}
	case tls.TypeCertificate:
		if side == responder && c.flow.TLS != nil {
			leaf, err := tls.ParseCertificate(body)
			if err != nil {
				e.damage("tls: certificate")
				return
			}
			c.flow.TLS.Cert = (*Certificate)(leaf)
			e.name(c)
		}
	}
}

// describeHello is what a ClientHello alone says.
func describeHello(h *tls.ClientHello, transport byte, startTLS string) *TLS {
	f := &TLS{
		Version: tls.VersionName(h.HighestVersion()), SNI: h.ServerName, ECH: h.ECH, StartTLS: startTLS,
		JA3: h.JA3(), JA4: h.JA4(transport),
	}
	if len(h.ALPN) > 0 {
		f.ALPN = tls.CleanText(h.ALPN[0])
	}
	return f
}

func (t *tlsStream) serverHello(c *conn, h *tls.ServerHello) {
	t.server = h
	f := c.flow.TLS
	if f == nil {
		f = &TLS{StartTLS: t.startTLS}
		c.flow.TLS = f
	}
	f.Version, f.Cipher, f.JA3S = tls.VersionName(h.Version), tls.CipherName(h.Cipher), h.JA3S()
	if h.ALPN != "" {
		f.ALPN = tls.CleanText(h.ALPN)
	} else if h.Version < 0x0304 {
		f.ALPN = "" // the server chose none
	}
	f.Resumed = h.PSK
	if h.Version < 0x0304 && t.hello != nil {
		f.Resumed = len(h.SessionID) > 0 && string(h.SessionID) == string(t.hello.SessionID)
	}
}

func (t *tlsStream) established(c *conn) {
	if c.flow.TLS != nil && t.sides[0].spoke && t.sides[1].spoke && t.server != nil {
		c.flow.TLS.Established = true
	}
}

// give stops reading one side.
func (t *tlsStream) give(c *conn, side int) {
	t.sides[side].done = true
	t.sides[side].record, t.sides[side].handshake = nil, nil
	if t.hello == nil && t.server == nil && side == initiator {
		c.proto = nil
	}
}

// settle ends the reading: nothing more is said in the clear.
func (t *tlsStream) settle(c *conn) { c.proto = nil }

func (t *tlsStream) gap(_ *Engine, c *conn, side int, _ int) {
	t.give(c, side)
	if t.sides[0].done && t.sides[1].done {
		c.proto = nil
	}
}

func (t *tlsStream) end(*Engine, *conn) {}
