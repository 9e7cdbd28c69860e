package party

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netaudit/attribution"
)

func load(t *testing.T, files ...string) *Catalogue {
	t.Helper()
	c, err := Load(files...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDestinationsAreSortedByNameThenAddress(t *testing.T) {
	c := load(t)
	for _, one := range []struct{ host, ip, class, name, rule string }{
		{"license.mit-odoo.de", "203.0.113.1", "mit_bound", "MIT", "mit/domain:mit-odoo.de"},
		{"LICENSE.MIT-ODOO.DE.", "203.0.113.1", "mit_bound", "MIT", "mit/domain:mit-odoo.de"},
		{"mit-odoo.de", "10.0.0.1", "mit_bound", "MIT", "mit/domain:mit-odoo.de"},
		{"notmit-odoo.de", "203.0.113.1", "third_party", "notmit-odoo.de", "default/domain"},
		{"mit-odoo.de.evil.example", "203.0.113.1", "third_party", "evil.example", "default/domain"},
		{"api.openai.com", "203.0.113.1", "third_party", "OpenAI", "openai/domain:openai.com"},
		{"services.odoo.com", "203.0.113.1", "third_party", "Odoo S.A.", "odoo-s-a/domain:odoo.com"},
		{"a.b.example.co.uk", "203.0.113.1", "third_party", "example.co.uk", "default/domain"},
		{"", "10.1.2.3", "internal", "internal network", "internal-network/range:10.0.0.0/8"},
		{"", "::ffff:10.1.2.3", "internal", "internal network", "internal-network/range:10.0.0.0/8"},
		{"db.internal", "10.1.2.3", "internal", "internal network", "internal-network/range:10.0.0.0/8"},
		{"", "127.0.0.1", "internal", "this host", "this-host/range:127.0.0.0/8"},
		{"", "fd00::1", "internal", "internal network", "internal-network/range:fc00::/7"},
		{"", "203.0.113.9", "third_party", "203.0.113.9", "default/address"},
		{"203.0.113.9", "203.0.113.9", "third_party", "203.0.113.9", "default/address"},
	} {
		got := c.Match(one.host, netip.MustParseAddr(one.ip))
		if want := (attribution.Party{Class: one.class, Name: one.name, Rule: one.rule}); got != want {
			t.Errorf("Match(%q, %s) = %+v, want %+v", one.host, one.ip, got, want)
		}
	}
}

func TestFileReplacesPartyOfTheSameNameAndAddsOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "more.yaml")
	text := "version: 1\nparties:\n  - {name: MIT, class: mit_bound, domains: [mit.example], license: {addons: [lock], hosts: [l.mit.example], daily_budget_bytes: 10}}\n" +
		"  - {name: our bank, class: third_party, hosts: [api.bank.example], ranges: [198.51.100.0/24]}\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c := load(t, path)
	any := netip.MustParseAddr("203.0.113.1")
	if p := c.Match("x.mit.example", any); p.Class != attribution.MITBound {
		t.Errorf("new domain of MIT: %+v", p)
	}
	if p := c.Match("license.mit-odoo.de", any); p.Class != attribution.ThirdParty {
		t.Errorf("replaced domain of MIT still matches: %+v", p)
	}
	if p := c.Match("api.bank.example", any); p.Rule != "our-bank/host:api.bank.example" {
		t.Errorf("exact host: %+v", p)
	}
	if p := c.Match("", netip.MustParseAddr("198.51.100.7")); p.Name != "our bank" {
		t.Errorf("address range: %+v", p)
	}
	if l := c.License(); l.DailyBudget != 10 || len(l.Addons) != 1 || l.Addons[0] != "lock" {
		t.Errorf("license rules %+v", l)
	}
}

func TestWrongCataloguesSayWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"version: 2\nparties: []\n": "version",
		"version: 1\nparties:\n  - {name: x, class: friend, domains: [a.example]}\n":         "friend",
		"version: 1\nparties:\n  - {name: x, class: internal}\n":                             "needs hosts",
		"version: 1\nparties:\n  - {name: x, class: internal, ranges: [10.0.0.0/99]}\n":      "10.0.0.0/99",
		"version: 1\nparties:\n  - {name: x, class: internal, domain: [typo.example]}\n":     "domain",
		"version: 1\nparties:\n  - {class: internal, domains: [a.example]}\n":                "no name",
		"version: 1\nparties:\n  - {name: x, class: internal, domains: [\"*.a.example\"]}\n": "asterisk",
		"version: 1\nparties:\n  - {name: x, class: mit_bound, domains: [co.uk]}\n":          "public suffix",
		"version: 1\nparties:\n  - {name: x, class: mit_bound, domains: [STRIPE.com]}\n":     "Stripe",
		"version: 1\nparties:\n  - {name: x, class: mit_bound, ranges: [10.1.2.3/8]}\n":      "internal network",
	} {
		path := filepath.Join(t.TempDir(), "wrong.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("catalogue\n%s\ngave error %v, want one that names %q and the file", text, err, want)
		}
	}
}

func FuzzMatchNeverFailsOnHostileNames(f *testing.F) {
	for _, seed := range []string{"license.mit-odoo.de", "", ".", "..", "xn--", "\xff\x00.mit-odoo.de", strings.Repeat("a.", 500)} {
		f.Add(seed)
	}
	c, err := Load()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, host string) {
		p := c.Match(host, netip.MustParseAddr("203.0.113.1"))
		if p.Class == "" || p.Name == "" || p.Rule == "" {
			t.Errorf("Match(%q) = %+v: every answer has a class, a name and a rule", host, p)
		}
	})
}
