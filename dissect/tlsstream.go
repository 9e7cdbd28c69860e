package dissect

import (
	"cmp"

	"netaudit/dissect/tls"
)

const (
	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22
	recordApplication      = 23

	recordHeader     = 5
	handshakeHeader  = 4
	largestRecord    = 1<<14 + 2048 // RFC 8446 §5.2, RFC 5246 §6.2.3
	largestHandshake = 64 << 10     // of a message that is read; a longer one ends the reading
)

// hellos is what every handshake of an engine is read with, one after the other: no memory of their own, and what repeats is computed once.
type hellos struct {
	client       tls.ClientHello
	server       tls.ServerHello
	prints       tls.Fingerprints
	certificates tls.Certificates
}

// handshake collects what a TLS handshake says, over whatever it travels.
type handshake struct {
	transport byte // for JA4: t TCP, q QUIC, d DTLS
	startTLS  string
	client    bool // a ClientHello was read
	server    bool // a ServerHello was read that is no HelloRetryRequest
	modern    bool // 1.3: ChangeCipherSpec means nothing (RFC 8446 §D.4)
	full      bool // ≤ 1.2: the server has sent what an abbreviated handshake has not (RFC 5246 §7.3)
	spoke     [2]bool
	lost      bool     // some of it is missing: what both sides encrypt later tells alone that it succeeded
	session   [32]byte // the client's session id
	sessionN  uint8
	agreed    uint64 // of the client's last hello, see tls.ClientHello
}

// message reads one handshake message without its header.
func (t *handshake) message(e *Engine, c *conn, side int, kind byte, body []byte) {
	switch {
	case kind == tls.TypeClientHello && side == initiator:
		t.clientHello(e, c, body)
	case kind == tls.TypeServerHello && side == responder:
		t.serverHello(e, c, body)
	case kind == tls.TypeServerHelloDone && side == responder:
		t.wasFull(c)
	case kind == tls.TypeCertificate && side == responder && c.flow.TLS != nil:
		t.wasFull(c)
		shown, err := e.hellos.certificates.Parse(body)
		if err != nil {
			e.damage("tls: certificate")
			return
		}
		c.flow.TLS.Cert = (*Certificate)(&shown.Leaf)
		if sni := c.flow.TLS.SNI; sni != "" {
			c.flow.TLS.CertNames = CertNamesOther
			if shown.Names(sni) {
				c.flow.TLS.CertNames = CertNamesHost
			}
		}
		e.name(c)
	case kind == tls.TypeServerKeyExchange && side == responder && c.flow.TLS != nil && c.flow.TLS.Group == "":
		c.flow.TLS.Group = tls.GroupName(tls.KeyExchangeGroup(body))
	}
}

// wasFull notes that the handshake is none of resumption, whatever session the server names.
func (t *handshake) wasFull(c *conn) {
	t.full = true
	if c.flow.TLS != nil && !t.modern {
		c.flow.TLS.Resumed = false
	}
}

// switched notes that the server encrypts from now on: in a handshake up to 1.2 that went without a certificate and ServerHelloDone, both go on with an older session. That also
// shows where the client sent a ticket without a session id (RFC 5077 §3.4).
func (t *handshake) switched(c *conn, side int) {
	if side == responder && t.server && !t.modern && !t.full && c.flow.TLS != nil {
		c.flow.TLS.Resumed = true
	}
}

