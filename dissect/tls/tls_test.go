package tls

import (
	stdtls "crypto/tls"
	"encoding/binary"
	"net"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func numbers(list ...uint16) (n Numbers) {
	for _, v := range list {
		n = binary.BigEndian.AppendUint16(n, v)
	}
	return n
}

// TestJA4IsThatOfTheSpecification rebuilds the example of FoxIO's technical_details/JA4.md.
func TestJA4IsThatOfTheSpecification(t *testing.T) {
	h := &ClientHello{
		LegacyVersion: 0x0303, Versions: numbers(0x0a0a, 0x0304, 0x0303),
		Ciphers:       numbers(0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035),
		Extensions:    numbers(0x3a3a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015),
		SignatureAlgs: numbers(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601), ServerName: []byte("example.com"), ALPN: [][]byte{[]byte("h2"), []byte("http/1.1")},
	}
	if got, want := h.JA4('t'), "t13d1516h2_8daaf6152771_e5627efa2ab1"; got != want {
		t.Errorf("JA4 %s, want %s", got, want)
	}
}

func TestNamesAreCleaned(t *testing.T) {
	for raw, want := range map[string]string{"License.MIT-Odoo.DE": "license.mit-odoo.de", "a\x00b.example": "a?b.example", "evil\x1b[31m.example": "evil?[31m.example", "a\u009b31m\u202eb.example": "a?31m?b.example"} {
		if got := CleanName([]byte(raw)); got != want {
			t.Errorf("%q became %q, want %q", raw, got, want)
		}
	}
}

func TestCertificateIsForTheHostsThatItNames(t *testing.T) {
	leaf := &Presented{Leaf: Leaf{SAN: []string{"mit-odoo.de", "*.mit-odoo.de", "192.0.2.1"}}}
	for host, want := range map[string]bool{
		"mit-odoo.de": true, "license.mit-odoo.de": true, "a.license.mit-odoo.de": false, "other.example": false, "192.0.2.1": true, "de": false, "": false,
	} {
		if got := leaf.Names(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}

func TestKnownFingerprintsAreThoseThatWereComputed(t *testing.T) {
	var p Fingerprints
	hellos := []*ClientHello{{LegacyVersion: 0x0303, Ciphers: numbers(1, 2)}, {LegacyVersion: 0x0303, Ciphers: numbers(1), Extensions: numbers(2)}, {Groups: numbers(1, 2)}}
	for range 2 {
		for i, h := range hellos {
			if ja3, ja4 := p.Client(h, 't'); ja3 != h.JA3() || ja4 != h.JA4('t') {
				t.Errorf("hello %d: %s %s, want %s %s", i, ja3, ja4, h.JA3(), h.JA4('t'))
			}
		}
	}
	if _, ja4 := p.Client(hellos[0], 'q'); ja4 != hellos[0].JA4('q') {
		t.Errorf("over QUIC %s, want %s", ja4, hellos[0].JA4('q'))
	}
}

// TestCipherNamesAreThoseOfCryptoTLS: the registry was copied from another program's.
func TestCipherNamesAreThoseOfCryptoTLS(t *testing.T) {
	for _, s := range slices.Concat(stdtls.CipherSuites(), stdtls.InsecureCipherSuites()) {
		if got := CipherName(s.ID); got != s.Name {
			t.Errorf("%#04x is %s, want %s", s.ID, got, s.Name)
		}
	}
	if n := len(suites()); n < 340 {
		t.Errorf("%d suites, want all of the registry", n)
	}
	if got := CipherName(0x4a4a); got != "0x4A4A" {
		t.Errorf("unknown: %s", got)
	}
}

// FuzzHellos: hostile hellos give an error or bounded values.
// realHello is the body of what crypto/tls sends first.
func realHello(t testing.TB) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		_ = stdtls.Client(client, &stdtls.Config{ServerName: "www.example", NextProtos: []string{"h2"}}).Handshake()
	}()
	b := make([]byte, 4096)
	n, err := server.Read(b)
	const headers = 5 + 4
	if err != nil || n < headers {
		t.Fatalf("%d bytes, error %v", n, err)
	}
	return b[headers:n]
}

func FuzzHellos(f *testing.F) {
	f.Add([]byte{3, 3})
	f.Add(realHello(f))
	f.Add([]byte("\x00\x1a\xfe\x0d\x00\x16\x2a\x00\x20\x00\x01k\x00\x04\x00\x01\x00\x01\x00\x06a.test\x00\x00")) // a list of ECH configurations
	var p Fingerprints
	var certificates Certificates
	f.Fuzz(func(t *testing.T, body []byte) {
		var h ClientHello
		for _, parse := range []func([]byte) error{h.Parse, h.ParseDTLS} {
			if parse(body) != nil {
				continue
			}
			name := CleanName(h.ServerName)
			if h.Extensions.Len() > mostExtensions || len(h.ALPN) > mostProtocols || len(name) > 3*longestName || strings.ContainsFunc(name, unicode.IsControl) {
				t.Errorf("out of bounds: %+v", h)
			}
			if IsCleanName(h.ServerName) && name != string(h.ServerName) {
				t.Errorf("%q is clean and became %q", h.ServerName, name)
			}
			if ja3, ja4 := p.Client(&h, 't'); len(ja4) != 36 || ja3 != h.JA3() {
				t.Errorf("JA4 %q has %d characters, want 36", ja4, len(ja4))
			}
		}
		configs := 0
		EachECHConfig(body, func(c ECHConfig) {
			if configs++; configs > mostConfigs || len(c.PublicName) == 0 {
				t.Errorf("%d configurations, the last for %q", configs, c.PublicName)
			}
		})
		var s ServerHello
		if s.Parse(body) == nil && p.Server(&s) != s.JA3S() {
			t.Errorf("JA3S of %+v", s)
		}
		if leaf, err := certificates.Parse(body); err == nil && len(leaf.SAN) > mostNames {
			t.Errorf("%d names", len(leaf.SAN))
		}
	})
}
