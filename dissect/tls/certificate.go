package tls

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Leaf is what is kept of a server's own certificate.
type Leaf struct {
	SHA256   string // lower-case hex of the DER
	Subject  string // RFC 4514
	Issuer   string
	SAN      []string // DNS names, then addresses, at most 32
	NotAfter int64    // nanoseconds since the Unix epoch
}

// Presented is the certificate that a server shows. It is shared and must not be changed.
type Presented struct {
	Leaf
	more []uint64 // hashes of the names beyond those that Leaf keeps: large providers have hundreds in one certificate
}

// Names says whether the certificate is for a host: one of its names is the host's, or a wildcard for it (RFC 9525 §6.3: "*" stands for
// exactly one leftmost label).
func (p *Presented) Names(host string) bool {
	if p.has(host) {
		return true
	}
	_, parent, ok := strings.Cut(host, ".")
	return ok && p.has("*."+parent)
}

func (p *Presented) has(name string) bool {
	return slices.Contains(p.SAN, name) || len(p.more) > 0 && slices.Contains(p.more, maphash.String(nameSeed, name))
}

var nameSeed = maphash.MakeSeed()

// mostNames bounds the subject alternative names that are kept, mostMoreNames those that are only compared.
const (
	mostNames     = 32
	mostMoreNames = 1024
)

func (p *Presented) add(name string) {
	switch {
	case strings.Contains(name, "@"): // a mail address is no name of a host
	case len(p.SAN) < mostNames:
		p.SAN = append(p.SAN, name)
	case len(p.more) < mostMoreNames:
		p.more = append(p.more, maphash.String(nameSeed, name))
	}
}

// Certificates reads certificates and remembers them by their hash: a server sends the same one in every handshake. The zero value is
// ready. One goroutine owns it.
type Certificates struct {
	known map[[sha256.Size]byte]*Presented
}

// mostCertificates bounds what is remembered; then everything is forgotten.
const mostCertificates = 1024

// Parse reads the first certificate of a Certificate message up to TLS 1.2 (RFC 5246 §7.4.2). Of a certificate that is no X.509, or is damaged, its hash is kept and what stands before the damage.
func (c *Certificates) Parse(body []byte) (*Presented, error) {
	s := cryptobyte.String(body)
	var list, der cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&list) || !list.ReadUint24LengthPrefixed(&der) {
		return nil, ErrMalformed
	}
	sum := sha256.Sum256(der)
	if p := c.known[sum]; p != nil {
		return p, nil
	}
	if c.known == nil || len(c.known) >= mostCertificates {
		c.known = map[[sha256.Size]byte]*Presented{}
	}
	p := &Presented{Leaf: Leaf{SHA256: hex.EncodeToString(sum[:])}}
	p.read(der)
	c.known[sum] = p
	return p, nil
}

// read walks over a certificate (RFC 5280 §4.1). crypto/x509 does not serve: it refuses a certificate as a whole for a key on a curve that it does not know (Brainpool, RFC 5639) or a negative serial
// number, and its names lose the order of their parts.
func (p *Presented) read(der cryptobyte.String) {
	const version, extensions = 0, 3
	var certificate, body, issuer, validity, subject, list cryptobyte.String
	var present bool
	if !der.ReadASN1(&certificate, asn1.SEQUENCE) || !certificate.ReadASN1(&body, asn1.SEQUENCE) ||
		!body.SkipOptionalASN1(asn1.Tag(version).Constructed().ContextSpecific()) || !body.SkipASN1(asn1.INTEGER) || !body.SkipASN1(asn1.SEQUENCE) ||
		!body.ReadASN1(&issuer, asn1.SEQUENCE) || !body.ReadASN1(&validity, asn1.SEQUENCE) || !body.ReadASN1(&subject, asn1.SEQUENCE) {
		return
	}
	p.Issuer, p.Subject = CleanText(distinguishedName(issuer)), CleanText(distinguishedName(subject))
	p.validity(validity)
	if !body.SkipASN1(asn1.SEQUENCE) { // the key
		return
	}
	for _, unique := range []asn1.Tag{1, 2} {
		if !body.SkipOptionalASN1(unique.ContextSpecific()) {
			return
		}
	}
	if body.ReadOptionalASN1(&list, &present, asn1.Tag(extensions).Constructed().ContextSpecific()) && present {
		p.extensions(list)
	}
}

func (p *Presented) validity(s cryptobyte.String) {
	var begin cryptobyte.String
	var tag asn1.Tag
	var end time.Time
	if !s.ReadAnyASN1(&begin, &tag) {
		return
	}
	read := s.ReadASN1UTCTime
	if s.PeekASN1Tag(asn1.GeneralizedTime) { // from 2050 on
		read = s.ReadASN1GeneralizedTime
	}
	if !read(&end) {
		return
	}
	if y := end.Year(); y >= 1970 && y < 2262 { // what nanoseconds in 64 bits can say
		p.NotAfter = end.UnixNano()
	}
}

// extensions looks for the subject alternative names (RFC 5280 §4.2.1.6).
func (p *Presented) extensions(s cryptobyte.String) {
	const alternativeName = "\x55\x1d\x11" // 2.5.29.17
	var list, one, id, value cryptobyte.String
	if !s.ReadASN1(&list, asn1.SEQUENCE) {
		return
	}
	for list.ReadASN1(&one, asn1.SEQUENCE) {
		if one.ReadASN1(&id, asn1.OBJECT_IDENTIFIER) && string(id) == alternativeName && one.SkipOptionalASN1(asn1.BOOLEAN) && one.ReadASN1(&value, asn1.OCTET_STRING) {
			p.alternatives(value)
		}
	}
}

func (p *Presented) alternatives(s cryptobyte.String) {
	var names, name cryptobyte.String
	var tag asn1.Tag
	if !s.ReadASN1(&names, asn1.SEQUENCE) {
		return
	}
	dnsName, address := asn1.Tag(2).ContextSpecific(), asn1.Tag(7).ContextSpecific()
	var addresses []string
	for names.ReadAnyASN1(&name, &tag) {
		switch tag {
		case dnsName:
			p.add(CleanName(name))
		case address:
			if a, ok := netip.AddrFromSlice(name); ok {
				addresses = append(addresses, a.String())
			}
		}
	}
	for _, a := range addresses {
		p.add(a)
	}
}
