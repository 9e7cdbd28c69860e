package dissect

import (
	"slices"

	"netaudit/dissect/dns"
	"netaudit/tap/decode"
)

const (
	mostWaiting = 64       // queries of one conversation that wait for their answer
	longestDNS  = 64 << 10 // bytes of a message over TCP
)

// dnsConversation pairs queries and responses (RFC 1035). It is what UDP and TCP have in common.
type dnsConversation struct {
	waiting []*DNS
	space   [2]*DNS // of waiting: a resolver asks for A and AAAA from one port
	good    bool    // at least one message could be read

	transfer uint16 // the question whose first answer was read, when that was for a zone
	moving   bool   // transfer is set
}

// dnsDatagrams reads DNS over UDP, one message a datagram.
type dnsDatagrams struct{ dnsConversation }

func (e *Engine) newDNSDatagrams() *dnsDatagrams {
	d := e.datagrams.take()
	*d = dnsDatagrams{}
	return d
}

func (d *dnsDatagrams) data(e *Engine, c *conn, side int, b []byte, now int64) {
	if !d.good && !mayBeDNS(b) {
		d.surrender(e, c)
		c.proto.data(e, c, side, b, now)
		return
	}
	d.message(e, c, b, now)
}

// surrender leaves the conversation to whoever knows what is said: tunnels and others take the port because it is open everywhere.
func (d *dnsDatagrams) surrender(e *Engine, c *conn) {
	e.damage("dns: no message of DNS")
	d.end(e, c)
	c.flow.Channel = baseChannel(c.flow.Proto)
	c.proto = firstDatagram{}
}

func (d *dnsDatagrams) gap(*Engine, *conn, int, int) {}

func (d *dnsDatagrams) end(e *Engine, c *conn) {
	d.flush(e, c)
	e.datagrams.give(d)
}

// reused tells the next question on a port whose questions are all answered: a resolver's port is somebody else's a moment later. Name servers that talk to each other from
// port 53 to port 53 keep theirs.
func (d *dnsDatagrams) reused(c *conn, h *decode.Headers) bool {
	return c.answered && len(d.waiting) == 0 && h.Src == c.flow.Src.Addr() && h.SrcPort == c.flow.Src.Port() && h.SrcPort != h.DstPort && h.PayloadLength > 0
}

// dnsStream reads DNS over TCP: each message is preceded by its length (RFC 7766).
type dnsStream struct {
	dnsConversation
	sides  [2][]byte
	adrift [2]adrift
}

func (d *dnsStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	if b = d.regain(e, c, side, b); len(b) == 0 {
		return
	}
	buffer := append(d.sides[side], b...)
	if !d.good && (isClientHello(buffer) || !mayBeDNS(buffer[min(2, len(buffer)):])) {
		if c.flow.MidStream && !beginsOther(buffer) { // the capture may have begun within a message
			d.adrift[side].looks = mostLateLooks
			return
		}
		d.sides[side] = buffer
		d.surrender(e, c, now)
		return
	}
	for len(buffer) >= 2 {
		n := 2 + int(buffer[0])<<8 + int(buffer[1])
		if len(buffer) < n {
			break
		}
		d.message(e, c, buffer[2:n], now)
		buffer = buffer[n:]
	}
	if len(buffer) > longestDNS {
		e.damage("dns: message too long")
		c.proto = nil
		return
	}
	d.sides[side] = append(d.sides[side][:0], buffer...)
	if d.good {
		c.flow.Channel = "dns"
	}
}

// surrender leaves the connection to whoever knows what is said.
func (d *dnsStream) surrender(e *Engine, c *conn, now int64) {
	c.proto = firstLook{}
	for side, b := range d.sides {
		if len(b) > 0 && c.proto != nil {
			c.proto.data(e, c, side, b, now)
		}
	}
}

// gap goes on behind bytes that are missing: within a message its length tells where the next one begins, else a segment that begins with one.
func (d *dnsStream) gap(e *Engine, c *conn, side int, n int) {
	left := d.adrift[side].skip
	if b := d.sides[side]; len(b) >= 2 {
		left = 2 + int(b[0])<<8 + int(b[1]) - len(b)
		d.message(e, c, b[2:], c.flow.End) // what is there of it
	}
	d.sides[side] = nil
	d.adrift[side].hole(left, n)
}

