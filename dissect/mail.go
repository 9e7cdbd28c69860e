package dissect

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"netaudit/dissect/tls"
)

// mailStream follows an SMTP (RFC 5321), LMTP (RFC 2033), IMAP (RFC 9051) or POP3 (RFC 1939) dialogue until TLS begins, without content or addresses: who greets, how
// far the dialogue went, how many messages were handed over, and whether STARTTLS was asked for and granted. Clients send commands before the answers to
// earlier ones came (RFC 2920), so commands wait in a row for theirs.
type mailStream struct {
	protocol string
	sides    [2][]byte // unfinished lines
	skip     [2]int    // bytes of content that a line announced: BDAT (RFC 3030), IMAP's literals
	greeted  bool
	granted  bool // TLS comes next
	lines    int

	waiting    []mailCommand // without a final answer, oldest first
	continued  bool          // the client's next line goes on with a command or answers a challenge: it is none itself
	content    bool          // the client sends a message until a line with a dot alone
	listing    bool          // the server does (POP3)
	lmtp       bool          // every recipient's message is answered
	recipients int           // that were accepted for the message under way
	fetch      imapFetch
}

type mailCommand struct{ name, tag string }

const (
	longestLine  = 4096
	mostLines    = 2000 // after which an unencrypted dialogue has shown all it will
	mostCommands = 128  // that wait for an answer; the oldest is forgotten
	longestTag   = 32
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

// What waits for an answer without being a command: the end of a message, and further answers to it.
const (
	mailMessage = "."
	mailCopy    = ".."
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
		c.proto = e.newTLSStream(c, m.protocol)
		c.proto.data(e, c, side, b, now)
		return
	}
	if m.skip[side] == 0 && (side == initiator && !m.content && isClientHello(b) || side == responder && !m.listing && isServerTLS(nil, b)) { // whoever is at the other end has taken another command for STARTTLS, or the client is not in the capture
		c.proto = behindGap(m.protocol)
		c.proto.data(e, c, side, b, now)
		return
	}
	buffer := append(m.sides[side], m.skipped(side, b)...)
	for {
		i := bytes.IndexByte(buffer, '\n')
		if i < 0 {
			break
		}
		line := bytes.TrimRight(buffer[:i], "\r")
		buffer = buffer[i+1:]
		if side == initiator {
			m.fromClient(c, line)
		} else {
			m.fromServer(c, line)
		}
		buffer = m.skipped(side, buffer)
		if m.lines++; m.lines > mostLines && !m.content && !m.listing {
			c.proto = nil
			return
		}
	}
	if len(buffer) > longestLine {
		buffer = buffer[:0] // content, not dialogue
	}
	m.sides[side] = append(m.sides[side][:0], buffer...)
}

// skipped is what follows the content that was announced.
func (m *mailStream) skipped(side int, b []byte) []byte {
	n := min(m.skip[side], len(b))
	m.skip[side] -= n
	return b[n:]
}

// fromClient reads a command. Its arguments are looked at for lengths alone.
func (m *mailStream) fromClient(c *conn, line []byte) {
	if m.content {
		if len(line) == 1 && line[0] == '.' {
			m.content = false
			m.message()
		}
		return
	}
	words := bytes.Fields(line)
	continued := m.continued
	m.continued = false
	if m.protocol == "imap" {
		m.literal(initiator, line)
		m.continued = m.skip[initiator] > 0
	}
	tag := ""
	if m.protocol == "imap" && len(words) > 0 {
		tag = string(words[0][:min(len(words[0]), longestTag)])
		words = words[1:]
		if len(words) > 1 && bytes.EqualFold(words[0], []byte("UID")) {
			words = words[1:]
		}
	}
	if continued || len(words) == 0 {
		return
	}
	m.command(c, mailCommand{strings.ToUpper(string(words[0][:min(len(words[0]), 12)])), tag}, words[1:])
}

func (m *mailStream) command(c *conn, command mailCommand, arguments [][]byte) {
	switch command.name {
	case "BDAT":
		if len(arguments) > 0 {
			m.announce(initiator, arguments[0])
		}
		if len(arguments) > 1 && bytes.EqualFold(arguments[1], []byte("LAST")) {
			m.message()
			return
		}
	case "LHLO":
		m.lmtp = true
	case "MAIL", "RSET":
		m.recipients = 0
	case "LIST", "UIDL":
		if m.protocol == "pop3" && len(arguments) > 0 {
			command.name += " n" // the answer is one line
		}
	case "QUIT", "LOGOUT":
		c.flow.Mail.State = mailQuit
	}
	m.wait(command)
}

// message waits for the answers to a message's end.
func (m *mailStream) message() {
	m.wait(mailCommand{name: mailMessage})
	for range min(m.recipients-1, mostCommands) {
		if m.lmtp {
			m.wait(mailCommand{name: mailCopy})
		}
	}
}

func (m *mailStream) wait(command mailCommand) {
	if len(m.waiting) >= mostCommands {
		m.waiting = slices.Delete(m.waiting, 0, 1)
	}
	m.waiting = append(m.waiting, command)
}

