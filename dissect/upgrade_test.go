package dissect

import (
	"testing"

	"netaudit/tap"
)

// TestTLSInsidePlainDialoguesIsRead replays the openings of the protocols with a real client's hello behind them.
func TestTLSInsidePlainDialoguesIsRead(t *testing.T) {
	hello := clientHello(t)
	for _, c := range []struct {
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
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWire(t)
			w.sport = c.port
			mine, theirs := uint32(1001), uint32(5001)
			list := []tap.Packet{w.tcp(true, 1000, 0, "S", nil), w.tcp(false, 5000, 1001, "SA", nil), w.tcp(true, mine, theirs, "A", nil)}
			for _, s := range append(c.dialogue, said{true, string(hello)}) {
				if s.client {
					list = append(list, w.tcp(true, mine, theirs, "PA", []byte(s.bytes)))
					mine += uint32(len(s.bytes))
				} else {
					list = append(list, w.tcp(false, theirs, mine, "PA", []byte(s.bytes)))
					theirs += uint32(len(s.bytes))
				}
			}
			got := &collector{}
			e := New(Config{}, got)
			for i := range list {
				e.Packet(&list[i])
			}
			e.Close()
			f := got.only(t, 1)[0]
			if f.TLS == nil || f.TLS.SNI != "license.mit-odoo.de" || f.TLS.StartTLS != c.name || f.Host != "license.mit-odoo.de" || f.Channel != c.channel {
				t.Errorf("channel %q, host %q, TLS %+v", f.Channel, f.Host, f.TLS)
			}
		})
	}
}
