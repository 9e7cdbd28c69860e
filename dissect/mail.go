package dissect

import (
	"bytes"
	"strconv"
	"strings"

	"netaudit/dissect/tls"
)

// mailStream follows an SMTP (RFC 5321), IMAP (RFC 9051) or POP3 (RFC 1939) dialogue until TLS begins, without content or addresses:
// who greets, how far the dialogue went, how many messages were handed over, and whether STARTTLS was asked for and granted.
type mailStream struct {
	protocol string
	sides    [2][]byte // unfinished lines
	greeted  bool
	asked    bool // the client asked for TLS
	granted  bool
	lines    int

	command string // what the client asked last
	content bool   // the client sends a message until a line with a dot alone
	skip    int    // bytes of content that a command announced: BDAT (RFC 3030), IMAP's literals
}

const (
	longestLine = 4096
	mostLines   = 2000 // after which an unencrypted dialogue has shown all it will
)

// Phases of a mail dialogue, in the order in which they come.
const (
	mailGreeted       = "greeted"
	mailHello         = "hello"
	mailTLS           = "tls"
	mailAuthenticated = "authenticated"
	mailTransfer      = "transfer" // a message was handed over, or a mailbox read
	mailQuit          = "quit"
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
	if side == initiator && m.skip > 0 {
		n := min(m.skip, len(b))
		m.skip -= n
		b = b[n:]
	}
	buffer := append(m.sides[side], b...)
	for {
		i := bytes.IndexByte(buffer, '\n')
		if i < 0 {
			break
		}
		line := bytes.TrimRight(buffer[:i], "\r")
		buffer = buffer[i+1:]
		if side == initiator {
			m.fromClient(c, line)
			n := min(m.skip, len(buffer))
			m.skip -= n
			buffer = buffer[n:]
		} else {
			m.fromServer(c, line)
		}
		if m.lines++; m.lines > mostLines && !m.content {
			c.proto = nil
			return
		}
	}
	if len(buffer) > longestLine {
		buffer = buffer[:0] // content, not dialogue
	}
	m.sides[side] = append(m.sides[side][:0], buffer...)
}

// fromClient reads a command. Its arguments are looked at for lengths alone.
func (m *mailStream) fromClient(c *conn, line []byte) {
	if m.content {
		m.content = string(line) != "."
		return
	}
	words := bytes.Fields(line[:min(len(line), 512)])
	if m.protocol == "imap" && len(words) > 0 {
		words = words[1:] // the tag
	}
	if len(words) == 0 {
		return
	}
	m.command = strings.ToUpper(string(words[0][:min(len(words[0]), 12)]))
	m.asked = m.command == "STARTTLS" || m.command == "STLS"
	switch m.command {
	case "BDAT":
		if len(words) > 1 {
			m.announce(words[1])
		}
	case "QUIT", "LOGOUT":
		c.flow.Mail.State = mailQuit
	}
	if last := words[len(words)-1]; m.protocol == "imap" && len(last) > 2 && last[0] == '{' && last[len(last)-1] == '}' {
		m.announce(bytes.TrimRight(last[1:len(last)-1], "+"))
	}
}

func (m *mailStream) announce(length []byte) {
	if n, err := strconv.ParseUint(string(length), 10, 31); err == nil {
		m.skip = int(n)
	}
}

// fromServer reads an answer.
func (m *mailStream) fromServer(c *conn, line []byte) {
	text := strings.ToUpper(string(line[:min(len(line), 32)]))
	if !m.greeted {
		m.greeted = true
		c.flow.Mail.GreetingHost, c.flow.Mail.State = greetingHost(string(line)), mailGreeted
		return
	}
	if m.protocol == "smtp" && strings.HasPrefix(text, "354") && m.command == "DATA" {
		m.content = true
		return
	}
	if !m.positive(text) {
		return
	}
	if m.asked {
		m.asked, m.granted = false, true
		c.flow.Mail.StartTLS, c.flow.Mail.State = true, mailTLS
		return
	}
	m.advance(c)
}

// advance notes what the server has just agreed to.
func (m *mailStream) advance(c *conn) {
	f := c.flow.Mail
	switch m.command {
	case "EHLO", "HELO", "LHLO", "CAPA", "CAPABILITY":
		if f.State == mailGreeted {
			f.State = mailHello
		}
	case "AUTH", "PASS", "APOP", "LOGIN", "AUTHENTICATE":
		f.State = mailAuthenticated
	case "DATA", "BDAT", "RETR", "FETCH", "APPEND":
		f.State = mailTransfer
		f.Messages++
		m.command = ""
	}
}

// positive tells the server's final agreement to a command.
func (m *mailStream) positive(line string) bool {
	switch m.protocol {
	case "smtp":
		return len(line) >= 4 && line[0] == '2' && line[3] == ' ' || len(line) == 3 && line[0] == '2'
	case "pop3":
		return strings.HasPrefix(line, "+OK")
	default:
		tag, rest, ok := strings.Cut(line, " ")
		return ok && tag != "*" && strings.HasPrefix(rest, "OK")
	}
}

// greetingHost is the name that the server gives itself: the first word of the greeting that looks like one.
func greetingHost(line string) string {
	line = strings.TrimPrefix(strings.TrimPrefix(line, "220 "), "220-")
	for _, word := range strings.Fields(line) {
		word = strings.TrimRight(strings.Trim(word, "<>[]();,"), ".")
		if strings.Contains(word, ".") && !strings.ContainsAny(word, "@/:=") && strings.Trim(word, "0123456789.") != "" {
			return tls.CleanName([]byte(word))
		}
	}
	return ""
}

func (m *mailStream) gap(_ *Engine, c *conn, _ int, _ int) { c.proto = nil }
func (m *mailStream) end(*Engine, *conn)                   {}
