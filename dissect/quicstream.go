package dissect

import (
	"errors"

	"netaudit/dissect/quic"
)

// quicDetector looks at the first datagram of a UDP conversation on any port. It has no state: all conversations share it.
type quicDetector struct{}

func (quicDetector) data(e *Engine, c *conn, side int, b []byte, now int64) {
	c.proto = nil
	if quic.Known(b) {
		c.flow.Channel = "quic"
		c.proto = &quicStream{tls: tlsStream{transport: 'q'}}
		c.proto.data(e, c, side, b, now)
	}
}

func (quicDetector) gap(*Engine, *conn, int, int) {}
func (quicDetector) end(*Engine, *conn)           {}

// mostInitials bounds the datagrams that are looked at for the hellos of a connection.
const mostInitials = 64

// quicStream reads the TLS hellos out of QUIC's Initial packets.
type quicStream struct {
	initials quic.Connection
	tls      tlsStream
	taken    [2]int // handshake bytes that tls has already seen
	count    int
}

func (q *quicStream) data(e *Engine, c *conn, side int, b []byte, _ int64) {
	if q.count++; q.count > mostInitials {
		c.proto = nil
		return
	}
	if len(b) > 0 && b[0]&0x80 == 0 { // a short header: this side has the keys of the application
		q.tls.sides[side].spoke = true
		q.tls.established(c)
	} else if err := q.initials.Datagram(side, b); err != nil && !errors.Is(err, quic.ErrNotQUIC) {
		e.damage("quic: " + err.Error())
	}
	whole := q.initials.Handshake(side)
	if fresh := whole[q.taken[side]:]; len(fresh) > 0 {
		q.taken[side] = len(whole)
		s := &q.tls.sides[side]
		s.handshake = append(s.handshake, fresh...)
		q.tls.messages(e, c, side)
	}
	if t := c.flow.TLS; t != nil && t.ALPN == "doq" { // RFC 9250
		c.flow.Channel = "doq"
	}
	if q.tls.sides[initiator].spoke && q.tls.sides[responder].spoke {
		c.proto = nil
	}
}

func (q *quicStream) gap(*Engine, *conn, int, int) {}
func (q *quicStream) end(*Engine, *conn)           {}