// regain finds the beginning of a message behind a gap, and returns what is there from it on.
func (d *dnsStream) regain(e *Engine, c *conn, side int, b []byte) []byte {
	a := &d.adrift[side]
	if b = a.pass(b); a.looks == 0 || len(b) == 0 {
		return b
	}
	for at, tries := 0, mostTries; at < len(b) && tries > 0; at++ {
		if !mayBeginDNS(b[at:], at == 0) {
			continue
		}
		tries--
		if e.isDNS(b[at+2 : min(at+2+int(b[at])<<8+int(b[at+1]), len(b))]) {
			a.looks = 0
			return b[at:]
		}
	}
	if !d.good && beginsOther(b) {
		a.looks = 0
		return b
	}
	if a.looks--; a.looks == 0 {
		d.flush(e, c)
		c.proto = nil
	}
	return nil
}

// beginsOther knows what is told by a segment in the middle of a connection, as lateLook does.
func beginsOther(b []byte) bool {
	return isClientHello(b) || isServerTLS(nil, b) || isApplicationRecord(b) || isRequestLine(b) || hasAnyPrefix(b, "HTTP/1.")
}

func (d *dnsStream) end(e *Engine, c *conn) { d.flush(e, c) }

// mayBeDNS looks at the header of a message as far as it is there: the kinds of query that exist, and no more questions than anybody asks at once (RFC 1035 §4.1.1).
func mayBeDNS(b []byte) bool {
	const counts, mostQuestions, lastOpcode = 4, 64, 6 // multicast asks for dozens at once
	return (len(b) <= 2 || b[2]>>3&15 <= lastOpcode) && (len(b) <= counts || b[counts] == 0) && (len(b) <= counts+1 || b[counts+1] <= mostQuestions)
}

// isDNS reads a message as a whole, or what is there of it: a question is the least.
func (e *Engine) isDNS(b []byte) bool {
	if !mayBeDNS(b) {
		return false
	}
	err := e.dns.Parse(b)
	return len(e.dns.Questions) > 0 && (err == nil || err == dns.ErrShort)
}

// mostTries is how many places of a segment are read as if a message began there.
const mostTries = 32

// mayBeginDNS looks at the length and the header of a message with one question. Only what a segment begins with may be cut.
func mayBeginDNS(b []byte, cut bool) bool {
	const counts = 2 + 4
	if len(b) < counts+2 || b[counts] != 0 || b[counts+1] != 1 {
		return false
	}
	n := 2 + int(b[0])<<8 + int(b[1])
	return (n <= len(b) || cut) && n > counts && mayBeDNS(b[2:])
}

// isPlainQuery knows a question that stands alone in a datagram, whatever the port: nothing else has so many bits in their places.
func isPlainQuery(b []byte) bool {
	const header, opt, internet, nbns, longestLabel = 12, 41, 1, 32, 63 // NetBIOS asks for its names in the same form
	if len(b) < header+5 || b[2]&0xfe != 0 || b[3]&0xcf != 0 || string(b[4:11]) != "\x00\x01\x00\x00\x00\x00\x00" || b[11] > 1 {
		return false
	}
	at := header
	for b[at] != 0 {
		n := int(b[at])
		if at += 1 + n; n > longestLabel || at+5 > len(b) {
			return false
		}
	}
	if b[at+2] == nbns && b[at+1] == 0 || b[at+3] != 0 || b[at+4] != internet {
		return false
	}
	rest := b[at+5:]
	return b[11] == 0 && len(rest) == 0 || b[11] == 1 && len(rest) >= 11 && rest[0] == 0 && rest[1] == 0 && rest[2] == opt
}

// message reads one DNS message and pairs it.
func (d *dnsConversation) message(e *Engine, c *conn, b []byte, now int64) {
	m := &e.dns
	if err := m.Parse(b); err != nil {
		e.damage("dns: " + err.Error())
		if len(m.Questions) == 0 {
			return
		}
	}
	if len(m.Questions) == 0 && m.Response { // a refusal may leave the question out (RFC 1035 §4.1.1 does not demand it)
		if i := slices.IndexFunc(d.waiting, func(w *DNS) bool { return w.ID == m.ID }); i >= 0 {
			d.good = true
			d.complete(e, c, m, i, now)
			return
		}
	}
	switch {
	case d.continues(m):
	case len(m.Questions) == 0 && m.Response && len(m.Answers) > 0: // multicast DNS answers without a question (RFC 6762 §6)
		d.good = true
		d.respond(e, c, m, dns.Question{Name: m.Answers[0].Name, Type: m.Answers[0].Type}, now)
	case len(m.Questions) == 0:
		e.damage("dns: no question")
	case m.Response:
		d.good = true
		d.respond(e, c, m, m.Questions[0], now)
	default:
		d.good = true
		for _, q := range m.Questions {
			d.query(e, c, m, q, now)
		}
	}
}

// continues knows a further message of a zone's transfer (RFC 5936 §2.2): it may repeat the question.
func (d *dnsConversation) continues(m *dns.Message) bool {
	return d.moving && m.Response && m.ID == d.transfer && (len(m.Questions) == 0 || isTransfer(m.Questions[0].Type))
}

