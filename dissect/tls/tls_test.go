package tls

import "testing"

// TestJA4IsThatOfTheSpecification rebuilds the example of FoxIO's technical_details/JA4.md.
func TestJA4IsThatOfTheSpecification(t *testing.T) {
	h := &ClientHello{
		LegacyVersion: 0x0303, Versions: []uint16{0x0a0a, 0x0304, 0x0303},
		Ciphers:       []uint16{0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
		Extensions:    []uint16{0x3a3a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015},
		SignatureAlgs: []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601}, ServerName: "example.com", ALPN: []string{"h2", "http/1.1"},
	}
	if got, want := h.JA4('t'), "t13d1516h2_8daaf6152771_e5627efa2ab1"; got != want {
		t.Errorf("JA4 %s, want %s", got, want)
	}
}

func TestNamesAreCleaned(t *testing.T) {
	for raw, want := range map[string]string{"License.MIT-Odoo.DE": "license.mit-odoo.de", "a\x00b.example": "", "evil\x1b[31m.example": ""} {
		if got := CleanName([]byte(raw)); got != want && (want != "" || !printable(got)) {
			t.Errorf("%q became %q, want %q", raw, got, want)
		}
	}
}

func printable(s string) bool {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return true
}

// FuzzHellos: hostile hellos give an error or bounded values.
func FuzzHellos(f *testing.F) {
	f.Add([]byte{3, 3})
	f.Fuzz(func(t *testing.T, body []byte) {
		if h, err := ParseClientHello(body); err == nil {
			if len(h.Extensions) > mostExtensions || len(h.ALPN) > mostProtocols || len(h.ServerName) > longestName || !printable(h.ServerName) {
				t.Errorf("out of bounds: %+v", h)
			}
			if ja4 := h.JA4('t'); len(ja4) != 36 {
				t.Errorf("JA4 %q has %d characters, want 36", ja4, len(ja4))
			}
			h.JA3()
		}
		if h, err := ParseServerHello(body); err == nil {
			h.JA3S()
		}
		_, _ = ParseCertificate(body)
	})
}
