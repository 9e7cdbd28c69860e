package dissect

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"netaudit/dissect/tls"
)

const (
	mostWaiting = 64       // queries of one conversation that wait for their answer
	mostAnswers = 64       // answers that are kept of one message
	longestDNS  = 64 << 10 // bytes of a message over TCP
)

// dnsConversation pairs queries and responses (RFC 1035). It is what UDP and TCP have in common.
type dnsConversation struct {
	waiting []*DNS
	good    bool // at least one message could be read
}

// dnsDatagrams reads DNS over UDP, one message a datagram.
type dnsDatagrams struct{ dnsConversation }

func (d *dnsDatagrams) data(e *Engine, c *conn, _ int, b []byte, now int64) { d.message(e, c, b, now) }
func (d *dnsDatagrams) gap(*Engine, *conn, int, int)                        {}
func (d *dnsDatagrams) end(e *Engine, c *conn)                              { d.flush(e, c) }

// dnsStream reads DNS over TCP: each message is preceded by its length (RFC 7766).
type dnsStream struct {
	dnsConversation
	sides [2][]byte
}

func (d *dnsStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	buffer := append(d.sides[side], b...)
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

func (d *dnsStream) gap(e *Engine, c *conn, _ int, _ int) {
	d.flush(e, c)
	c.proto = nil
}
func (d *dnsStream) end(e *Engine, c *conn) { d.flush(e, c) }

// message reads one DNS message and pairs it.
func (d *dnsConversation) message(e *Engine, c *conn, b []byte, now int64) {
	var m dns.Msg
	if err := m.Unpack(b); err != nil && (len(m.Question) == 0 || !m.Response) {
		e.damage("dns: message")
		return
	}
	if len(m.Question) == 0 {
		if m.Response && len(m.Answer) > 0 { // multicast DNS answers without a question (RFC 6762 §6)
			d.good = true
			q := dns.Question{Name: m.Answer[0].Header().Name, Qtype: m.Answer[0].Header().Rrtype}
			d.respond(e, c, &m, q, now)
			return
		}
		e.damage("dns: no question")
		return
	}
	d.good = true
	if !m.Response {
		for _, q := range m.Question[:min(len(m.Question), 8)] {
			d.query(e, c, &m, q, now)
		}
		return
	}
	d.respond(e, c, &m, m.Question[0], now)
}

func (d *dnsConversation) query(e *Engine, c *conn, m *dns.Msg, q dns.Question, now int64) {
	t := &DNS{Name: dnsName(q.Name), Type: dnsType(q.Qtype), ID: m.Id, Start: now, End: now}
	for _, w := range d.waiting {
		if w.ID == t.ID && w.Name == t.Name && w.Type == t.Type {
			return // asked again: the same transaction
		}
	}
	if len(d.waiting) >= mostWaiting {
		e.sink.DNSMessage(&c.flow, d.waiting[0])
		d.waiting = slices.Delete(d.waiting, 0, 1)
	}
	d.waiting = append(d.waiting, t)
}

func (d *dnsConversation) respond(e *Engine, c *conn, m *dns.Msg, q dns.Question, now int64) {
	t := &DNS{Name: dnsName(q.Name), Type: dnsType(q.Qtype), ID: m.Id, Start: now, End: now}
	for i, w := range d.waiting {
		if w.ID == t.ID && w.Name == t.Name && w.Type == t.Type {
			t = w
			t.End, t.Latency = now, max(0, now-w.Start)
			d.waiting = slices.Delete(d.waiting, i, i+1)
			break
		}
	}
	t.RCode = dns.RcodeToString[m.Rcode]
	if t.RCode == "" {
		t.RCode = "RCODE" + strconv.Itoa(m.Rcode)
	}
	d.answers(e, c, m, t, now)
	e.sink.DNSMessage(&c.flow, t)
}

// answers keeps the data of the answer section, and lets addresses name the connections that follow.
func (d *dnsConversation) answers(e *Engine, c *conn, m *dns.Msg, t *DNS, now int64) {
	for i, rr := range m.Answer {
		if i >= mostAnswers {
			break
		}
		text, addr := answerData(rr)
		t.Answers = append(t.Answers, text)
		if ttl := rr.Header().Ttl; i == 0 || ttl < t.TTL {
			t.TTL = ttl
		}
		if addr.IsValid() {
			// An answer to A or AAAA names the query's name, also through a chain of CNAMEs: that is the name the client wanted.
			e.config.Names.Add(c.flow.Src.Addr(), addr, t.Name, rr.Header().Ttl, now)
		}
	}
}

// answerData is a record's data in presentation form, and its address if it has one.
func answerData(rr dns.RR) (string, netip.Addr) {
	switch r := rr.(type) {
	case *dns.A:
		if a, ok := netip.AddrFromSlice(r.A); ok {
			a = a.Unmap()
			return a.String(), a
		}
	case *dns.AAAA:
		if a, ok := netip.AddrFromSlice(r.AAAA); ok {
			return a.String(), a
		}
	case *dns.CNAME:
		return dnsName(r.Target), netip.Addr{}
	case *dns.PTR:
		return dnsName(r.Ptr), netip.Addr{}
	case *dns.NS:
		return dnsName(r.Ns), netip.Addr{}
	case *dns.MX:
		return strconv.Itoa(int(r.Preference)) + " " + dnsName(r.Mx), netip.Addr{}
	}
	text := rr.String()
	if _, data, ok := strings.Cut(text, rr.Header().String()); ok {
		text = data
	}
	return tls.CleanText(text), netip.Addr{}
}

// dnsName is a name in lower case without the final dot; "." is the root.
func dnsName(name string) string {
	if name == "." || name == "" {
		return "."
	}
	return tls.CleanName([]byte(name))
}

func dnsType(t uint16) string {
	if name, ok := dns.TypeToString[t]; ok {
		return name
	}
	return "TYPE" + strconv.Itoa(int(t))
}

// flush hands out the queries that were never answered.
func (d *dnsConversation) flush(e *Engine, c *conn) {
	for _, t := range d.waiting {
		e.sink.DNSMessage(&c.flow, t)
	}
	d.waiting = nil
}
