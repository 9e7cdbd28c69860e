package dns

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
	"pgregory.net/rapid"
)

func pack(t testing.TB, m *miekg.Msg) []byte {
	t.Helper()
	m.Compress = true
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func answer(t testing.TB, question string, kind uint16, records ...string) []byte {
	t.Helper()
	q := new(miekg.Msg).SetQuestion(question, kind)
	m := new(miekg.Msg).SetReply(q)
	for _, text := range records {
		rr, err := miekg.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	m.SetEdns0(1232, true)
	return pack(t, m)
}

func TestAnswersAreThoseOfALibrary(t *testing.T) {
	cases := map[string]string{
		`Www.Example. 60 IN CNAME edge.CDN.example.`:                                      "edge.cdn.example",
		`www.example. 60 IN A 192.0.2.7`:                                                  "192.0.2.7",
		`www.example. 60 IN AAAA 2001:db8::7`:                                             "2001:db8::7",
		`www.example. 60 IN MX 10 mail.example.`:                                          "10 mail.example",
		`www.example. 60 IN SRV 1 2 443 s.example.`:                                       "1 2 443 s.example",
		`www.example. 60 IN PTR host.example.`:                                            "host.example",
		`www.example. 60 IN TXT "v=spf1 -all"`:                                            `"v=spf1 -all"`,
		`www.example. 60 IN HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.8 ipv6hint=2001:db8::8`: "1 . alpn=h2,h3 hint=192.0.2.8,2001:db8::8",
		`www.example. 60 IN HTTPS 0 other.example.`:                                       "0 other.example",
		`www.example. 60 IN CAA 0 issue "ca.example"`:                                     `0 issue "ca.example"`,
		`www.example. 60 IN SVCB 2 svc.example. port=8443`:                                "2 svc.example port=8443",
		`www.example. 60 IN DNAME other.example.`:                                         "other.example",
		`www.example. 60 IN NS ns1.example.`:                                              "ns1.example",
		`www.example. 60 IN SOA a.example. b.example. 1 2 3 4 5`:                          "a.example. b.example. 1 2 3 4 5",
		`www.example. 60 IN CNAME with\.dot.and\009tab.example.`:                          `with\.dot.and\009tab.example`,
	}
	for text, want := range cases {
		var m Message
		if err := m.Parse(answer(t, "www.EXAMPLE.", miekg.TypeA, text)); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if word, ok := m.Word(&m.Answers[0]); ok && word != want {
			t.Errorf("the word is %q, want %q", word, want)
		}
		if got := string(m.AppendData(nil, &m.Answers[0])); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if q := m.Questions[0].Name.Text(); q != "www.example" || m.Answers[0].Name.Text() != "www.example" || !m.EDNS || m.Answers[0].TTL != 60 {
			t.Errorf("question %q, answer's name %q, EDNS %v", q, m.Answers[0].Name.Text(), m.EDNS)
		}
	}
}

func TestServiceRecordSaysWhetherHellosWillBeEncrypted(t *testing.T) {
	ech := base64.StdEncoding.EncodeToString([]byte("\x00\x08\xfe\x0d\x00\x04abcd"))
	var m Message
	if err := m.Parse(answer(t, "www.example.", miekg.TypeHTTPS, "www.example. 60 IN HTTPS 1 . alpn=h3 ipv4hint=192.0.2.8 ech="+ech)); err != nil {
		t.Fatal(err)
	}
	s, ok := m.Service(&m.Answers[0])
	if !ok || string(s.ECH) != "\x00\x08\xfe\x0d\x00\x04abcd" || len(s.Hints) != 1 || s.Hints[0] != netip.MustParseAddr("192.0.2.8") {
		t.Errorf("%+v %v, want keys for ECH and one hint", s, ok)
	}
	if got := string(m.AppendData(nil, &m.Answers[0])); got != "1 . alpn=h3 hint=192.0.2.8 ech" {
		t.Errorf("text %q", got)
	}
}

func TestPointersThatLeadNowhereAreRefused(t *testing.T) {
	head := []byte{0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for name, c := range map[string]struct {
		tail []byte
		want error
	}{
		"to itself":       {[]byte{0xc0, 12, 0, 1, 0, 1}, ErrPointer},
		"forwards":        {[]byte{0xc0, 20, 0, 1, 0, 1, 0, 0, 1, 'a', 0}, ErrPointer},
		"loop of two":     {[]byte{1, 'a', 0xc0, 12, 0, 1, 0, 1}, ErrPointer},
		"reserved label":  {[]byte{0x80, 1, 0, 0, 1, 0, 1}, ErrName},
		"cut":             {[]byte{3, 'a'}, ErrShort},
		"too long a name": {append([]byte(strings.Repeat("\x3f"+strings.Repeat("a", 63), 5)), 0, 0, 1, 0, 1), ErrName},
	} {
		var m Message
		if err := m.Parse(append(append([]byte(nil), head...), c.tail...)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestNamesAgreeWithALibrary compares with miekg/dns over names of any bytes.
func TestNamesAgreeWithALibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 20), 1, 8).Draw(t, "labels")
		b := []byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
		for _, l := range labels {
			b = append(append(b, byte(len(l))), l...)
		}
		b = append(b, 0, 0, 1, 0, 1)
		var m Message
		var theirs miekg.Msg
		if err := m.Parse(b); err != nil {
			t.Fatal(err)
		}
		if err := theirs.Unpack(b); err != nil {
			t.Fatal(err)
		}
		if a, b := wireOf(t, m.Questions[0].Name.Text()+"."), wireOf(t, strings.ToLower(theirs.Question[0].Name)); a != b {
			t.Fatalf("%q, miekg/dns says %q", a, b)
		}
	})
}

// wireOf packs a name again: presentation forms may escape more or fewer characters and mean the same.
func wireOf(t *rapid.T, name string) string {
	b := make([]byte, 300)
	n, err := miekg.PackDomainName(name, b, 0, nil, false)
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	return string(b[:n])
}

func TestReadingCostsNoAllocation(t *testing.T) {
	b := answer(t, "www.example.", miekg.TypeA, "www.example. 60 IN CNAME a.example.", "a.example. 60 IN A 192.0.2.1")
	var m Message
	var out []byte
	n := testing.AllocsPerRun(100, func() {
		if err := m.Parse(b); err != nil {
			t.Fatal(err)
		}
		for i := range m.Answers {
			out = m.AppendData(out[:0], &m.Answers[i])
		}
	})
	if n > 0 {
		t.Errorf("%v allocations a message, want none", n)
	}
}

// TestAnswersBeyondTheBoundAreCounted: what is left out must show.
func TestAnswersBeyondTheBoundAreCounted(t *testing.T) {
	for answers, more := range map[int]int{mostAnswers: 0, mostAnswers + 1: 1, 300: 300 - mostAnswers} {
		var list []string
		for i := range answers {
			list = append(list, fmt.Sprintf("many.example. 60 IN A 192.0.2.%d", i%256))
		}
		var m Message
		if err := m.Parse(answer(t, "many.example.", miekg.TypeA, list...)); err != nil || len(m.Answers) != answers-more || m.MoreAnswers != more {
			t.Errorf("of %d answers %d are kept and %d counted, error %v; want %d and %d", answers, len(m.Answers), m.MoreAnswers, err, answers-more, more)
		}
	}
}

// TestChainsOfPointersAreCutShort: without a bound every name of a message could lead through all of it, in quadratic time.
func TestChainsOfPointersAreCutShort(t *testing.T) {
	for pointers, want := range map[int]error{mostPointers: nil, mostPointers + 1: ErrPointer} {
		b := []byte{0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1}
		to := 12
		for range pointers - 1 {
			b = append(b, 0xc0|byte(to>>8), byte(to))
			to = len(b) - 2
		}
		m := Message{raw: append(b, 0xc0|byte(to>>8), byte(to))}
		if _, _, err := m.name(len(b)); !errors.Is(err, want) {
			t.Errorf("%d pointers: %v, want %v", pointers, err, want)
		}
	}
}

// FuzzMessage: any bytes give an error or bounded values.
func FuzzMessage(f *testing.F) {
	f.Add(answer(f, "www.example.", miekg.TypeA, "www.example. 60 IN CNAME a.example.", "a.example. 60 IN A 192.0.2.1"))
	f.Add(answer(f, "www.example.", miekg.TypeHTTPS, "www.example. 60 IN HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.8 port=444"))
	f.Add(answer(f, "www.example.", miekg.TypeSRV, "www.example. 60 IN SRV 1 2 3 a.example.", `www.example. 60 IN TXT "a" "b"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		_ = m.Parse(b)
		if len(m.Answers) > mostAnswers || len(m.Questions) > mostQuestions {
			t.Fatalf("out of bounds: %+v", m)
		}
		for i := range m.Answers {
			text := m.AppendData(nil, &m.Answers[i])
			if len(text) > 4*(longestName+longestData) {
				t.Fatalf("%d bytes of text", len(text))
			}
		}
	})
}
