package dissect

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// place is where something is recognised: at the beginning of a connection, or of what a proxy carries.
type place struct {
	sides   [2][]byte // what both said first
	port    uint16    // that the service is asked for at
	through string    // which proxy carries it: http-connect, socks; "" direct
	final   bool      // nothing more will come
	headers uint8     // headers of the PROXY protocol so far: one load balancer may stand behind another
}

// enough is how many bytes of a client tell nothing before nobody is waited for any longer. TLS needs six, a request line a few more.
const enough = 24

// recognise tells the protocol by what the two sides said first. It returns undecided while the bytes could still become something.
func (p *place) recognise(e *Engine, c *conn) (next protocol, undecided bool) {
	client, server := p.sides[initiator], p.sides[responder]
	f := &c.flow
	switch {
	case isClientHello(client) || isOldClientHello(client) || isServerTLS(client, server):
		f.Channel = tlsChannel(p.port)
		return e.newTLSStream(c, p.through), false
	case hasAnyPrefix(client, http2Preface):
		f.Channel = "http"
		f.HTTP = &HTTP{Version: "2"}
		return newHTTP2Stream(), false
	case isHTTPRequest(bytes.TrimLeft(client, "\r\n")) || // empty lines before it are no reason to refuse it (RFC 9112 §2.2)
		len(client) == 0 && hasAnyPrefix(server, "HTTP/1.") && (f.MidStream || p.final): // a server that gives up early speaks before the client does
		f.Channel = "http"
		return newHTTPStream(), false
	case p.headers < mostProxyHeaders && isProxyHeader(client):
		return &proxyHeader{port: p.port, number: p.headers + 1}, false
	case hasAnyPrefix(client, "SSH-") || hasAnyPrefix(server, "SSH-"):
		f.Channel = "ssh"
		return &sshStream{}, false
	case isReply(server):
		return p.replying(f)
	case hasAnyPrefix(server, "* OK", "* PREAUTH", "* BYE"):
		f.Channel = "imap"
		return newMailStream("imap"), false
	case hasAnyPrefix(server, "+OK"):
		f.Channel = "pop3"
		return newMailStream("pop3"), false
	case isPostgres(client):
		f.Channel = "postgres"
		return &postgresStream{}, false
	case len(client) == 0 && len(server) > 0 && server[0] == postgresAgrees && isServerTLS(nil, server[1:]): // of the question nothing was captured
		f.Channel = "postgres"
		return &postgresStream{asked: true}, false
	case isMySQLGreeting(server) || p.port == 3306 && isMySQLRefusal(server):
		f.Channel = "mysql"
		return &mysqlStream{}, false
	case isRedis(client) || p.port == 6379 && isRedisInline(client, server):
		f.Channel = "redis"
		return nil, false
	case isLDAP(client, p.port):
		f.Channel = "ldap"
		return &upgradeStream{protocol: "ldap"}, false
	case isXMPP(client):
		f.Channel = "xmpp"
		return &upgradeStream{protocol: "xmpp"}, false
	case isSOCKS5(client, server), isSOCKS4(client, server):
		return &socksStream{version: client[0]}, false
	}
	if name := p.streamName(); name != "" {
		f.Channel = name
		switch {
		case name == "mssql":
			return &tdsStream{}, false
		case name == "openvpn":
			return newOpenVPN(client[2:], true), false
		}
		return &upgradeStream{protocol: name}, false
	}
	return nil, p.undecided()
}

// undecided says whether waiting can tell more.
func (p *place) undecided() bool {
	client, server := p.sides[initiator], p.sides[responder]
	switch {
	case p.final:
		return false
	case len(server) == 0 && (mayBeSOCKS5(client) || mayBeSOCKS4(client) || p.port == 6379 || p.port == 11211):
		return true
	case hasAnyPrefix(client, "<?xml") && len(client) < 512:
		return true
	case mayBeRequestLine(bytes.TrimLeft(client, "\r\n")):
		return true
	}
	return len(client) < enough // also when the server has greeted at length: the client's first words tell
}

