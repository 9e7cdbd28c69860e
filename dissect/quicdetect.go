package dissect

import "encoding/binary"

// quicDetector recognises QUIC by its long header (RFC 9000 §17.2): form and fixed bits, a known version.
type quicDetector struct{}

func (q *quicDetector) data(_ *Engine, c *conn, side int, b []byte, _ int64) {
	if side == initiator && len(b) >= 7 && b[0]&0xc0 == 0xc0 {
		switch version := binary.BigEndian.Uint32(b[1:]); {
		case version == 1, version == 0x6b3343cf, version>>8 == 0xff0000: // v1, v2 (RFC 9369), drafts
			c.flow.Channel = "quic"
		}
	}
	c.proto = nil
}

func (q *quicDetector) gap(*Engine, *conn, int, int) {}
func (q *quicDetector) end(*Engine, *conn)           {}
