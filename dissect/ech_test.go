package dissect

import (
	"fmt"
	"net/netip"
	"testing"

	"netaudit/dissect/tls"
)

// TestECHIsJudgedByWhatDNSSaid: the captures show real servers and browsers; here is what they do not show.
func TestECHIsJudgedByWhatDNSSaid(t *testing.T) {
	client, server := netip.MustParseAddrPort("10.0.0.2:40000"), netip.MustParseAddrPort("203.0.113.9:443")
	for name, c := range map[string]struct {
		sni     string
		id      uint8
		given   []string // names that DNS gave the client for the server's address
		target  string   // what a SOCKS proxy was asked for
		want    ECH
		expired bool
	}{
		"keys and id of DNS":                    {sni: "public.example", id: 7, want: ECHConfigured},
		"keys and id, the public name asked":    {sni: "public.example", id: 7, given: []string{"public.example"}, want: ECHConfigured},
		"new keys, only the true name asked":    {sni: "public.example", id: 8, given: []string{"true.example"}, want: ECHConfigured},
		"GREASE to the public name":             {sni: "public.example", id: 8, given: []string{"public.example"}, want: ECHGreaseLike},
		"GREASE, one of several names":          {sni: "a.example", id: 7, given: []string{"a.example", "b.example"}, want: ECHGreaseLike},
		"nothing known":                         {sni: "a.example", id: 7, want: ECHOffered},
		"other names only":                      {sni: "a.example", id: 7, given: []string{"b.example"}, want: ECHOffered},
		"keys of long ago":                      {sni: "public.example", id: 7, want: ECHOffered, expired: true},
		"a proxy was asked for the name":        {sni: "a.example", target: "a.example", want: ECHGreaseLike},
		"a proxy was asked for another":         {sni: "a.example", target: "b.example", given: []string{"a.example"}, want: ECHOffered},
		"a proxy, with keys of the public name": {sni: "public.example", id: 9, target: "true.example", want: ECHConfigured},
	} {
		t.Run(name, func(t *testing.T) {
			e := New(Config{}, &collector{})
			now := int64(1e18)
			for _, n := range c.given {
				e.config.Names.Add(client.Addr(), server.Addr(), n, 60, now)
			}
			e.config.Names.AddECH("public.example", 7, 60, now)
			e.config.Names.AddECH("public.example", 200, 60, now)
			if c.expired {
				now += 3600e9
			}
			got := e.judgeECH(&conn{flow: Flow{Src: client, Dst: server, Start: now}, target: c.target, proxied: c.target != ""}, c.sni, c.id)
			if got != c.want {
				t.Errorf("judged %d, want %d", got, c.want)
			}
		})
	}
}

func TestManyPublicNamesAreForgottenNotKept(t *testing.T) {
	n := NewNames(8)
	for i := range 3 * mostECHNames {
		n.AddECH(fmt.Sprintf("%d.example", i), 1, 60, 0)
	}
	if len(n.ech.known) > mostECHNames {
		t.Errorf("%d public names are kept, want at most %d", len(n.ech.known), mostECHNames)
	}
	if public, keyed := n.ECH(fmt.Sprintf("%d.example", 3*mostECHNames-1), 1, 1); !public || !keyed {
		t.Error("the newest is forgotten")
	}
}

// TestECHConfigurationsAreReadWithinBounds: one of another version, one that is cut, and more than anybody gives.
func TestECHConfigurationsAreReadWithinBounds(t *testing.T) {
	one := func(version byte, id byte) []byte {
		contents := append([]byte{id, 0, 0x20, 0, 1, 'k', 0, 4, 0, 1, 0, 1, 0, 6}, "a.test\x00\x00"...)
		return append([]byte{0xfe, version, 0, byte(len(contents))}, contents...)
	}
	list := func(configs ...[]byte) (b []byte) {
		for _, c := range configs {
			b = append(b, c...)
		}
		return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)
	}
	many := make([][]byte, 50)
	for i := range many {
		many[i] = one(0x0d, byte(i))
	}
	for name, c := range map[string]struct {
		list []byte
		want int
	}{
		"two":             {list(one(0x0d, 1), one(0x0d, 2)), 2},
		"another version": {list(one(0x0a, 1), one(0x0d, 2)), 1},
		"cut":             {list(one(0x0d, 1), one(0x0d, 2)[:9]), 1},
		"wrong length":    {append(list(one(0x0d, 1)), 0)[1:], 0},
		"many":            {list(many...), 8},
		"nothing":         {nil, 0},
	} {
		got := 0
		tls.EachECHConfig(c.list, func(k tls.ECHConfig) {
			if got++; string(k.PublicName) != "a.test" {
				t.Errorf("%s: public name %q", name, k.PublicName)
			}
		})
		if got != c.want {
			t.Errorf("%s: %d configurations, want %d", name, got, c.want)
		}
	}
}
