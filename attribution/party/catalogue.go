// Package party says whose destination an address is: MIT-bound, third party, or internal. It reads a catalogue in YAML,
// embedded in the binary and extendable by files, and explains every answer by the rule that gave it.
//
// A name decides before an address: an exact host first, then the longest matching domain, then the longest address range.
// What no rule knows is a third party named by its registrable domain (the public suffix list, https://publicsuffix.org).
package party

import (
	"bytes"
	_ "embed"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"netaudit/attribution"
)

//go:embed catalogue.yaml
var embedded []byte

// formatVersion is the version of the catalogue's form that this code reads.
const formatVersion = 1

// largestFile bounds a catalogue file, in bytes.
const largestFile = 4 << 20

type file struct {
	Version int     `yaml:"version"`
	Parties []entry `yaml:"parties"`
}

type entry struct {
	Name    string   `yaml:"name"`
	Class   string   `yaml:"class"`
	Hosts   []string `yaml:"hosts"`
	Domains []string `yaml:"domains"`
	Ranges  []string `yaml:"ranges"`
	License *license `yaml:"license"`
}

type license struct {
	Addons []string `yaml:"addons"`
	Hosts  []string `yaml:"hosts"`
	Budget int64    `yaml:"daily_budget_bytes"`
}

// LicenseRules is the traffic that MIT's license check is declared to need (verdict rules A3 and A4).
type LicenseRules struct {
	Addons      []string // names of the declared license components
	Hosts       []string // the declared endpoints
	DailyBudget int64    // bytes a day that may be uploaded
}

// Catalogue is ready to match. It is immutable and safe for concurrent use.
type Catalogue struct {
	hosts   map[string]attribution.Party
	domains map[string]attribution.Party
	ranges  []addressRange // longest prefix first
	license LicenseRules
}

type addressRange struct {
	prefix netip.Prefix
	party  attribution.Party
}

// Load reads the embedded catalogue and then the files, in order. A party in a later file replaces one of the same name.
// Errors name the file, and the line where the YAML is wrong.
func Load(files ...string) (*Catalogue, error) {
	entries, err := parse(embedded)
	if err != nil {
		return nil, fmt.Errorf("built-in catalogue: %w", err)
	}
	for _, path := range files {
		more, err := parseFile(path)
		if err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", path, err)
		}
		entries = merge(entries, more)
		if _, err := build(entries); err != nil { // here, so that the error names the file
			return nil, fmt.Errorf("catalogue %s: %w", path, err)
		}
	}
	return build(entries)
}

func parseFile(path string) ([]entry, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > largestFile {
		return nil, fmt.Errorf("%d bytes; a catalogue has at most %d", info.Size(), largestFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parse(text)
}

func parse(text []byte) ([]entry, error) {
	var f file
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&f); err != nil {
		return nil, err
	}
	if f.Version != formatVersion {
		return nil, fmt.Errorf("version: got %d, want %d", f.Version, formatVersion)
	}
	for _, e := range f.Parties {
		if err := e.check(); err != nil {
			return nil, err
		}
	}
	return f.Parties, nil
}

func (e *entry) check() error {
	if e.Name == "" {
		return fmt.Errorf("a party has no name")
	}
	classes := []string{attribution.MITBound, attribution.ThirdParty, attribution.Internal}
	if !slices.Contains(classes, e.Class) {
		return fmt.Errorf("party %q: class is %q, want one of %s", e.Name, e.Class, strings.Join(classes, ", "))
	}
	if len(e.Hosts)+len(e.Domains)+len(e.Ranges) == 0 {
		return fmt.Errorf("party %q: needs hosts, domains or ranges", e.Name)
	}
	for _, name := range slices.Concat(e.Hosts, e.Domains) {
		if err := checkName(name); err != nil {
			return fmt.Errorf("party %q: %w", e.Name, err)
		}
	}
	for _, text := range e.Ranges {
		if _, err := netip.ParsePrefix(text); err != nil {
			return fmt.Errorf("party %q: range %q: %w", e.Name, text, err)
		}
	}
	if e.License != nil && e.License.Budget < 0 {
		return fmt.Errorf("party %q: daily_budget_bytes is negative", e.Name)
	}
	return nil
}

// checkName refuses what can never match, and a suffix under which everybody has names.
func checkName(name string) error {
	c := canonical(name)
	if c == "" || strings.ContainsAny(c, "*/:@ ") || strings.HasPrefix(c, ".") {
		return fmt.Errorf("%q is no host name; a domain stands for all names below it, without an asterisk", name)
	}
	if suffix, icann := publicsuffix.PublicSuffix(c); icann && suffix == c {
		return fmt.Errorf("%q is a public suffix: names below it belong to different owners", name)
	}
	return nil
}

func merge(base, more []entry) []entry {
	for _, e := range more {
		i := slices.IndexFunc(base, func(b entry) bool { return b.Name == e.Name })
		if i >= 0 {
			base[i] = e
		} else {
			base = append(base, e)
		}
	}
	return base
}

func build(entries []entry) (*Catalogue, error) {
	c := &Catalogue{hosts: map[string]attribution.Party{}, domains: map[string]attribution.Party{}}
	ranges := map[string]attribution.Party{}
	for _, e := range entries {
		for _, h := range e.Hosts {
			if err := e.claim(c.hosts, "host", canonical(h)); err != nil {
				return nil, err
			}
		}
		for _, d := range e.Domains {
			if err := e.claim(c.domains, "domain", canonical(d)); err != nil {
				return nil, err
			}
		}
		for _, text := range e.Ranges {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return nil, fmt.Errorf("party %q: range %q: %w", e.Name, text, err)
			}
			if err := e.claim(ranges, "range", p.Masked().String()); err != nil {
				return nil, err
			}
			c.ranges = append(c.ranges, addressRange{p.Masked(), ranges[p.Masked().String()]})
		}
		if l := e.License; l != nil {
			c.license.Addons = append(c.license.Addons, l.Addons...)
			c.license.Hosts = append(c.license.Hosts, l.Hosts...)
			c.license.DailyBudget += l.Budget
		}
	}
	slices.SortStableFunc(c.ranges, func(a, b addressRange) int { return b.prefix.Bits() - a.prefix.Bits() })
	return c, nil
}

