package party

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"netaudit/attribution"
)

// drawName makes names out of few labels, so that they meet.
func drawName(t *rapid.T) string {
	labels := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "mail", "api"}), 1, 4).Draw(t, "labels")
	return strings.Join(append(labels, "example"), ".")
}

func drawRange(t *rapid.T) netip.Prefix {
	b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 128, 255}), 4, 4).Draw(t, "address")
	return netip.PrefixFrom(netip.AddrFrom4([4]byte(b)), rapid.IntRange(0, 32).Draw(t, "bits")).Masked()
}

// drawEntries makes parties that claim nothing twice.
func drawEntries(t *rapid.T) []entry {
	claimed := map[string]bool{}
	fresh := func(kind, value string) []string {
		if claimed[kind+value] {
			return nil
		}
		claimed[kind+value] = true
		return []string{value}
	}
	entries := make([]entry, rapid.IntRange(1, 8).Draw(t, "parties"))
	for i := range entries {
		entries[i] = entry{
			Name: fmt.Sprintf("party %d", i), Class: rapid.SampledFrom([]string{attribution.MITBound, attribution.ThirdParty, attribution.Internal}).Draw(t, "class"),
			Hosts: fresh("host", drawName(t)), Domains: fresh("domain", drawName(t)), Ranges: fresh("range", drawRange(t).String()),
		}
	}
	return entries
}

// byTheBook says who wins, slowly: host, then the longest domain, then the longest range.
func byTheBook(entries []entry, host string, ip netip.Addr) string {
	winner, best := "", -1
	consider := func(name string, weight int) {
		if weight > best {
			winner, best = name, weight
		}
	}
	for _, e := range entries {
		for _, h := range e.Hosts {
			if h == host {
				consider(e.Name, 1_000_000)
			}
		}
		for _, d := range e.Domains {
			if host == d || strings.HasSuffix(host, "."+d) {
				consider(e.Name, 1_000+len(d))
			}
		}
		for _, r := range e.Ranges {
			if p := netip.MustParsePrefix(r); p.Contains(ip) {
				consider(e.Name, p.Bits())
			}
		}
	}
	return winner
}

func TestMostExactRuleWinsInEveryCatalogue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t)
		c, err := build(entries)
		if err != nil {
			t.Fatal(err)
		}
		host, ip := drawName(t), drawRange(t).Addr()
		got := c.Match(host, ip)
		if want := byTheBook(entries, host, ip); want != "" && got.Name != want {
			t.Fatalf("%s at %s: got %+v, want %s of %+v", host, ip, got, want, entries)
		} else if want == "" && !strings.HasPrefix(got.Rule, "default/") {
			t.Fatalf("%s at %s: got %+v, nobody claims it", host, ip, got)
		}
	})
}

func TestAnswerDependsNeitherOnOrderNorOnHowANameIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t)
		one, err := build(entries)
		if err != nil {
			t.Fatal(err)
		}
		other, err := build(rapid.Permutation(entries).Draw(t, "order"))
		if err != nil {
			t.Fatal(err)
		}
		host, ip := drawName(t), drawRange(t).Addr()
		if a, b := one.Match(host, ip), other.Match(strings.ToUpper(host)+".", netip.AddrFrom16(ip.As16())); a != b {
			t.Fatalf("%s at %s: %+v, and %+v in another order and spelling", host, ip, a, b)
		}
	})
}

func TestRuleNamesAPartyThatClaimsIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t)
		c, err := build(entries)
		if err != nil {
			t.Fatal(err)
		}
		p := c.Match(drawName(t), drawRange(t).Addr())
		slugged, claim, _ := strings.Cut(p.Rule, "/")
		if slugged == "default" {
			return
		}
		kind, value, _ := strings.Cut(claim, ":")
		for _, e := range entries {
			claims := map[string][]string{"host": e.Hosts, "domain": e.Domains, "range": e.Ranges}[kind]
			if slug(e.Name) == slugged && e.Name == p.Name && e.Class == p.Class && len(claims) == 1 && claims[0] == value {
				return
			}
		}
		t.Fatalf("%+v is explained by a rule that nobody has: %+v", p, entries)
	})
}
