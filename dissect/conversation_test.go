package dissect

import (
	"net/netip"
	"testing"
	"unicode"
	"unicode/utf8"

	"netaudit/tap"
	"netaudit/tap/decode"
)

// FuzzConversation feeds payload to the parsers behind TCP and UDP, in order and without headers in the way: the first byte chooses protocol and port, then each
// piece is a byte of side and length and its bytes. Whatever is said, the flow's texts stay printable and bounded, and flows end once.
func FuzzConversation(f *testing.F) {
	for _, name := range []string{
		"tls.pcap", "tls2.pcap", "dtls.pcap", "dtls13.pcap", "ech.pcap", "quic.pcap", "quic2.pcap", "mail.pcap", "databases.pcap", "ssh.pcap", "ldap.pcap", "ftp.pcap", "xmpp.pcap", "proxy.pcap",
		"web.pcap", "web2.pcap", "http2.pcap", "dns2.pcap", "dnstypes.pcap", "inside.pcap",
	} {
		for _, seed := range conversations(f, name) {
			f.Add(seed)
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) == 0 {
			return
		}
		c := &collector{}
		e := New(Config{Names: NewNames(64)}, c)
		converse(e, conversationPorts[int(input[0])%len(conversationPorts)], input[1:])
		e.Close()
		if len(c.closed) != len(c.opened) {
			t.Fatalf("%d flows opened, %d closed", len(c.opened), len(c.closed))
		}
		for _, f := range c.closed {
			for _, text := range textsOf(&f) {
				if len(text) > 4*512 || !utf8.ValidString(text) || hasControl(text) {
					t.Fatalf("text %q of %+v", text, f)
				}
			}
		}
		for _, h := range c.http {
			if len(h.Headers) > mostHeaders || len(h.Path) > longestPath || hasControl(h.Path) || hasControl(h.Route) || hasControl(h.Host) {
				t.Fatalf("%+v", h)
			}
		}
	})
}

// conversationPorts are protocol and server's port by which parsers are chosen.
var conversationPorts = []struct {
	proto uint8
	port  uint16
}{{6, 443}, {6, 80}, {6, 25}, {6, 143}, {6, 110}, {6, 5432}, {6, 3306}, {6, 22}, {6, 389}, {6, 53}, {6, 6379}, {6, 5222}, {6, 1080}, {6, 21}, {17, 443}, {17, 53}, {17, 4434}, {17, 123}, {17, 5353}}

func converse(e *Engine, how struct {
	proto uint8
	port  uint16
}, input []byte,
) {
	client, server := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("203.0.113.9")
	seq := [2]uint32{1000, 5000}
	now := int64(1_700_000_000_000_000_000)
	for len(input) >= 2 {
		side := int(input[0] >> 7)
		n := min(int(input[0]&0x7f)<<8|int(input[1]), len(input)-2)
		h := decode.Headers{
			Src: client, Dst: server, SrcPort: 40000, DstPort: how.port, Proto: how.proto, Flags: flagACK,
			Seq: seq[side], Ack: seq[1-side], Payload: input[2 : 2+n], PayloadLength: n,
			SrcBits: decode.Bits{Low: 1}, DstBits: decode.Bits{Low: 2},
		}
		if side == responder {
			h.Src, h.Dst, h.SrcPort, h.DstPort = server, client, how.port, 40000
			h.SrcBits, h.DstBits = h.DstBits, h.SrcBits
		}
		seq[side] += uint32(n)
		now += 1e6
		e.advance(now)
		e.follow(&h, &tap.Packet{Time: now}, 1)
		input = input[2+n:]
	}
}

// conversations turns the flows of a capture into seeds.
func conversations(f *testing.F, name string) [][]byte {
	type pair struct{ a, b uint16 }
	seeds := map[pair][]byte{}
	for _, p := range capture(f, name) {
		var h decode.Headers
		if decode.Decode(p.Link, p.Data, p.Length, &h) != nil || len(h.Payload) == 0 || len(h.Payload) > 0x7fff {
			continue
		}
		k, side := pair{h.SrcPort, h.DstPort}, byte(0)
		if h.SrcPort < h.DstPort {
			k, side = pair{h.DstPort, h.SrcPort}, 0x80
		}
		if seeds[k] == nil {
			choice := 0
			for i, how := range conversationPorts {
				if how.proto == h.Proto && (how.port == k.b || choice == 0) {
					choice = i
				}
			}
			seeds[k] = []byte{byte(choice)}
		}
		if len(seeds[k]) < 8000 {
			seeds[k] = append(append(seeds[k], side|byte(len(h.Payload)>>8), byte(len(h.Payload))), h.Payload...)
		}
	}
	var list [][]byte
	for _, s := range seeds {
		list = append(list, s)
	}
	return list
}

func textsOf(f *Flow) []string {
	list := []string{f.Host, f.Channel, f.History}
	if t := f.TLS; t != nil {
		list = append(list, t.SNI, t.ALPN, t.Cipher, t.Group, t.Alert, t.JA4)
		if t.Cert != nil {
			list = append(append(list, t.Cert.Subject, t.Cert.Issuer), t.Cert.SAN...)
		}
	}
	if h := f.HTTP; h != nil {
		list = append(append(list, h.Method, h.Host, h.Path, h.UserAgent, h.Route, h.Version), h.Headers...)
	}
	if m := f.Mail; m != nil {
		list = append(list, m.GreetingHost, m.State)
	}
	if s := f.Service; s != nil {
		list = append(list, s.Client, s.Server, s.User, s.Database)
	}
	return list
}

func hasControl(text string) bool {
	for _, r := range text {
		if unicode.Is(unicode.Cc, r) && r < 0x80 {
			return true
		}
	}
	return false
}
