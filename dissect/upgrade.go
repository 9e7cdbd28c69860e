package dissect

// mostBeforeUpgrade bounds the bytes of a side after which a plain dialogue will not turn to TLS any more.
const mostBeforeUpgrade = 16 << 10

// upgradeStream waits in a plain dialogue for the ClientHello that STARTTLS leads to: LDAP (RFC 4511 §4.14), XMPP (RFC 6120 §5), RDP, ManageSieve and others. The dialogue itself is not read: whatever
// was said, a hello at the beginning of what a side sends next is the upgrade.
type upgradeStream struct {
	protocol string
	seen     [2]int
}

// behindGap waits for TLS in a dialogue of which some is missing, or is not read.
func behindGap(protocol string) protocol {
	return &upgradeStream{protocol: protocol, seen: [2]int{1, 1}}
}

func (u *upgradeStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	if side == initiator && u.seen[initiator] > 0 && isClientHello(b) || side == responder && isServerTLS(nil, b) { // a capture may have the server's direction alone
		if m := c.flow.Mail; m != nil {
			m.StartTLS, m.State = true, mailTLS
		}
		c.proto = e.newTLSStream(c, u.protocol)
		c.proto.data(e, c, side, b, now)
		return
	}
	if u.seen[side] += len(b); u.seen[side] > mostBeforeUpgrade {
		c.proto = nil
	}
}

func (u *upgradeStream) gap(_ *Engine, _ *conn, side int, n int) { u.seen[side] += n }
func (u *upgradeStream) end(*Engine, *conn)                      {}
