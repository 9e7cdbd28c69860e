package dissect

import (
	"bytes"
	"strings"

	"netaudit/dissect/tls"
)

// mailStream follows an SMTP (RFC 5321), IMAP (RFC 9051) or POP3 (RFC 1939) dialogue until TLS begins, without content or addresses:
// who greets, and whether STARTTLS was asked for and granted.
type mailStream struct {
	protocol string
	sides    [2][]byte // unfinished lines
	greeted  bool
	asked    bool // the client asked for TLS
	granted  bool
	lines    int
}

const (
	longestLine = 4096
	mostLines   = 200 // after which an unencrypted dialogue has shown all it will
)

func newMailStream(protocol string) *mailStream { return &mailStream{protocol: protocol} }

func (m *mailStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	if c.flow.Mail == nil {
		c.flow.Mail = &Mail{Protocol: m.protocol}
	}
	if m.granted && side == initiator {
		if !isClientHello(b) && len(b) >= 6 {
			c.proto = nil
			return
		}
		c.proto = newTLSStream(m.protocol)
		c.proto.data(e, c, side, b, now)
		return
	}
	buffer := append(m.sides[side], b...)
	for {
		i := bytes.IndexByte(buffer, '\n')
		if i < 0 {
			break
		}
		m.line(c, side, strings.TrimRight(string(buffer[:i]), "\r"))
		buffer = buffer[i+1:]
		if m.lines++; m.lines > mostLines {
			c.proto = nil
			return
		}
	}
	if len(buffer) > longestLine {
		buffer = buffer[:0] // content, not dialogue
	}
	m.sides[side] = append(m.sides[side][:0], buffer...)
}

func (m *mailStream) line(c *conn, side int, line string) {
	upper := strings.ToUpper(line)
	if side == initiator {
		words := strings.Fields(upper)
		m.asked = len(words) > 0 && (words[0] == "STARTTLS" || words[0] == "STLS" || len(words) == 2 && words[1] == "STARTTLS")
		return
	}
	if !m.greeted {
		m.greeted = true
		c.flow.Mail.GreetingHost = greetingHost(line)
	}
	if m.asked && m.positive(upper) {
		m.asked, m.granted = false, true
		c.flow.Mail.StartTLS = true
	}
}

// positive tells the server's agreement to STARTTLS.
func (m *mailStream) positive(line string) bool {
	switch m.protocol {
	case "smtp":
		return strings.HasPrefix(line, "220")
	case "pop3":
		return strings.HasPrefix(line, "+OK")
	default:
		_, rest, ok := strings.Cut(line, " ")
		return ok && strings.HasPrefix(rest, "OK")
	}
}

// greetingHost is the name that the server gives itself: the first word of the greeting that looks like one.
func greetingHost(line string) string {
	line = strings.TrimPrefix(strings.TrimPrefix(line, "220 "), "220-")
	for _, word := range strings.Fields(line) {
		word = strings.Trim(word, "<>[]();,")
		if strings.Contains(word, ".") && !strings.ContainsAny(word, "@/:=") && strings.Trim(word, "0123456789.") != "" {
			return tls.CleanName([]byte(word))
		}
	}
	return ""
}

func (m *mailStream) gap(_ *Engine, c *conn, _ int, _ int) { c.proto = nil }
func (m *mailStream) end(*Engine, *conn)                   {}