func isTransfer(kind uint16) bool { return kind == dns.TypeIXFR || kind == dns.TypeAXFR }

// pending finds the query that an answer, or a repetition, belongs to; -1 when there is none.
func (d *dnsConversation) pending(m *dns.Message, q dns.Question) int {
	return slices.IndexFunc(d.waiting, func(w *DNS) bool {
		return w.ID == m.ID && w.kind == q.Type && w.Name == q.Name.Text()
	})
}

func (d *dnsConversation) query(e *Engine, c *conn, m *dns.Message, q dns.Question, now int64) {
	if d.pending(m, q) >= 0 {
		return // asked again: the same transaction
	}
	if len(d.waiting) >= mostWaiting {
		e.handOut(c, d.waiting[0])
		d.waiting = slices.Delete(d.waiting, 0, 1)
	}
	if d.waiting == nil {
		d.waiting = d.space[:0]
	}
	d.moving = d.moving && m.ID != d.transfer
	d.waiting = append(d.waiting, e.newDNS(c, m, q, now))
}

// newDNS begins a transaction, and counts its name.
func (e *Engine) newDNS(c *conn, m *dns.Message, q dns.Question, now int64) *DNS {
	t := e.questions.take()
	answers := t.Answers[:0]
	*t = DNS{} // apart from what follows: it is cleared in place and not copied
	t.Name, t.Type, t.kind, t.ID, t.EDNS, t.Start, t.End, t.Answers = q.Name.Text(), dns.TypeName(q.Type), q.Type, m.ID, m.EDNS, now, now, answers
	e.zones.count(&t.Zone, c.flow.Src.Addr(), t.Name, now)
	return t
}

func (d *dnsConversation) respond(e *Engine, c *conn, m *dns.Message, q dns.Question, now int64) {
	if i := d.pending(m, q); i >= 0 {
		d.complete(e, c, m, i, now)
		return
	}
	d.answer(e, c, m, e.newDNS(c, m, q, now), now)
}

// complete gives a query that waits its answer.
func (d *dnsConversation) complete(e *Engine, c *conn, m *dns.Message, i int, now int64) {
	t := d.waiting[i]
	t.End, t.Latency = now, max(0, now-t.Start)
	d.waiting = slices.Delete(d.waiting, i, i+1)
	d.answer(e, c, m, t, now)
}

func (d *dnsConversation) answer(e *Engine, c *conn, m *dns.Message, t *DNS, now int64) {
	t.RCode, t.Truncated, t.MoreAnswers = dns.RCodeName(m.RCode), m.Truncated, m.MoreAnswers
	d.answers(e, c, m, t, now)
	if isTransfer(t.kind) {
		d.moving, d.transfer = true, t.ID
	}
	e.handOut(c, t)
}

// handOut gives a transaction to the sink and takes its memory back.
func (e *Engine) handOut(c *conn, t *DNS) {
	e.sink.DNSMessage(&c.flow, t)
	e.questions.give(t)
}

// mostAnswerTexts is how many answers a row shows; addresses beyond them name connections, too.
const mostAnswerTexts = 64

// answers keeps the data of the answer section, and lets addresses name the connections that follow.
func (d *dnsConversation) answers(e *Engine, c *conn, m *dns.Message, t *DNS, now int64) {
	if len(m.Answers) == 0 {
		return
	}
	var text [128]byte
	for i := range m.Answers {
		r := &m.Answers[i]
		if i < mostAnswerTexts {
			word, ok := m.Word(r)
			if !ok {
				word = e.words.of(m.AppendData(text[:0], r))
			}
			t.Answers = append(t.Answers, word)
		} else {
			t.MoreAnswers++
		}
		if i == 0 || r.TTL < t.TTL {
			t.TTL = r.TTL
		}
		// An answer to A or AAAA names the query's name, also through a chain of CNAMEs: that is the name the client wanted. A zone has addresses of others.
		if addr, ok := m.Address(r); ok {
			if isTransfer(t.kind) {
				continue
			}
			e.learnName(c.flow.Src.Addr(), addr, t.Name, r.TTL, now)
			continue
		}
		if s, ok := m.Service(r); ok {
			if len(s.ECH) > 0 {
				t.ECH = true
				e.learnECH(s.ECH, r.TTL, now)
			}
			for _, addr := range s.Hints {
				e.learnName(c.flow.Src.Addr(), addr, t.Name, r.TTL, now)
			}
		}
	}
}

// flush hands out the queries that were never answered.
func (d *dnsConversation) flush(e *Engine, c *conn) {
	for _, t := range d.waiting {
		e.handOut(c, t)
	}
	d.waiting = nil
}
