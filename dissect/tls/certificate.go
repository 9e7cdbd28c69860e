package tls

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"

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

// mostNames bounds the subject alternative names that are kept.
const mostNames = 32

// ParseCertificate reads the first certificate of a Certificate message up to TLS 1.2 (RFC 5246 §7.4.2). A certificate that X.509
// cannot read is kept by its hash.
func ParseCertificate(body []byte) (*Leaf, error) {
	s := cryptobyte.String(body)
	var list, der cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&list) || !list.ReadUint24LengthPrefixed(&der) {
		return nil, ErrMalformed
	}
	sum := sha256.Sum256(der)
	leaf := &Leaf{SHA256: hex.EncodeToString(sum[:])}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return leaf, nil
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
	return leaf, nil
}
