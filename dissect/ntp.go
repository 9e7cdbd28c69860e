package dissect

// ntpDatagram recognises NTP (RFC 5905 §7.3) by its port and its first byte. It has no state: all conversations share it.
type ntpDatagram struct{}

func (ntpDatagram) data(_ *Engine, c *conn, _ int, b []byte, _ int64) {
	c.proto = nil
	const shortest = 48
	if version, mode := b[0]>>3&7, b[0]&7; len(b) >= shortest && version >= 1 && version <= 5 && mode >= 1 && mode <= 5 {
		c.flow.Channel = "ntp"
	}
}

func (ntpDatagram) gap(*Engine, *conn, int, int) {}
func (ntpDatagram) end(*Engine, *conn)           {}
