package dissect

import (
	"bytes"
	"encoding/base32"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"

	"netaudit/tap"
)

// lookups sends one query after the other through an engine, each from a port of its own, and returns the transactions.
func lookups(t *testing.T, names []string) []DNS {
	t.Helper()
	w := newWire(t)
	c := &collector{}
	e := New(Config{}, c)
	for i, name := range names {
		b, err := new(miekg.Msg).SetQuestion(miekg.Fqdn(name), miekg.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		w.cport = uint16(20000 + i)
		p := w.datagram(true, 53, b)
		e.Packet(&p)
	}
	e.Close()
	if len(c.dns) != len(names) {
		t.Fatalf("%d transactions, want %d", len(c.dns), len(names))
	}
	return c.dns
}

func TestTunnelThroughDNSShowsInItsNumbers(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	var names []string
	for range 300 {
		data := make([]byte, 30)
		_, _ = random.Read(data)
		names = append(names, base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(data)+".t.tunnel.co.uk")
	}
	last := lookups(t, names)[299].Zone
	if last.Name != "tunnel.co.uk" || last.Queries != 300 || last.Names < 270 || last.Names > 330 || last.Bytes != 300*50 || last.Entropy < 380 {
		t.Errorf("%+v; want 300 queries for some 300 random names of 50 bytes below tunnel.co.uk", last)
	}
	names = nil
	for i := range 300 {
		names = append(names, []string{"www", "mail", "static", "api"}[i%4]+".honest.example")
	}
	if last := lookups(t, names)[299].Zone; last.Names != 4 || last.Queries != 300 || last.Entropy > 300 {
		t.Errorf("%+v; want four names of words", last)
	}
}

// TestNextQuestionOnAnAnsweredPortIsAnotherFlow: the kernel gives a resolver's port to another thread a moment later, whose addon is another one. Questions that are under
// way together share their flow.
func TestNextQuestionOnAnAnsweredPortIsAnotherFlow(t *testing.T) {
	w := newWire(t)
	message := func(id uint16, name string, answer bool) tap.Packet {
		m := new(miekg.Msg).SetQuestion(name, miekg.TypeA)
		m.Id, m.Response = id, answer
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return w.datagram(!answer, 53, b)
	}
	flows := run(message(1, "a.example.", false), message(2, "b.example.", false), message(1, "a.example.", true), message(2, "b.example.", true),
		message(3, "c.example.", false), message(3, "c.example.", true))
	if len(flows) != 2 || flows[0].SrcPackets != 2 || flows[0].DstPackets != 2 || flows[1].SrcPackets != 1 || flows[1].DstPackets != 1 {
		t.Errorf("%+v, want a flow with two questions and one with one", flows)
	}
}

// TestAddressesThatAreNotShownNameConnectionsToo: a name may have more addresses than a row shows.
func TestAddressesThatAreNotShownNameConnectionsToo(t *testing.T) {
	w := newWire(t)
	c, names := &collector{}, NewNames(0)
	e := New(Config{Names: names}, c)
	m := new(miekg.Msg).SetQuestion("many.example.", miekg.TypeA)
	m.Response, m.Compress = true, true
	for i := range 100 {
		rr, err := miekg.NewRR(fmt.Sprintf("many.example. 60 IN A 192.0.2.%d", i))
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	p := w.datagram(false, 53, b)
	at := p.Time
	e.Packet(&p)
	e.Close()
	if len(c.dns) != 1 || len(c.dns[0].Answers) != mostAnswerTexts || c.dns[0].MoreAnswers != 100-mostAnswerTexts {
		t.Fatalf("%+v, want 64 answers of 100", c.dns)
	}
	for _, i := range []int{0, 63, 64, 99} {
		if name, ok := names.Lookup(c.closed[0].Src.Addr(), netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), at); !ok || name != "many.example" {
			t.Errorf("address %d has the name %q", i, name)
		}
	}
}

func TestClientsAndHoursAreCountedApart(t *testing.T) {
	z := newZones([32]byte{})
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	count := func(client netip.Addr, name string, now int64) (sums Zone) {
		z.count(&sums, client, name, now)
		return sums
	}
	count(a, "x.example.org", 0)
	if got := count(b, "x.example.org", 1); got.Queries != 1 {
		t.Errorf("another client: %+v", got)
	}
	if got := count(a, "y.example.org", zoneWindow-1); got.Queries != 2 || got.Names != 2 || got.Bytes != 2 {
		t.Errorf("within the hour: %+v", got)
	}
	if got := count(a, "z.example.org", zoneWindow); got.Queries != 1 {
		t.Errorf("the next hour: %+v", got)
	}
	for i := range 2 * mostZones {
		count(a, fmt.Sprintf("host.zone%d.example", i), 0)
	}
	if len(z.counts) > mostZones || len(z.ring) > mostZones {
		t.Errorf("%d zones are remembered, at most %d may be", len(z.counts), mostZones)
	}
}

func TestRoutesNameTheControllerAndNotTheRecord(t *testing.T) {
	for path, want := range map[string]string{
		"/web/dataset/call_kw/res.partner/read": "/web/dataset/call_kw/res.partner/read",
		"/web/content/17/invoice-2026.pdf":      "/web/content/<int>/<file>",
		"/shop/blue-chair-42":                   "/shop/<slug>",
		"/my/orders/17":                         "/my/orders/<int>",
		"/web/reset/4f9a8b7c6d5e4f3a2b1c0d":     "/web/reset/<token>",
		"/longpolling/poll":                     "/longpolling/poll",
		"/files/Gehalt%20Meier":                 "/files/<text>",
		"/":                                     "/",
		"":                                      "",
	} {
		if got := route(path); got != want {
			t.Errorf("%s became %s, want %s", path, got, want)
		}
	}
}

func TestTheSameNamesCountTheSame(t *testing.T) {
	count := func() (last Zone) {
		z := newZones([32]byte{1})
		for i := range 60 {
			z.count(&last, netip.MustParseAddr("10.0.0.1"), fmt.Sprintf("h%d.partner.example", i), 1)
		}
		return last
	}
	first := count()
	for range 50 {
		if again := count(); again != first {
			t.Fatalf("%+v, then %+v", first, again)
		}
	}
}

// question packs a question; change makes it what a test needs.
func question(t *testing.T, id uint16, name string, change func(*miekg.Msg)) []byte {
	t.Helper()
	m := new(miekg.Msg).SetQuestion(name, miekg.TypeA)
	if m.Id = id; change != nil {
		change(m)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDatagramsWithoutSenseHideNoQuestion: whoever sends others first from the same port would else ask for names that stand in no row.
func TestDatagramsWithoutSenseHideNoQuestion(t *testing.T) {
	for _, before := range []int{1, 7, 100} {
		w := newWire(t)
		c := &collector{}
		e := New(Config{}, c)
		for range before {
			p := w.datagram(true, 53, bytes.Repeat([]byte{0xee}, 60))
			e.Packet(&p)
		}
		cookie := func(m *miekg.Msg) {
			m.SetEdns0(1232, true)
			m.IsEdns0().Option = append(m.IsEdns0().Option, &miekg.EDNS0_COOKIE{Code: miekg.EDNS0COOKIE, Cookie: "0123456789abcdef"})
		}
		refused := func(m *miekg.Msg) {
			m.SetEdns0(1232, true)
			m.Response, m.Rcode = true, miekg.RcodeBadVers
			m.IsEdns0().SetExtendedRcode(miekg.RcodeBadVers)
		}
		for _, p := range []tap.Packet{w.datagram(true, 53, question(t, 9, "a.example.", cookie)), w.datagram(false, 53, question(t, 9, "a.example.", refused))} {
			e.Packet(&p)
		}
		e.Close()
		if len(c.dns) != 1 || c.dns[0].Name != "a.example" || c.dns[0].RCode != "BADVERS" {
			t.Errorf("behind %d others: %+v, want a question for a.example", before, c.dns)
		}
	}
}

// TestQuestionsBehindAHoleAreRead: of a connection with many questions one segment after the other is lost. Only those that lie in it are missing.
func TestQuestionsBehindAHoleAreRead(t *testing.T) {
	const messages, most = 30, 5 // of how many a lost segment may hold a part
	var up, down []byte
	for i := range messages {
		name := fmt.Sprintf("n%d.example.", i)
		for _, s := range []struct {
			stream *[]byte
			b      []byte
		}{{&up, question(t, uint16(i), name, nil)}, {&down, question(t, uint16(i), name, func(m *miekg.Msg) {
			m.Response = true
			m.Answer = append(m.Answer, &miekg.A{Hdr: miekg.RR_Header{Name: name, Rrtype: miekg.TypeA, Class: miekg.ClassINET, Ttl: 5}, A: []byte{192, 0, 2, byte(i)}})
		})}} {
			*s.stream = append(append(*s.stream, byte(len(s.b)>>8), byte(len(s.b))), s.b...)
		}
	}
	for lost := range messages {
		w := newWire(t)
		w.sport = 53
		const each = 97 // bytes: messages begin where they want
		list := []tap.Packet{w.tcp(true, 100, 0, "S", nil), w.tcp(false, 500, 101, "SA", nil)}
		sent := 0
		for side, stream := range [][]byte{up, down} {
			for at := 0; at < len(stream); at += each {
				if p := w.tcp(side == 0, []uint32{101, 501}[side]+uint32(at), 501, "A", stream[at:min(at+each, len(stream))]); sent != lost {
					list = append(list, p)
				}
				sent++
			}
		}
		list = append(list, w.tcp(true, 101+uint32(len(up)), 501+uint32(len(down)), "A", nil), w.tcp(false, 501+uint32(len(down)), 101+uint32(len(up)), "A", nil))
		c := &collector{}
		e := New(Config{}, c)
		for i := range list {
			e.Packet(&list[i])
		}
		e.Close()
		answered := 0
		for _, d := range c.dns {
			if d.RCode != "" && len(d.Answers) == 1 {
				answered++
			}
		}
		if len(c.dns) < messages-most || answered < messages-most {
			t.Errorf("without segment %d of %d: %d questions, %d answered", lost, sent, len(c.dns), answered)
		}
	}
}

// TestFewPlacesOfASegmentAreTriedBehindAHole: somebody may fill a segment with what looks like beginnings of messages, of which each would be read to its end.
func TestFewPlacesOfASegmentAreTriedBehindAHole(t *testing.T) {
	const beginning = "\x00\x0c\x80\x80\x00\x00\x00\x01" // of a message of 12 bytes with one question, which ends before it
	lost := string(framedDNS(question(t, 1, "lost.example.", nil)))
	found := string(framedDNS(question(t, 2, "found.example.", nil)))
	for beginnings, want := range map[int]int{0: 1, mostTries - 1: 1, mostTries: 0, 4 * mostTries: 0} {
		frames := conversation(newWire(t), 53, []said{{true, lost}, {true, strings.Repeat(beginning, beginnings) + found}}, nil)
		frames = append(frames[:3], frames[4:]...)
		c := &collector{}
		e := New(Config{}, c)
		for i := range frames {
			e.Packet(&frames[i])
		}
		e.Close()
		if len(c.dns) != want {
			t.Errorf("behind %d beginnings: %d messages, want %d: %+v", beginnings, len(c.dns), want, c.dns)
		}
	}
}

// TestZoneTransferIsOneTransaction: it comes in many messages, of which the first alone need repeat the question, and its addresses are not those of the name that was asked for.
func TestZoneTransferIsOneTransaction(t *testing.T) {
	for _, repeated := range []bool{false, true} {
		w := newWire(t)
		w.sport = 53
		soa := &miekg.SOA{Hdr: miekg.RR_Header{Name: "example.", Rrtype: miekg.TypeSOA, Class: miekg.ClassINET, Ttl: 9}, Ns: "ns.example.", Mbox: "root.example.", Serial: 1}
		var down []byte
		for i := range 3 {
			down = append(down, framedDNS(question(t, 7, "example.", func(m *miekg.Msg) {
				m.Response, m.Question[0].Qtype = true, miekg.TypeAXFR
				m.Answer = append(m.Answer, soa, &miekg.A{Hdr: miekg.RR_Header{Name: "www.example.", Rrtype: miekg.TypeA, Class: miekg.ClassINET, Ttl: 9}, A: w.server})
				if i > 0 && !repeated {
					m.Question = nil
				}
			}))...)
		}
		up := framedDNS(question(t, 7, "example.", func(m *miekg.Msg) { m.Question[0].Qtype = miekg.TypeAXFR }))
		list := []tap.Packet{w.tcp(true, 100, 0, "S", nil), w.tcp(false, 500, 101, "SA", nil), w.tcp(true, 101, 501, "A", up), w.tcp(false, 501, 101+uint32(len(up)), "A", down)}
		w.sport, w.cport = 443, 40001
		list = append(list, w.tcp(true, 100, 0, "S", nil))
		c := &collector{}
		e := New(Config{}, c)
		for i := range list {
			e.Packet(&list[i])
		}
		e.Close()
		if len(c.dns) != 1 || c.dns[0].Type != "AXFR" || len(c.dns[0].Answers) != 2 {
			t.Errorf("repeated question %v: %+v, want one transaction", repeated, c.dns)
		}
		for _, f := range c.closed {
			if f.Host != "" {
				t.Errorf("port %d is called %q", f.Dst.Port(), f.Host)
			}
		}
	}
}

func framedDNS(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }

// TestAnswersAreReadOfAConnectionThatBeganWithinAQuestion: what is there of it makes no sense, and hides no answer. Nor does it hide what is no DNS.
func TestAnswersAreReadOfAConnectionThatBeganWithinAQuestion(t *testing.T) {
	question := new(miekg.Msg).SetQuestion("www.partner.example.", miekg.TypeA)
	answer := new(miekg.Msg).SetReply(question)
	record, err := miekg.NewRR("www.partner.example. 60 IN A 192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	answer.Answer = []miekg.RR{record}
	framed := func(m *miekg.Msg) string {
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return string([]byte{byte(len(b) >> 8), byte(len(b))}) + string(b)
	}
	whole := conversation(newWire(t), 53, []said{{true, "\x03www\x07part"}, {true, "ner\x07exa"}, {false, framed(answer)}, {true, framed(question)}, {false, framed(answer)}}, nil)
	c := &collector{}
	e := New(Config{Names: NewNames(64)}, c)
	for _, p := range whole[3:] {
		e.Packet(&p)
	}
	e.Close()
	if len(c.dns) != 2 || c.dns[0].RCode != "NOERROR" || c.dns[1].RCode != "NOERROR" || c.closed[0].Channel != "dns" {
		t.Errorf("%d transactions, channel %s: %+v", len(c.dns), c.closed[0].Channel, c.dns)
	}
	_, flows := requests(conversation(newWire(t), 53, []said{{true, "\xff\xff\xff\xff\xff"}, {true, string(clientHello(t))}}, nil)[3:])
	if f := flows[0]; f.TLS == nil || f.TLS.SNI != "license.mit-odoo.de" {
		t.Errorf("channel %s, TLS %+v", f.Channel, f.TLS)
	}
}

// TestCutAnswersOverTCPAreAnswers: what the snap length leaves of a message says how the question was answered.
func TestCutAnswersOverTCPAreAnswers(t *testing.T) {
	question := new(miekg.Msg).SetQuestion("big.partner.example.", miekg.TypeTXT)
	answer := new(miekg.Msg).SetRcode(question, miekg.RcodeNameError)
	answer.Ns = []miekg.RR{&miekg.TXT{Hdr: miekg.RR_Header{Name: "partner.example.", Rrtype: miekg.TypeTXT, Class: miekg.ClassINET}, Txt: []string{strings.Repeat("x", 200), strings.Repeat("y", 200)}}}
	var list []said
	for _, m := range []*miekg.Msg{question, answer} {
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, said{!m.Response, string([]byte{byte(len(b) >> 8), byte(len(b))}) + string(b)})
	}
	c := &collector{}
	e := New(Config{Names: NewNames(64)}, c)
	for _, p := range conversation(newWire(t), 53, list, nil) {
		p.Data = p.Data[:min(len(p.Data), 150)]
		e.Packet(&p)
	}
	e.Close()
	if len(c.dns) != 1 || c.dns[0].RCode != "NXDOMAIN" || c.dns[0].Latency == 0 {
		t.Errorf("%+v", c.dns)
	}
}
