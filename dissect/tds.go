package dissect

import "encoding/binary"

// tdsStream reads the beginning of a connection to a Microsoft SQL Server: TLS shakes hands inside packets of the database's own protocol, and goes on without them (MS-TDS §2.2.6.5, §3.2.5.1).
// Nothing else is read.
type tdsStream struct {
	tls   *tlsStream
	sides [2][]byte // of a packet that is not whole yet
	seen  int
}

const (
	tdsHeader   = 8
	tdsPrelogin = 0x12
	longestTDS  = 32 << 10 // bytes of a packet (MS-TDS §2.2.3.1)
)

// isMSSQL knows the client's first packet: what it and the server can do, the version first.
func isMSSQL(b []byte) bool {
	return sized16(b, 2, 0) && len(b) > tdsHeader && b[0] == tdsPrelogin && b[1] == 1 && b[tdsHeader] == 0
}

func (s *tdsStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	if s.seen += len(b); s.tls == nil && s.seen > mostBeforeUpgrade {
		c.proto = nil
		return
	}
	b = append(s.sides[side], b...)
	for len(b) > 0 && c.proto != nil {
		if s.tls != nil && b[0] >= recordChangeCipherSpec && b[0] <= recordApplication { // no packets any longer
			s.tls.data(e, c, side, b, now)
			b = nil
			break
		}
		if len(b) < tdsHeader {
			break
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < tdsHeader || n > longestTDS {
			c.proto = nil
			return
		}
		if len(b) < n {
			break
		}
		s.packet(e, c, side, b[0], b[tdsHeader:n], now)
		b = b[n:]
	}
	s.sides[side] = append(s.sides[side][:0], b...)
}

func (s *tdsStream) packet(e *Engine, c *conn, side int, kind byte, body []byte, now int64) {
	if s.tls == nil && side == initiator && isClientHello(body) {
		s.tls = e.newTLSStream(c, "mssql")
	}
	if s.tls != nil && kind == tdsPrelogin && len(body) > 0 {
		s.tls.data(e, c, side, body, now)
	}
}

func (s *tdsStream) gap(e *Engine, c *conn, side int, n int) {
	if s.tls == nil || len(s.sides[side]) > 0 {
		c.proto = nil
		return
	}
	s.tls.gap(e, c, side, n)
}

func (s *tdsStream) end(e *Engine, c *conn) {
	if s.tls != nil {
		s.tls.end(e, c)
	}
}
