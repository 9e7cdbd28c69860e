package recorder

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"netaudit/ledger"
)

// Redaction replaces what tells about people and about the inner network by keyed hashes before a row leaves the recorder: paths, names of internal
// hosts, addresses of clients, user agents, mail and database names. Equal values stay equal, so rows can still be counted and compared; without
// the key nobody can find the value by trying. Safe for concurrent use.
type Redaction struct {
	mu  sync.Mutex
	key [32]byte
}

// NewRedaction returns a Redaction with the installation's key.
func NewRedaction(key [32]byte) *Redaction { return &Redaction{key: key} }

// mark begins every replaced value; it is followed by 16 hexadecimal digits of HMAC-SHA-256.
const mark = "hidden-"

func (r *Redaction) hide(kind, value string) string {
	if value == "" || strings.HasPrefix(value, mark) {
		return value
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	mac := hmac.New(sha256.New, r.key[:])
	mac.Write([]byte("redaction\x00" + kind + "\x00" + value))
	return mark + hex.EncodeToString(mac.Sum(nil)[:8])
}

// redact changes the event in place. It must be called after the party was found: a hidden name belongs to nobody.
func (r *Redaction) redact(e *ledger.Event) {
	if e.Src != nil {
		e.Src.IP = r.hide("address", e.Src.IP)
	}
	if e.Dst != nil {
		if e.Direction == "inbound" || internalAddress(e.Dst.IP) {
			e.Dst.IP = r.hide("address", e.Dst.IP)
		}
		e.Dst.Host = r.host(e.Dst.Host)
	}
	e.CommunityID = r.hide("community", e.CommunityID) // a public hash of both addresses: trying all of them would undo the rest
	if p := e.Party; p != nil {                        // an unknown party is called by its address or domain
		if _, err := netip.ParseAddr(p.Name); err == nil && (e.Direction == "inbound" || internalAddress(p.Name)) {
			p.Name = r.hide("address", p.Name)
		} else if p.Class != "internal" && internalName(p.Name) && strings.Contains(p.Name, ".") {
			p.Name = r.hide("host", p.Name)
		}
	}
	if t := e.TLS; t != nil {
		t.SNI = r.host(t.SNI)
		t.Cert = r.certificate(t.Cert)
	}
	if h := e.HTTP; h != nil {
		h.Host, h.Path, h.UserAgent = r.host(h.Host), r.hide("path", h.Path), r.hide("agent", h.UserAgent)
		h.Route = r.hide("path", h.Route)
	}
	if d := e.DNS; d != nil {
		r.dns(d)
	}
	if m := e.Mail; m != nil {
		m.GreetingHost = r.host(m.GreetingHost)
	}
	if p := e.Process; p != nil {
		p.Database, p.Job = r.hide("database", p.Database), r.hide("job", p.Job)
	}
	if s := e.Service; s != nil {
		s.User, s.Database = r.hide("user", s.User), r.hide("database", s.Database)
	}
}

// certificate hides the internal names of a certificate, and then also its subject, which mostly repeats one. The hash stays: it tells which one it is.
func (r *Redaction) certificate(c *ledger.Cert) *ledger.Cert {
	if c == nil || !slices.ContainsFunc(c.SAN, internalName) {
		return c
	}
	hidden := *c // the original is shared by all flows to this server
	hidden.Subject = r.hide("subject", c.Subject)
	hidden.SAN = make([]string, len(c.SAN))
	for i, name := range c.SAN {
		hidden.SAN[i] = r.host(name)
	}
	return &hidden
}

// dns hides internal names and addresses; the names that were asked outside are what an audit is about.
func (r *Redaction) dns(d *ledger.DNS) {
	if internalName(d.Name) {
		d.Name = r.host(d.Name)
		if d.Zone != nil {
			d.Zone.Name = r.host(d.Zone.Name)
		}
	}
	answers := make([]string, len(d.Answers))
	for i, a := range d.Answers {
		switch {
		case internalAddress(a):
			answers[i] = r.hide("address", a)
		case internalName(a):
			answers[i] = r.host(a)
		default:
			answers[i] = a
		}
	}
	d.Answers = answers
}

// host hides a name that only the inner network knows.
func (r *Redaction) host(name string) string {
	if name == "" || !internalName(name) {
		return name
	}
	return r.hide("host", name)
}

// internalName knows the names that no public name server answers (RFC 6762, RFC 8375, RFC 9476, and what routers and administrators use), names without a dot
// and the reverse names of addresses.
func internalName(name string) bool {
	if !strings.Contains(name, ".") || internalAddress(name) {
		return true
	}
	for _, end := range []string{".local", ".home.arpa", ".internal", ".intranet", ".lan", ".corp", ".home", ".private", ".localdomain", ".alt", ".in-addr.arpa", ".ip6.arpa", ".localhost"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

func internalAddress(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast())
}