// replying tells the protocols whose servers begin with a number: SMTP and FTP (RFC 5321 §4.2, RFC 959 §4.2).
func (p *place) replying(f *Flow) (next protocol, undecided bool) {
	client, server := p.sides[initiator], p.sides[responder]
	greeting, _, whole := bytes.Cut(bytes.ToUpper(server), []byte("\n"))
	words := bytes.ToUpper(client)
	smtp := p.port == 25 || p.port == 587 || hasAnyPrefix(words, "EHLO", "HELO", "LHLO") || bytes.Contains(greeting, []byte("SMTP")) || bytes.Contains(greeting, []byte("LMTP"))
	switch {
	case smtp:
	case p.port == 21, hasAnyPrefix(words, "USER", "AUTH", "FEAT", "OPTS", "SYST", "HOST"), bytes.Contains(greeting, []byte("FTP")):
		f.Channel = "ftp"
		return &ftpStream{}, false
	case !whole && len(greeting) < longestLine, len(words) < 4:
		if !p.final {
			return nil, true
		}
	}
	if !smtp && server[0] != '2' {
		return nil, false // a refusal that could be anybody's
	}
	f.Channel = "smtp"
	return newMailStream("smtp"), false
}

func isReply(b []byte) bool { return hasAnyPrefix(b, "220 ", "220-", "421 ", "554 ", "554-") }

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
	case 990:
		return "ftp"
	case 993:
		return "imap"
	case 995:
		return "pop3"
	case 853:
		return "dot"
	case 636, 3269:
		return "ldap"
	case 5223, 5270:
		return "xmpp"
	default:
		return "tls"
	}
}

// alpnChannel names TLS by the protocol that is spoken inside (IANA TLS ALPN Protocol IDs), "" when that tells nothing.
func alpnChannel(protocol string) string {
	switch protocol {
	case "h2", "http/1.1", "http/1.0":
		return "https"
	case "imap", "pop3", "ftp", "dot":
		return protocol
	case "postgresql":
		return "postgres"
	case "tds/8.0":
		return "mssql"
	case "xmpp-client", "xmpp-server":
		return "xmpp"
	default:
		return ""
	}
}

// isRedis knows a command as clients send it: an array of strings (RESP, https://redis.io/docs/latest/develop/reference/protocol-spec).
func isRedis(b []byte) bool {
	if len(b) < 4 || b[0] != '*' || b[1] < '1' || b[1] > '9' {
		return false
	}
	count, rest, ok := bytes.Cut(b[1:], []byte("\r\n"))
	return ok && strings.Trim(string(count), "0123456789") == "" && len(rest) >= 2 && rest[0] == '$' && rest[1] >= '0' && rest[1] <= '9'
}

// isRedisInline knows a command as people type it, by the answer.
func isRedisInline(client, server []byte) bool {
	return len(client) > 0 && (client[0] >= 'A' && client[0] <= 'Z' || client[0] >= 'a' && client[0] <= 'z') && len(server) > 0 && strings.ContainsRune("+-:$*", rune(server[0]))
}

// isLDAP knows a BER sequence with a message id and a request (RFC 4511 §4.1.1). At other ports than LDAP's only a bind, or what asks for TLS, will do.
func isLDAP(b []byte, port uint16) bool {
	if len(b) < 7 || b[0] != 0x30 {
		return false
	}
	n := 2
	if b[1] >= 0x81 && b[1] <= 0x84 { // a length in several bytes
		n += int(b[1] & 0x7f)
	}
	if len(b) < n+3 || b[n] != 0x02 || b[n+1] < 1 || b[n+1] > 4 {
		return false
	}
	n += 2 + int(b[n+1])
	if len(b) <= n {
		return false
	}
	const bind, search, extended, unbind = 0x60, 0x63, 0x77, 0x42
	if port == 389 || port == 3268 {
		return slices.Contains([]byte{bind, search, extended, unbind}, b[n])
	}
	return b[n] == bind && len(b) > n+4 && (string(b[n+2:n+5]) == "\x02\x01\x03" || string(b[n+2:n+5]) == "\x02\x01\x02") || b[n] == extended && bytes.Contains(b[n:], []byte("1.3.6.1.4.1.1466.20037"))
}

// isXMPP knows the beginning of a stream (RFC 6120 §4.2).
func isXMPP(b []byte) bool {
	return hasAnyPrefix(b, "<stream:stream") || hasAnyPrefix(b, "<?xml") && bytes.Contains(b, []byte("<stream:stream"))
}

// isMySQLRefusal knows the error with which a server turns a client away at once.
func isMySQLRefusal(b []byte) bool {
	return len(b) >= 7 && b[3] == 0 && b[4] == 0xff && int(b[0])+mysqlPacketHeader <= len(b) && b[1] == 0 && b[2] == 0 && binary.LittleEndian.Uint16(b[5:]) >= 1000
}