// clientHello keeps what the first hello says. A second one, after a HelloRetryRequest, must say the same (RFC 8446 §4.1.2); the server follows what it says last.
func (t *handshake) clientHello(e *Engine, c *conn, body []byte) {
	h := &e.hellos.client
	parse := h.Parse
	if t.transport == 'd' {
		parse = h.ParseDTLS
	}
	err := parse(body)
	if err != nil {
		e.damage("tls: client hello")
		if t.client || len(h.Ciphers) == 0 {
			return
		}
	}
	t.agreed = h.AgreedKeys
	if t.client {
		if name := e.hostName(h.ServerName); name != "" && name != c.flow.TLS.SNI {
			e.damage("tls: second hello with another name")
			c.flow.TLS.SNI = name
			e.name(c)
		}
		return
	}
	t.client = true
	t.sessionN = uint8(copy(t.session[:], h.SessionID))
	f := c.flow.TLS // there is one when the capture had the server's hello first
	if f == nil {
		f = e.tls.take()
		*f = TLS{}
	}
	f.SNI, f.EarlyData, f.StartTLS = e.hostName(h.ServerName), h.EarlyData, t.startTLS
	if h.ECH {
		f.ECH = e.judgeECH(c, f.SNI, h.ECHConfig)
	}
	if err == nil { // of a hello that is cut they would be somebody else's
		f.JA3, f.JA4 = e.hellos.prints.Client(h, t.transport)
	}
	if !t.server {
		f.Version = tls.VersionName(h.HighestVersion())
	} else {
		t.refuseECH(f)
	}
	if len(h.ALPN) > 0 && (!t.server || t.modern) {
		f.ALPN = e.text(h.ALPN[0])
	}
	c.flow.TLS = f
	if c.flow.Channel == "tls" {
		if channel := alpnChannel(f.ALPN); channel != "" {
			c.flow.Channel = channel
		}
	}
	if (c.flow.Channel == "https" || c.flow.Channel == "quic") && isDoHHost(f.SNI) {
		c.flow.Channel = "doh"
	}
	e.name(c)
}

func (t *handshake) serverHello(e *Engine, c *conn, body []byte) {
	h := &e.hellos.server
	if err := h.Parse(body); err != nil {
		e.damage("tls: server hello")
		return
	}
	f := c.flow.TLS
	if f == nil {
		f = e.tls.take()
		*f = TLS{StartTLS: t.startTLS}
		c.flow.TLS = f
	}
	t.modern = h.Version == 0x0304 || h.Version == 0xfefc
	if h.Retry {
		f.Retry = true
		return
	}
	t.server = true
	f.Version, f.Cipher, f.JA3S = tls.VersionName(h.Version), tls.CipherName(h.Cipher), e.hellos.prints.Server(h)
	if h.Group != 0 {
		f.Group = tls.GroupName(h.Group)
	}
	if t.modern {
		f.Resumed = h.PSK && (h.PSKIndex >= 64 || t.agreed>>h.PSKIndex&1 == 0)
		return
	}
	t.refuseECH(f)
	e.name(c)
	f.ALPN = e.text(h.ALPN) // "" when the server chose none
	if f.ALPN != "" && t.startTLS == "" && t.transport == 't' && c.flow.Channel == "https" && alpnChannel(f.ALPN) != "https" && tlsChannel(c.flow.Dst.Port()) == "tls" {
		c.flow.Channel = cmp.Or(alpnChannel(f.ALPN), "tls") // the client had offered HTTP too
	}
	f.Resumed = t.client && len(h.SessionID) > 0 && string(h.SessionID) == string(t.session[:t.sessionN])
}

// spoken notes that a side has begun to encrypt: once both have, the handshake succeeded.
func (t *handshake) spoken(c *conn, side int) {
	t.spoke[side] = true
	if f := c.flow.TLS; f != nil && (t.server || t.lost) && t.spoke[initiator] && t.spoke[responder] {
		f.Established = true
	}
}

// alert keeps an alert that is not encrypted (RFC 8446 §6).
func (t *handshake) alert(c *conn, side int, body []byte) {
	if f := c.flow.TLS; f != nil && len(body) == 2 && (body[0] == 1 || body[0] == 2) {
		f.Alert = sideNames[side] + tls.AlertName(body[1])
	}
}