// answered takes the command that a final answer belongs to: the oldest, or the one with the tag.
func (m *mailStream) answered(tag string) (command mailCommand, ok bool) {
	i := slices.IndexFunc(m.waiting, func(w mailCommand) bool { return w.tag == tag })
	if i < 0 {
		return command, false
	}
	command = m.waiting[i]
	m.waiting = slices.Delete(m.waiting, i, i+1)
	return command, true
}

// literal reads the length with which a line of IMAP ends (RFC 9051 §4.3).
func (m *mailStream) literal(side int, line []byte) {
	if i := bytes.LastIndexByte(line, '{'); i >= 0 && bytes.HasSuffix(line, []byte("}")) {
		m.announce(side, bytes.TrimRight(line[i+1:len(line)-1], "+"))
	}
}

func (m *mailStream) announce(side int, length []byte) {
	if n, err := strconv.ParseUint(string(length), 10, 31); err == nil {
		m.skip[side] = int(n)
	}
}

// fromServer reads an answer.
func (m *mailStream) fromServer(c *conn, line []byte) {
	if m.listing {
		m.listing = len(line) != 1 || line[0] != '.'
		return
	}
	if !m.greeted {
		m.greeted = true
		c.flow.Mail.GreetingHost, c.flow.Mail.State = greetingHost(string(line)), mailGreeted
		return
	}
	switch m.protocol {
	case "smtp":
		m.smtpAnswer(c, line)
	case "pop3":
		m.pop3Answer(c, line)
	default:
		m.imapAnswer(c, line)
	}
}

// smtpAnswer reads the last line of a reply (RFC 5321 §4.2).
func (m *mailStream) smtpAnswer(c *conn, line []byte) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' || strings.Trim(string(line[:3]), "0123456789") != "" {
		return
	}
	if line[0] == '3' {
		if i := slices.IndexFunc(m.waiting, func(w mailCommand) bool { return w.name == "DATA" }); i >= 0 && string(line[:3]) == "354" {
			m.waiting = slices.Delete(m.waiting, 0, i+1)
			m.content = true
			return
		}
		m.continued = true
		return
	}
	if command, ok := m.answered(""); ok && line[0] == '2' {
		m.agreed(c, command.name)
	}
}

// pop3Answer reads a status indicator (RFC 1939 §3, RFC 5034 §4).
func (m *mailStream) pop3Answer(c *conn, line []byte) {
	switch {
	case bytes.HasPrefix(line, []byte("+OK")):
		if command, ok := m.answered(""); ok {
			m.listing = slices.Contains([]string{"RETR", "TOP", "LIST", "UIDL", "CAPA"}, command.name)
			m.agreed(c, command.name)
		}
	case bytes.HasPrefix(line, []byte("-ERR")):
		m.answered("")
	case bytes.HasPrefix(line, []byte("+")):
		m.continued = true
	}
}

// imapAnswer reads a tagged answer; all others only for the content that they announce.
func (m *mailStream) imapAnswer(c *conn, line []byte) {
	m.literal(responder, line)
	if m.fetch.message(line, m.skip[responder] > 0) {
		m.agreed(c, mailMessage)
		return
	}
	tag, rest, _ := bytes.Cut(line, []byte(" "))
	if string(tag) == "+" {
		m.continued = true
		return
	}
	if command, ok := m.answered(string(tag[:min(len(tag), longestTag)])); ok && bytes.HasPrefix(bytes.ToUpper(rest[:min(len(rest), 2)]), []byte("OK")) {
		m.agreed(c, command.name)
	}
}

// agreed notes a command that the server has followed.
func (m *mailStream) agreed(c *conn, command string) {
	f := c.flow.Mail
	state := f.State
	switch command {
	case "STARTTLS", "STLS":
		m.granted, f.StartTLS = true, true
		state = mailTLS
	case "EHLO", "HELO", "LHLO", "CAPA", "CAPABILITY":
		if state == mailGreeted {
			state = mailHello
		}
	case "RCPT":
		m.recipients++
	case "AUTH", "PASS", "APOP", "LOGIN", "AUTHENTICATE":
		state = mailAuthenticated
	case "SELECT", "EXAMINE":
		m.fetch = imapFetch{}
	case mailMessage, "RETR", "APPEND":
		state = mailTransfer
		f.Messages++
	}
	if f.State != mailQuit { // said before the answers to earlier commands came
		f.State = state
	}
}

// greetingHost is the name that the server gives itself: the first word of the greeting that looks like one.
func greetingHost(line string) string {
	if len(line) > 4 && strings.Trim(line[:3], "0123456789") == "" {
		line = line[4:]
	}
	for _, word := range strings.Fields(line) {
		word = strings.TrimRight(strings.Trim(word, "<>[]();,"), ".")
		last := word[strings.LastIndexByte(word, '.')+1:]
		if len(last) < len(word) && !strings.ContainsAny(word, "@/:=") && strings.Trim(last, "0123456789") != "" {
			return tls.CleanName([]byte(word))
		}
	}
	return ""
}

func (m *mailStream) gap(_ *Engine, c *conn, _ int, _ int) { c.proto = behindGap(m.protocol) }
func (m *mailStream) end(*Engine, *conn)                   {}
