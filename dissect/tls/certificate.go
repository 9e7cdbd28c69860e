package tls

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// Leaf is what is kept of a server's own certificate.
type Leaf struct {
	SHA256   string // lower-case hex of the DER
	Subject  string // RFC 4514
	Issuer   string
	SAN      []string // DNS names, then addresses, at most 32
	NotAfter int64    // nanoseconds since the Unix epoch
}

// Names says whether the certificate is for a host: one of its names is the host's, or a wildcard for it (RFC 9525 §6.3: "*" stands for
// exactly one leftmost label).
func (l *Leaf) Names(host string) bool {
	_, parent, hasParent := strings.Cut(host, ".")
	for _, name := range l.SAN {
		if name == host {
			return true
		}
		if rest, ok := strings.CutPrefix(name, "*."); ok && hasParent && rest == parent {
			return true
		}
	}
	return false
}

// mostNames bounds the subject alternative names that are kept.
const mostNames = 32

// Certificates reads certificates and remembers them by their hash: a server sends the same one in every handshake. The zero value is
// ready. One goroutine owns it.
type Certificates struct{ known map[[sha256.Size]byte]*Leaf }

// mostCertificates bounds what is remembered; then everything is forgotten.
const mostCertificates = 1024

// Parse reads the first certificate of a Certificate message up to TLS 1.2 (RFC 5246 §7.4.2). The Leaf is shared: it must not be
// changed. A certificate that X.509 cannot read is kept by its hash.
func (c *Certificates) Parse(body []byte) (*Leaf, error) {
	s := cryptobyte.String(body)
	var list, der cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&list) || !list.ReadUint24LengthPrefixed(&der) {
		return nil, ErrMalformed
	}
	sum := sha256.Sum256(der)
	if leaf := c.known[sum]; leaf != nil {
		return leaf, nil
	}
	if c.known == nil || len(c.known) >= mostCertificates {
		c.known = map[[sha256.Size]byte]*Leaf{}
	}
	leaf := leafOf(der, sum)
	c.known[sum] = leaf
	return leaf, nil
}

func leafOf(der []byte, sum [sha256.Size]byte) *Leaf {
	leaf := &Leaf{SHA256: hex.EncodeToString(sum[:])}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return leaf
	}
	leaf.Subject, leaf.Issuer = CleanText(cert.Subject.String()), CleanText(cert.Issuer.String())
	if y := cert.NotAfter.Year(); y >= 1970 && y < 2262 { // what nanoseconds in 64 bits can say
		leaf.NotAfter = cert.NotAfter.UnixNano()
	}
	for _, name := range cert.DNSNames {
		if len(leaf.SAN) < mostNames {
			leaf.SAN = append(leaf.SAN, CleanName([]byte(name)))
		}
	}
	for _, ip := range cert.IPAddresses {
		if len(leaf.SAN) < mostNames {
			leaf.SAN = append(leaf.SAN, ip.String())
		}
	}
	return leaf
}
