package dissect

import "encoding/binary"

// openvpnStream reads the TLS handshake that OpenVPN's control channel carries in messages of its own, over UDP and TCP, with and without the codes that tls-auth adds. With tls-crypt it is
// encrypted, and nothing is read (https://openvpn.net/community-resources/openvpn-protocol).
type openvpnStream struct {
	tls    *tlsStream
	stream bool      // over TCP: each message is preceded by its length
	buffer [2][]byte // of a message that is not whole yet
	code   int       // bytes that tls-auth adds, codes and counters
	next   [2]uint32 // the number of the next message of TLS
	count  int
}

const (
	openvpnControl   = 4
	openvpnHeader    = 1 + 8 // operation and key, session
	openvpnReplay    = 4 + 4 // counter and time beside a code
	mostOpenVPN      = 256   // messages that are looked at
	longestOpenVPN   = 4 << 10
	openvpnBareReset = openvpnHeader + 1 + 4 // of a client's first message without tls-auth
)

// newOpenVPN begins with the client's first message, whose length tells what tls-auth adds.
func newOpenVPN(first []byte, stream bool) *openvpnStream {
	s := &openvpnStream{stream: stream, next: [2]uint32{1, 1}}
	if n := len(first) - openvpnBareReset; n > 0 {
		s.code = n
	}
	return s
}

func (s *openvpnStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	if !s.stream {
		s.message(e, c, side, b, now)
		return
	}
	b = append(s.buffer[side], b...)
	for len(b) >= 2 && c.proto != nil {
		n := 2 + int(binary.BigEndian.Uint16(b))
		if n > longestOpenVPN {
			c.proto = nil
			return
		}
		if len(b) < n {
			break
		}
		s.message(e, c, side, b[2:n], now)
		b = b[n:]
	}
	s.buffer[side] = append(s.buffer[side][:0], b...)
}

// message takes the part of TLS out of a control message. Those that come out of turn are sent again by whoever misses them.
func (s *openvpnStream) message(e *Engine, c *conn, side int, b []byte, now int64) {
	if s.count++; s.count > mostOpenVPN {
		c.proto = nil
		return
	}
	if len(b) < openvpnHeader+s.code+1 || b[0]>>3 != openvpnControl {
		return
	}
	b = b[openvpnHeader+s.code:]
	acknowledged := int(b[0])
	b = b[1:]
	if acknowledged > 0 {
		acknowledged = acknowledged*4 + 8 // and the other side's session
	}
	if len(b) < acknowledged+4 {
		return
	}
	number, body := binary.BigEndian.Uint32(b[acknowledged:]), b[acknowledged+4:]
	switch {
	case number != s.next[side] || len(body) == 0:
		return
	case s.tls == nil && side == initiator && isClientHello(body):
		s.tls = e.newTLSStream(c, "openvpn")
	case s.tls == nil:
		return
	}
	s.next[side]++
	s.tls.data(e, c, side, body, now)
}

func (s *openvpnStream) gap(_ *Engine, c *conn, _ int, _ int) { c.proto = nil }

func (s *openvpnStream) end(e *Engine, c *conn) {
	if s.tls != nil {
		s.tls.end(e, c)
	}
}