// claim gives a value to the party. What two parties claim would belong to whichever file was read last: that is refused.
func (e *entry) claim(of map[string]attribution.Party, kind, value string) error {
	if other, ok := of[value]; ok && other.Name != e.Name {
		return fmt.Errorf("party %q: %s %s already belongs to %q; replace that party by one of its name", e.Name, kind, value, other.Name)
	}
	of[value] = attribution.Party{Class: e.Class, Name: e.Name, Rule: slug(e.Name) + "/" + kind + ":" + value}
	return nil
}

// License returns the declared license traffic of all parties together.
func (c *Catalogue) License() LicenseRules { return c.license }

// Match says whose destination this is. host may be "" or hold anything a hostile peer can put in an SNI; ip may be invalid.
func (c *Catalogue) Match(host string, ip netip.Addr) attribution.Party {
	name := canonical(host)
	if p, ok := c.matchName(name); ok {
		return p
	}
	if p, ok := c.matchAddress(ip.Unmap()); ok {
		return p
	}
	if name != "" {
		if _, err := netip.ParseAddr(name); err != nil {
			return unknownName(name)
		}
	}
	if !ip.IsValid() {
		return attribution.Party{Class: attribution.ThirdParty, Name: "unknown", Rule: "default/none"}
	}
	return attribution.Party{Class: attribution.ThirdParty, Name: ip.String(), Rule: "default/address"}
}

// MatchText matches what a person typed: a host name or an address.
func (c *Catalogue) MatchText(text string) attribution.Party {
	if ip, err := netip.ParseAddr(text); err == nil {
		return c.Match("", ip)
	}
	return c.Match(text, netip.Addr{})
}

// matchName walks from the whole name to its parents, so that the longest entry wins.
func (c *Catalogue) matchName(name string) (attribution.Party, bool) {
	if p, ok := c.hosts[name]; ok {
		return p, true
	}
	for rest := name; rest != ""; {
		if p, ok := c.domains[rest]; ok {
			return p, true
		}
		_, parent, ok := strings.Cut(rest, ".")
		if !ok {
			break
		}
		rest = parent
	}
	return attribution.Party{}, false
}

func (c *Catalogue) matchAddress(ip netip.Addr) (attribution.Party, bool) {
	for _, r := range c.ranges {
		if r.prefix.Contains(ip) {
			return r.party, true
		}
	}
	return attribution.Party{}, false
}

func unknownName(name string) attribution.Party {
	domain, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		domain = name // a single label, or a public suffix itself
	}
	return attribution.Party{Class: attribution.ThirdParty, Name: domain, Rule: "default/domain"}
}

// longestName is the longest a DNS name can be (RFC 1035 §2.3.4); what is longer is cut before it is looked up.
const longestName = 253

// canonical brings a name into the form of the maps: lower case, ASCII (IDNA), no final dot.
func canonical(name string) string {
	name = strings.TrimSuffix(strings.TrimSpace(name), ".")
	if len(name) > longestName {
		name = name[len(name)-longestName:] // keep the end: it is the part that belongs to somebody
	}
	if ascii, err := idna.Lookup.ToASCII(name); err == nil {
		return ascii
	}
	return strings.ToLower(name)
}

func slug(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		default:
			return '-'
		}
	}, strings.ToLower(name)), "-.")
}
