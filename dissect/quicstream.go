package dissect

import (
	"errors"

	"netaudit/dissect/quic"
	"netaudit/dissect/tls"
)

// firstDatagram looks at the first datagrams of a UDP conversation on any port. It has no state: all conversations share it.
type firstDatagram struct{}

// mostLooks is how many datagrams are looked at, mostChecks how many behind STUN: two browsers probe their way for as long as it takes before DTLS begins (RFC 8445 §6.1.4).
const (
	mostLooks  = 8
	mostChecks = 1024
)

func (firstDatagram) data(e *Engine, c *conn, side int, b []byte, now int64) {
	switch {
	case quic.Known(b), side == responder && quic.Negotiation(b):
		c.flow.Channel = "quic"
		q := &quicStream{}
		q.tls.transport = 'q'
		c.proto = q
	case isDTLS(b):
		c.flow.Channel = "dtls"
		c.proto = newDTLSDatagrams()
	case c.flow.Channel == "udp" && (side == initiator && isPlainQuery(b) || c.flow.Dst.Port() == 53 && e.isDNS(b)): // a resolver at a port of its own, or behind something else at the usual one
		c.flow.Channel = "dns"
		c.proto = e.newDNSDatagrams()
	default:
		if name := datagramName(b, c.flow.Dst.Port()); name != "" && c.flow.Channel == "udp" {
			c.flow.Channel = name
			if name == "tftp" { // answers come from another port (RFC 1350 §4)
				e.announce(c, initiator, c.flow.Src.Port(), name, now)
			}
			if name == "openvpn" && side == initiator {
				c.proto = newOpenVPN(b, false)
				return
			}
		}
		if n := c.flow.SrcPackets + c.flow.DstPackets; n >= mostLooks && c.flow.Dst.Port() != 53 && (c.flow.Channel != "stun" || n >= mostChecks) { // whoever hides questions behind datagrams without sense is waited for
			c.proto = nil
		}
		return
	}
	c.proto.data(e, c, side, b, now)
}

func (firstDatagram) gap(*Engine, *conn, int, int) {}
func (firstDatagram) end(*Engine, *conn)           {}

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
		q.tls.spoken(c, side)
	} else if err := q.initials.Datagram(side, b); err != nil && !errors.Is(err, quic.ErrNotQUIC) {
		e.damage("quic: " + err.Error())
	}
	for side := range q.taken {
		whole := q.initials.Handshake(side)
		if fresh := whole[q.taken[side]:]; len(fresh) > 0 {
			q.taken[side] = len(whole)
			q.tls.collect(e, c, side, fresh)
		}
	}
	q.refused(c, side)
	if t := c.flow.TLS; t != nil && t.ALPN == "doq" { // RFC 9250
		c.flow.Channel = "doq"
	}
	over := q.tls.spoke[initiator] && q.tls.spoke[responder]
	if c.spent == nil && (over || q.tls.server || c.flow.TLS != nil && c.flow.TLS.Alert != "") {
		c.spent = q.initials.Spent()
	}
	if over {
		c.proto = nil
	}
}

// refused notes an alert of TLS, which travels as the reason why a side closes the connection (RFC 9001 §4.8).
func (q *quicStream) refused(c *conn, side int) {
	const cryptoError = 0x0100
	if code, ok := q.initials.Closed(side); ok && code&^0xff == cryptoError && c.flow.TLS != nil {
		c.flow.TLS.Alert = sideNames[side] + tls.AlertName(uint8(code))
	}
}

func (q *quicStream) gap(*Engine, *conn, int, int) {}
func (q *quicStream) end(e *Engine, c *conn)       { q.tls.end(e, c) }
