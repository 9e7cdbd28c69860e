package dissect

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"netaudit/tap"
	"netaudit/tap/decode"
)

// plainDialogues are the openings of the protocols that turn to TLS.
var plainDialogues = []struct {
	name, channel string
	port          uint16
	dialogue      []said
}{
	{"smtp", "smtp", 25, []said{{false, "220 mail.example ESMTP\r\n"}, {true, "EHLO x\r\n"}, {false, "250 STARTTLS\r\n"}, {true, "STARTTLS\r\n"}, {false, "220 go ahead\r\n"}}},
	{"imap", "imap", 143, []said{{false, "* OK imap.example ready\r\n"}, {true, "a STARTTLS\r\n"}, {false, "a OK begin\r\n"}}},
	{"pop3", "pop3", 110, []said{{false, "+OK pop.example\r\n"}, {true, "STLS\r\n"}, {false, "+OK begin\r\n"}}},
	{"ftp", "ftp", 21, []said{{false, "220 ftp.example\r\n"}, {true, "AUTH TLS\r\n"}, {false, "234 begin\r\n"}}},
	{"ldap", "ldap", 389, []said{
		{true, "\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + "1.3.6.1.4.1.1466.20037"},
		{false, "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"},
	}},
	{"xmpp", "xmpp", 5222, []said{{true, "<?xml version='1.0'?><stream:stream to='x'>"}, {false, "<?xml version='1.0'?><stream:stream><stream:features/>"}, {true, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"}, {false, "<proceed/>"}}},
	{"postgres", "postgres", 5432, []said{{true, "\x00\x00\x00\x08\x04\xd2\x16\x2f"}, {false, "S"}}},
	{"mysql", "mysql", 3306, []said{{false, "\x4a\x00\x00\x00\x0a8.0.36\x00................................................................"}, {true, "\x20\x00\x00\x01\x00\x0a\x00\x00............................"}}},
	{"rdp", "rdp", 3389, []said{
		{true, "\x03\x00\x00\x2c\x27\xe0\x00\x00\x00\x00\x00Cookie: mstshash=secret\r\n\x01\x00\x08\x00\x03\x00\x00\x00"},
		{false, "\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x1f\x08\x00\x02\x00\x00\x00"},
	}},
	{"sieve", "sieve", 4190, []said{{false, "\"IMPLEMENTATION\" \"x\"\r\n\"STARTTLS\"\r\nOK\r\n"}, {true, "STARTTLS\r\n"}, {false, "OK\r\n"}}},
	{"socks", "https", 1080, []said{{true, "\x05\x01\x00"}, {false, "\x05\x00"}, {true, "\x05\x01\x00\x03\x07example\x01\xbb"}, {false, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"}}},
	{"http-connect", "https", 3128, []said{{true, "CONNECT license.mit-odoo.de:443 HTTP/1.1\r\nHost: license.mit-odoo.de:443\r\n\r\n"}, {false, "HTTP/1.1 200 ok\r\n\r\n"}}},
}

// TestTLSInsidePlainDialoguesIsRead replays the openings with a real client's hello behind them.
func TestTLSInsidePlainDialoguesIsRead(t *testing.T) {
	hello := string(clientHello(t))
	for _, c := range plainDialogues {
		t.Run(c.name, func(t *testing.T) {
			f := onlyFlows(t, run(conversation(newWire(t), c.port, append(slices.Clone(c.dialogue), said{true, hello}), nil)...), 1)[0]
			if f.TLS == nil || f.TLS.SNI != "license.mit-odoo.de" || f.TLS.StartTLS != c.name || f.Host != "license.mit-odoo.de" || f.Channel != c.channel {
				t.Errorf("channel %q, host %q, TLS %+v", f.Channel, f.Host, f.TLS)
			}
		})
	}
}

// TestTLSInsideDialoguesInOneDirectionIsRead: of a capture that has one side alone, the hello of that side is still found.
func TestTLSInsideDialoguesInOneDirectionIsRead(t *testing.T) {
	list, _ := payloads(t, "openssl.pcap", 6, 443)
	hellos := []said{{true, string(clientHello(t))}, list[slices.IndexFunc(list, func(s said) bool { return !s.client })]}
	for _, c := range plainDialogues {
		for _, client := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, client %v", c.name, client), func(t *testing.T) {
				whole := append(slices.Clone(c.dialogue), hellos...)
				w := newWire(t)
				var packets []tap.Packet
				for i, p := range conversation(w, c.port, whole, nil) {
					const handshake = 3
					if i >= handshake && whole[i-handshake].client == client {
						packets = append(packets, p)
					}
				}
				f := onlyFlows(t, run(packets...), 1)[0]
				if f.TLS == nil || client != (f.TLS.SNI == "license.mit-odoo.de") || client == (f.TLS.Cipher != "") {
					t.Errorf("channel %q, TLS %+v", f.Channel, f.TLS)
				}
			})
		}
	}
}

// TestServersHelloOfDTLSTellsTheServer: of a capture that has the server's direction alone.
func TestServersHelloOfDTLSTellsTheServer(t *testing.T) {
	_, packets := payloads(t, "dtls.pcap", 17, 4434)
	packets = slices.DeleteFunc(packets, func(p tap.Packet) bool {
		var h decode.Headers
		return decode.Decode(p.Link, p.Data, p.Length, &h) != nil || h.SrcPort != 4434
	})
	if f := onlyFlows(t, run(packets...), 1)[0]; f.Dst.Port() != 4434 || f.TLS == nil || f.TLS.Cipher == "" || f.SrcBytes != 0 {
		t.Errorf("%v → %v, TLS %+v", f.Src, f.Dst, f.TLS)
	}
}

// TestRetryOfDTLSIsToldByTheServerAlone: of a capture without the client's direction.
func TestRetryOfDTLSIsToldByTheServerAlone(t *testing.T) {
	_, packets := payloads(t, "dtls.pcap", 17, 4434)
	packets = slices.DeleteFunc(packets, func(p tap.Packet) bool {
		var h decode.Headers
		return decode.Decode(p.Link, p.Data, p.Length, &h) != nil || h.SrcPort != 4434
	})
	if f := onlyFlows(t, run(packets...), 1)[0]; f.TLS == nil || !f.TLS.Retry {
		t.Errorf("TLS %+v", f.TLS)
	}
}

// TestVersionInACutGreetingOfMySQLIsKept: it stands in front.
func TestVersionInACutGreetingOfMySQLIsKept(t *testing.T) {
	p := conversation(newWire(t), 3306, []said{{false, "\x4a\x00\x00\x00\x0a8.0.36\x00" + strings.Repeat(".", 64)}, {true, "\x20\x00\x00\x01\x00\x0a\x00\x00" + strings.Repeat(".", 28)}}, nil)
	p[3].Data = p[3].Data[:len(p[3].Data)-40]
	if f := onlyFlows(t, run(p...), 1)[0]; f.Service == nil || f.Service.Server != "8.0.36" {
		t.Errorf("channel %s, %+v", f.Channel, f.Service)
	}
}
