package dissect

// ntpDatagram recognises NTP (RFC 5905 §7.3) by its port and its first byte; anything else at the port is looked at as at any other. It has no state: all conversations share it.
type ntpDatagram struct{}

func (ntpDatagram) data(e *Engine, c *conn, side int, b []byte, now int64) {
	const shortest = 48
	if version, mode := b[0]>>3&7, b[0]&7; len(b) >= shortest && version >= 1 && version <= 5 && mode >= 1 && mode <= 5 {
		c.flow.Channel, c.proto = "ntp", nil
		return
	}
	c.proto = firstDatagram{}
	c.proto.data(e, c, side, b, now)
}

func (ntpDatagram) gap(*Engine, *conn, int, int) {}
func (ntpDatagram) end(*Engine, *conn)           {}