// refused knows an alert of 1.3 as the first thing that a side encrypts, by its length: level, description, type and tag (RFC 8446 §5.2, §6). A Finished message is longer. So a client
// shows that it does not like the server's certificate.
func (t *handshake) refused(c *conn, length int) bool {
	const encryptedAlert = 2 + 1 + 16
	return t.modern && length == encryptedAlert && c.flow.TLS != nil && !c.flow.TLS.EarlyData
}

var sideNames = [2]string{"client ", "server "}

// tlsStream reads the handshake of one connection over TCP: records to messages, messages to facts.
type tlsStream struct {
	handshake
	sides [2]tlsSide
}

// tlsSide is one direction: an unfinished record, an unfinished handshake message.
type tlsSide struct {
	record    []byte
	message   []byte
	encrypted bool // after ChangeCipherSpec: contents say nothing
	done      bool

	torn   bool // the handshake message under way has a hole: the next record need not begin with another
	adrift adrift
}

// newTLSStream begins to read TLS; startTLS names the protocol that led to it.
func (e *Engine) newTLSStream(c *conn, startTLS string) *tlsStream {
	t := e.streams.take()
	*t = tlsStream{handshake: handshake{startTLS: startTLS, transport: 't'}}
	c.stream = t
	return t
}

func (t *tlsStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	s := &t.sides[side]
	if side == responder && !t.server && len(s.record) == 0 && hasAnyPrefix(b, "HTTP/1.") { // a server that understands no TLS
		c.proto = refusal()
		c.proto.data(e, c, side, b, now)
		return
	}
	if b = t.regain(c, side, b); len(b) == 0 {
		return
	}
	if side == initiator && !t.client && len(s.record) == 0 && isOldClientHello(b) {
		t.oldClientHello(e, c, b)
		b = b[min(oldHelloLength(b), len(b)):]
	}
	for len(b) > 0 && !s.done {
		if len(s.record) == 0 && len(b) >= recordHeader {
			n := recordHeader + int(b[3])<<8 + int(b[4])
			if len(b) >= n { // a whole record: no copy
				t.recordOf(e, c, side, b[:n])
				b = b[n:]
				continue
			}
			if b[0] == recordApplication && b[1] == 3 && !t.early(c, side) && !t.refused(c, n-recordHeader) { // its contents say nothing: not worth waiting for
				t.over(c, side)
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
	if t.sides[initiator].done && t.sides[responder].done {
		c.proto = nil // nothing more is said in the clear
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
		again := side == initiator && !t.server && len(body) > 0 && body[0] == tls.TypeClientHello && beginsHandshake(body)
		if s.encrypted && !again { // Finished
			t.over(c, side)
			return
		}
		t.collect(e, c, side, body)
	case recordChangeCipherSpec:
		// In 1.3 it is there for middleboxes, and hellos follow it after a HelloRetryRequest.
		s.encrypted = !t.modern
		t.switched(c, side)
	case recordAlert:
		switch {
		case len(body) == 2: // encrypted ones are longer
			t.alert(c, side, body)
		case t.lost: // what came before it succeeded
			t.over(c, side)
		}
	case recordApplication:
		switch {
		case t.early(c, side):
		case t.refused(c, len(body)):
			t.sides[side] = tlsSide{done: true}
			c.flow.TLS.Alert = sideNames[side] + "encrypted"
		default:
			t.over(c, side)
		}
	}
}

// early says that what the side encrypts now is early data: the handshake goes on.
func (t *tlsStream) early(c *conn, side int) bool {
	return side == initiator && !t.server && c.flow.TLS != nil && c.flow.TLS.EarlyData
}

// over ends the reading of a side that encrypts from now on.
func (t *tlsStream) over(c *conn, side int) {
	t.sides[side] = tlsSide{done: true}
	t.spoken(c, side)
}

// collect puts handshake messages together that are cut by records, or takes whole ones where they lie.
func (t *tlsStream) collect(e *Engine, c *conn, side int, b []byte) {
	s := &t.sides[side]
	if s.torn && !beginsHandshake(b) {
		return
	}
	s.torn = false
	if len(s.message)+len(b) > largestHandshake {
		e.damage("tls: handshake too long")
		t.give(c, side)
		return
	}
	if len(s.message) > 0 {
		s.message = append(s.message, b...)
		b = s.message
	}
	for len(b) >= handshakeHeader {
		n := handshakeHeader + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
		if n > largestHandshake {
			e.damage("tls: handshake too long")
			t.give(c, side)
			return
		}
		if len(b) < n {
			break
		}
		t.message(e, c, side, b[0], b[handshakeHeader:n])
		b = b[n:]
	}
	if len(b) == 0 {
		s.message = nil
	} else {
		s.message = append(s.message[:0], b...)
	}
}

// give stops reading one side.
func (t *tlsStream) give(c *conn, side int) {
	t.sides[side] = tlsSide{done: true}
	if !t.client && !t.server && side == initiator {
		c.proto = nil
	}
}

// gap goes on behind bytes that are missing: within a record its length tells where the next one begins, else a segment that begins with one.
func (t *tlsStream) gap(e *Engine, c *conn, side int, n int) {
	t.cut(e, c, side)
	s := &t.sides[side]
	if s.done {
		return
	}
	t.lost = true
	left := s.adrift.skip
	if len(s.record) >= recordHeader {
		left = recordHeader + int(s.record[3])<<8 + int(s.record[4]) - len(s.record)
	}
	*s = tlsSide{encrypted: s.encrypted, torn: true, adrift: s.adrift}
	s.adrift.hole(left, n)
}

// regain finds the beginning of a record behind a gap, and returns what is there from it on.
func (t *tlsStream) regain(c *conn, side int, b []byte) []byte {
	s := &t.sides[side]
	if b = s.adrift.pass(b); s.adrift.looks == 0 || len(b) == 0 || s.done {
		return b
	}
	if beginsRecord(b) {
		s.adrift.looks = 0
		return b
	}
	if s.adrift.looks--; s.adrift.looks == 0 {
		t.give(c, side)
	}
	return nil
}

// beginsRecord knows the header of a record, and that of the next one behind it when that is there (RFC 8446 §5.1).
func beginsRecord(b []byte) bool {
	for range 2 {
		if len(b) < recordHeader || b[0] < recordChangeCipherSpec || b[0] > recordApplication || b[1] != 3 || b[2] > 4 {
			return false
		}
		n := recordHeader + int(b[3])<<8 + int(b[4])
		if n == recordHeader || n > largestRecord {
			return false
		}
		if len(b) < n+recordHeader {
			return true
		}
		b = b[n:]
	}
	return true
}

// beginsHandshake knows the header of a handshake message that both a type and a length make likely.
func beginsHandshake(b []byte) bool {
	if len(b) < handshakeHeader || b[1] != 0 {
		return false
	}
	switch b[0] {
	case tls.TypeClientHello, tls.TypeServerHello, tls.TypeCertificate, tls.TypeServerKeyExchange:
		return b[2] != 0 || b[3] >= 32
	case tls.TypeServerHelloDone:
		return b[2] == 0 && b[3] == 0
	}
	return false
}

func (t *tlsStream) end(e *Engine, c *conn) { t.cut(e, c, initiator) }

// cut reads what is there of a hello whose rest the capture does not have: the name often stands in front.
func (t *tlsStream) cut(e *Engine, c *conn, side int) {
	s := &t.sides[side]
	if side != initiator || t.client || s.done {
		return
	}
	message := s.message
	if len(s.record) > recordHeader && s.record[0] == recordHandshake {
		message = append(message, s.record[recordHeader:]...)
	}
	if len(message) > handshakeHeader && message[0] == tls.TypeClientHello {
		t.clientHello(e, c, message[handshakeHeader:])
	}
}
