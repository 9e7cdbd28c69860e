package dissect

import (
	"bytes"
	"strings"

	"netaudit/tap/decode"
)

// protocol reads the payload of one conversation. data gets the bytes of one side in order (for UDP: one datagram a call), at least one; gap says
// that bytes of a side are missing; end is called once, before the last row. A protocol that has learned all it can sets
// conn.proto to nil.
type protocol interface {
	data(e *Engine, c *conn, side int, b []byte, now int64)
	gap(e *Engine, c *conn, side int, n int)
	end(e *Engine, c *conn)
}

// firstProtocol chooses who reads the first payload.
func firstProtocol(f *Flow) protocol {
	switch f.Proto {
	case decode.ProtoTCP:
		if f.Dst.Port() == 53 {
			return &dnsStream{}
		}
		return firstLook{}
	case decode.ProtoUDP:
		switch f.Dst.Port() {
		case 53, 5353, 5355:
			f.Channel = "dns"
			return &dnsDatagrams{}
		case 123:
			return ntpDatagram{}
		}
		return firstDatagram{}
	}
	return nil
}

// mostDetect is how many bytes of a side are looked at before a stream counts as unknown. A ClientHello with post-quantum keys
// has about 2 kB; none is larger than this.
const mostDetect = 16 << 10

// mostChunks bounds the pieces in which the first bytes come: whoever sends one byte at a time is not waited for.
const mostChunks = 64

// firstLook reads the first payload of a TCP connection: mostly it tells the protocol by itself, and nothing need be kept. It has no state: all
// conversations share it.
type firstLook struct{}

func (firstLook) data(e *Engine, c *conn, side int, b []byte, now int64) {
	var sides [2][]byte
	sides[side] = b
	next, undecided := recognise(c, sides[initiator], sides[responder])
	if undecided {
		c.proto = &detector{}
	} else {
		c.proto = next
	}
	if c.proto != nil {
		c.proto.data(e, c, side, b, now)
	}
}

func (firstLook) gap(_ *Engine, c *conn, _ int, _ int) { c.proto = nil }
func (firstLook) end(*Engine, *conn)                   {}

// detector waits until the first bytes tell the protocol, then hands everything over.
type detector struct {
	sides [2][]byte
	order []int // which side spoke, chunk by chunk, as indexes into ends
	ends  []int // length of the side's buffer after each chunk
}

func (d *detector) data(e *Engine, c *conn, side int, b []byte, now int64) {
	if len(d.sides[side])+len(b) > mostDetect || len(d.order) > mostChunks {
		c.proto = nil
		return
	}
	d.sides[side] = append(d.sides[side], b...)
	d.order = append(d.order, side)
	d.ends = append(d.ends, len(d.sides[side]))
	next, undecided := recognise(c, d.sides[initiator], d.sides[responder])
	if undecided {
		return
	}
	c.proto = next
	d.replay(e, c, now)
}

// replay hands what was kept to the protocol in the order in which it came.
func (d *detector) replay(e *Engine, c *conn, now int64) {
	var given [2]int
	for i, side := range d.order {
		if c.proto == nil {
			return
		}
		chunk := d.sides[side][given[side]:d.ends[i]]
		given[side] = d.ends[i]
		c.proto.data(e, c, side, chunk, now)
	}
}

func (d *detector) gap(_ *Engine, c *conn, _ int, _ int) { c.proto = nil }
func (d *detector) end(*Engine, *conn)                   {}

// recognise tells the protocol by what the two sides said first. It returns undecided while the bytes could still become something.
func recognise(c *conn, client, server []byte) (p protocol, undecided bool) {
	port := c.flow.Dst.Port()
	switch {
	case isClientHello(client) || isServerTLS(client, server):
		c.flow.Channel = tlsChannel(port)
		return newTLSStream(""), false
	case hasAnyPrefix(client, http2Preface):
		c.flow.Channel = "http"
		c.flow.HTTP = &HTTP{Version: "2"}
		return nil, false
	case isHTTPRequest(client) || len(client) == 0 && hasAnyPrefix(server, "HTTP/1."):
		c.flow.Channel = "http"
		return newHTTPStream(), false
	case hasAnyPrefix(client, "SSH-") || hasAnyPrefix(server, "SSH-"):
		c.flow.Channel = "ssh"
		return &sshStream{}, false
	case hasAnyPrefix(server, "220 ", "220-"):
		if port == 21 {
			c.flow.Channel = "ftp"
			return &upgradeStream{protocol: "ftp"}, false
		}
		c.flow.Channel = "smtp"
		return newMailStream("smtp"), false
	case hasAnyPrefix(server, "* OK", "* PREAUTH"):
		c.flow.Channel = "imap"
		return newMailStream("imap"), false
	case hasAnyPrefix(server, "+OK"):
		c.flow.Channel = "pop3"
		return newMailStream("pop3"), false
	case isPostgres(client):
		c.flow.Channel = "postgres"
		return &postgresStream{}, false
	case isMySQLGreeting(server):
		c.flow.Channel = "mysql"
		return &mysqlStream{}, false
	case isRedis(client) && (port == 6379 || isRedisReply(server)):
		c.flow.Channel = "redis"
		return nil, false
	case isLDAP(client) && (port == 389 || port == 3268):
		c.flow.Channel = "ldap"
		return &upgradeStream{protocol: "ldap"}, false
	case isXMPP(client):
		c.flow.Channel = "xmpp"
		return &upgradeStream{protocol: "xmpp"}, false
	case isSOCKS5(client, server):
		return &upgradeStream{protocol: "socks"}, false
	case len(client) < 24 && len(client) > 0 && client[0] == 5 && len(server) == 0:
		return nil, true // perhaps SOCKS
	}
	// TLS needs six bytes, a request line a few more; a silent side may still speak.
	return nil, len(client) < 24 && len(server) < 24
}

func hasAnyPrefix(b []byte, prefixes ...string) bool {
	for _, p := range prefixes {
		if bytes.HasPrefix(b, []byte(p)) {
			return true
		}
	}
	return false
}

// isClientHello looks at a record header (RFC 8446 §5.1) and the type of the message in it.
func isClientHello(b []byte) bool {
	return len(b) >= 6 && b[0] == 22 && b[1] == 3 && b[2] <= 4 && b[5] == 1
}

// isServerTLS finds TLS in a conversation whose beginning was not captured, by the server's answer.
func isServerTLS(client, server []byte) bool {
	return len(client) == 0 && len(server) >= 6 && server[0] == 22 && server[1] == 3 && server[2] <= 4 && server[5] == 2
}

// tlsChannel names TLS by the service that its port is for.
func tlsChannel(port uint16) string {
	switch port {
	case 443, 8443:
		return "https"
	case 465:
		return "smtp"
	case 993:
		return "imap"
	case 995:
		return "pop3"
	case 853:
		return "dot"
	case 636:
		return "ldap"
	default:
		return "tls"
	}
}

func isRedis(b []byte) bool {
	return len(b) >= 4 && b[0] == '*' && b[1] >= '1' && b[1] <= '9' && (b[2] == '\r' || b[2] >= '0' && b[2] <= '9')
}

func isRedisReply(b []byte) bool { return len(b) > 0 && strings.ContainsRune("+-:$*", rune(b[0])) }

// isLDAP knows a BER sequence with a message id (RFC 4511 §4.1.1).
func isLDAP(b []byte) bool {
	return len(b) >= 7 && b[0] == 0x30 && bytes.Contains(b[:min(len(b), 10)], []byte{0x02, 0x01})
}
