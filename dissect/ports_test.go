package dissect

import (
	"strings"
	"testing"
)

// TestPortsOfOthersHideNothing: what is said at the ports of DNS and NTP, which are open everywhere, is named by what it is.
func TestPortsOfOthersHideNothing(t *testing.T) {
	for _, port := range []uint16{53, 8853} {
		for want, said := range map[string][]said{
			"https": {{true, string(clientHello(t))}},
			"http":  {{true, "GET /x HTTP/1.1\r\nHost: www.example\r\n\r\n"}},
			"ssh":   {{true, "SSH-2.0-x\r\n"}, {false, "SSH-2.0-y\r\n"}},
		} {
			for _, cut := range []func() int{nil, func() int { return 7 }} {
				f := onlyFlows(t, run(conversation(newWire(t), port, said, cut)...), 1)[0]
				if f.Channel != want {
					t.Errorf("port %d: %s is called %s", port, want, f.Channel)
				}
				if want == "https" && f.Host != "license.mit-odoo.de" {
					t.Errorf("port %d: TLS with host %q", port, f.Host)
				}
			}
		}
	}
	hello, _ := payloads(t, "quic.pcap", 17, 443)
	query, _ := payloads(t, "dns.pcap", 17, 53)
	for _, port := range []uint16{53, 123, 5300} {
		for want, b := range map[string]string{
			"quic": hello[0].bytes, "dns": query[0].bytes, "wireguard": "\x01\x00\x00\x00" + strings.Repeat("a", 144), "udp": "\x00\x00\x01\x00\x00\x01" + strings.Repeat("\x00", 6) + "\x03www\x07example\x00\x00\x01\x00\x02x",
		} {
			if want == "udp" && port == 53 {
				continue // there it is a damaged message of DNS
			}
			if got := onlyFlows(t, run(newWire(t).datagram(true, port, []byte(b))), 1)[0].Channel; got != want {
				t.Errorf("port %d: %s is called %s", port, want, got)
			}
		}
	}
}
