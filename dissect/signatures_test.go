package dissect

import (
	"strings"
	"testing"
)

// TestStreamsAreNamedByWhatTheyBeginWith: each beginning gives the name, and what differs in one byte that counts does not.
func TestStreamsAreNamedByWhatTheyBeginWith(t *testing.T) {
	for _, c := range []struct {
		want           string
		port           uint16
		client, server string
		damage         int // index of a byte of what is said, which may not be another; -1: of none
	}{
		{"mqtt", 7000, "\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd", "", 5},
		{"mqtt", 7000, "\x10\x91\x01\x00\x04MQTT\x05\x02\x00\x3c\x00\x04abcd", "", 4},
		{"snmp", 161, "\x30\x26\x02\x01\x01\x04\x06public\xa0\x19" + strings.Repeat("a", 25), "", 4},
		{"smb", 139, "\x81\x00\x00\x44\x20" + strings.Repeat("CA", 16) + "\x00\x20" + strings.Repeat("CA", 16) + "\x00", "", 0},
		{"amqp", 7000, "AMQP\x00\x00\x09\x01", "", 2},
		{"nats", 7000, "", "INFO {\"server_id\":\"x\"}\r\n", 4},
		{"rtsp", 7000, "OPTIONS rtsp://192.0.2.1/a RTSP/1.0\r\nCSeq: 1\r\n\r\n", "", 29},
		{"sip", 7000, "REGISTER sip:a.example SIP/2.0\r\n", "", 23},
		{"smb", 7000, "\x00\x00\x00\x54\xfeSMB" + strings.Repeat("\x00", 60), "", 5},
		{"bittorrent", 7000, "\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x05", "", 3},
		{"mongodb", 7000, "\x18\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "", 13},
		{"mssql", 7000, "\x12\x01\x00\x1a\x00\x00\x01\x00" + "\x00\x00\x0b\x00\x06\x01\x00\x11\x00\x01\xff\x0f\x00\x07\xd0\x00\x00\x00", "", 3},
		{"bgp", 7000, strings.Repeat("\xff", 16) + "\x00\x1d\x01\x04\xfd\xe8\x00\xb4\xc0\x00\x02\x01\x00", "", 18},
		{"stun", 7000, "\x00\x01\x00\x08\x21\x12\xa4\x42abcdefghijkl\x00\x06\x00\x04abcd", "", 5},
		{"git", 7000, "0033git-upload-pack /project.git\x00host=git.example\x00", "", 6},
		{"vnc", 7000, "", "RFB 003.008\n", 2},
		{"rsync", 7000, "", "@RSYNCD: 31.0\n", 3},
		{"sieve", 7000, "", "\"IMPLEMENTATION\" \"x\"\r\n", 3},
		{"zabbix", 7000, "ZBXD\x01\x05\x00\x00\x00\x00\x00\x00\x00hello", "", 1},
		{"irc", 7000, "NICK x\r\nUSER x 0 * :x\r\n", "", 1},
		{"stratum", 7000, `{"id":1,"method":"mining.subscribe","params":[]}` + "\n", "", 19},
		{"stratum", 7000, `{"id":1,"jsonrpc":"2.0","method":"login","params":{"login":"x","pass":"x"}}` + "\n", "", 36},
		{"bitcoin", 7000, "\xf9\xbe\xb4\xd9version\x00\x00\x00\x00\x00\x66\x00\x00\x00abcd", "", 2},
		{"opcua", 7000, "HELF\x24\x00\x00\x00" + strings.Repeat("\x00", 28), "", 3},
		{"dcerpc", 7000, "\x05\x00\x0b\x03\x10\x00\x00\x00\x18\x00\x00\x00" + strings.Repeat("\x00", 12), "", 2},
		{"ajp", 7000, "\x12\x34\x00\x0c" + strings.Repeat("a", 12), "", 3},
		{"fastcgi", 7000, "\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x04\x00\x01", "", 5},
		{"pptp", 7000, "\x00\x9c\x00\x01\x1a\x2b\x3c\x4d" + strings.Repeat("\x00", 148), "", 5},
		{"rmi", 7000, "JRMI\x00\x02K", "", 3},
		{"jdwp", 7000, "JDWP-Handshake", "", 3},
		{"db2", 7000, "\x00\x72\xd0\x41\x00\x01\x00\x6c\x10\x41" + strings.Repeat("a", 104), "", 9},
		{"rpc", 7000, "\x80\x00\x00\x28abcd\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x86\xa3\x00\x00\x00\x04" + strings.Repeat("\x00", 20), "", 15},
		{"checkmk", 7000, "", "<<<check_mk>>>\nVersion: 2\n", 4},
		{"telnet", 23, "", "\xff\xfd\x18\xff\xfd\x20", 1},
		{"whois", 43, "partner.example\r\n", "", 15},
		{"modbus", 502, "\x00\x01\x00\x00\x00\x06\x01\x03\x00\x00\x00\x0a", "", 5},
		{"lpd", 515, "\x02queue\n", "", 0},
		{"zookeeper", 2181, "\x00\x00\x00\x2d" + strings.Repeat("\x00", 45), "", 6},
		{"iscsi", 3260, "\x43\x87" + strings.Repeat("\x00", 46), "", 0},
		{"printer", 9100, "\x1b@receipt", "", 1},
		{"ldap", 389, "\x30\x05\x02\x01\x01\x42\x00", "", 5},                              // an unbind alone
		{"ldap", 7000, "\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x02\x04\x00\x80\x00", "", 5}, // a bind of version 2
		{"nntp", 119, "", "200 news.example ready to be read by you\r\n", 1},
		{"kerberos", 88, "\x00\x00\x00\x14\x6a\x12" + strings.Repeat("a", 18), "", 3},
		{"oracle", 1521, "\x00\x1a\x00\x00\x01\x00\x00\x00" + strings.Repeat("a", 18), "", 4},
		{"cassandra", 9042, "\x04\x00\x00\x00\x05\x00\x00\x00\x00" + strings.Repeat("a", 18), "", 4},
		{"kafka", 9092, "\x00\x00\x00\x14\x00\x12\x00\x03\x00\x00\x00\x01\x00\x04" + strings.Repeat("a", 10), "", 3},
		{"memcached", 11211, "get key\r\n", "END\r\n", -1},
		{"syslog", 601, "40 <13>1 2026-11-24T20:00:00Z host app - - x", "", 3},
		{"openvpn", 1194, "\x00\x1a\x38" + strings.Repeat("a", 25), "", 2},
		{"openvpn", 7000, "\x00\x0e\x38sessionx\x00\x00\x00\x00\x00", "", 11},
		{"openvpn", 7000, "\x00\x2a\x38sessionx" + strings.Repeat("c", 20) + "\x00\x00\x00\x01time\x00\x00\x00\x00\x00", "", 34},
	} {
		said := []said{{true, c.client}, {false, c.server}}
		if c.client == "" {
			said = said[1:]
		} else if c.server == "" {
			said = said[:1]
		}
		if f := onlyFlows(t, run(conversation(newWire(t), c.port, said, nil)...), 1)[0]; f.Channel != c.want {
			t.Errorf("%s: channel %s", c.want, f.Channel)
		}
		if c.damage < 0 {
			continue
		}
		b := []byte(said[0].bytes)
		b[c.damage] ^= 0x55
		said[0].bytes = string(b)
		if f := onlyFlows(t, run(conversation(newWire(t), c.port, said, nil)...), 1)[0]; f.Channel == c.want {
			t.Errorf("%s is also %q", c.want, b)
		}
	}
}

// TestDatagramsAreNamedByWhatTheyAre: the same over UDP. Where the bytes could be anybody's, another port gives no name.
func TestDatagramsAreNamedByWhatTheyAre(t *testing.T) {
	for _, c := range []struct {
		want   string
		port   uint16 // 0: any
		bytes  string
		damage int
	}{
		{"stun", 0, "\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl", 3},
		{"wireguard", 0, "\x01\x00\x00\x00" + strings.Repeat("a", 144), 1},
		{"sip", 0, "INVITE sip:b@b.example SIP/2.0\r\nVia: x\r\n", 23},
		{"bittorrent", 0, "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", 4},
		{"dhcp", 67, "\x01\x01\x06\x00" + strings.Repeat("\x00", 232) + "\x63\x82\x53\x63\x35\x01\x01", 237},
		{"tftp", 69, "\x00\x01file\x00octet\x00", 8},
		{"kerberos", 88, "\x6a\x30" + strings.Repeat("a", 48), 0},
		{"nbns", 137, "\x00\x01\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x20" + strings.Repeat("CA", 16) + "\x00\x00\x20\x00\x01", 12},
		{"snmp", 161, "\x30\x26\x02\x01\x01\x04\x06public\xa0\x19" + strings.Repeat("a", 25), 4},
		{"ike", 500, strings.Repeat("a", 16) + "\x21\x20\x22\x08\x00\x00\x00\x00\x00\x00\x00\x1c", 17},
		{"ike", 4500, "\x00\x00\x00\x00" + strings.Repeat("a", 16) + "\x21\x20\x22\x08\x00\x00\x00\x00\x00\x00\x00\x1c", 2},
		{"syslog", 514, "<34>1 2026-11-24T20:00:00Z host app - - x", 3},
		{"openvpn", 1194, "\x38" + strings.Repeat("a", 13), 0},
		{"openvpn", 0, "\x38sessionx\x00\x00\x00\x00\x00", 12},
		{"openvpn", 0, "\x50sessionx\x0f\x00\x00\x01time" + strings.Repeat("c", 37), 10}, // tls-crypt
		{"rpc", 111, "abcd\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x86\xa0\x00\x00\x00\x02" + strings.Repeat("\x00", 32), 11},
		{"ldap", 389, "\x30\x25\x02\x01\x01\x63\x20" + strings.Repeat("a", 32), 5},
		{"dhcpv6", 547, "\x01\x00\x00\x01\x00\x01\x00\x0a" + strings.Repeat("a", 10), 0},
		{"l2tp", 1701, "\xc8\x02\x00\x14\x00\x00\x00\x00\x00\x00\x00\x00\x80\x08\x00\x00\x00\x00\x00\x01", 3},
		{"netflow", 2055, "\x00\x09\x00\x01" + strings.Repeat("a", 40), 1},
		{"wsdiscovery", 3702, `<x xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"/>`, 30},
		{"coap", 5683, "\x41\x01\x00\x01\xaaabc", 0},
		{"sflow", 6343, "\x00\x00\x00\x05\x00\x00\x00\x01" + strings.Repeat("a", 20), 3},
		{"radius", 1812, "\x01\x07\x00\x14" + strings.Repeat("a", 16), 3},
		{"memcached", 11211, "\x00\x07\x00\x00\x00\x01\x00\x00get key\r\n", 6},
		{"ssdp", 1900, "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n", 9},
	} {
		name := func(port uint16, b []byte) string {
			w := newWire(t)
			return onlyFlows(t, run(w.datagram(true, port, b)), 1)[0].Channel
		}
		port := c.port
		if port == 0 {
			port = 7000
		} else if got := name(7000, []byte(c.bytes)); got != "udp" {
			t.Errorf("%s at another port: channel %s", c.want, got)
		}
		if got := name(port, []byte(c.bytes)); got != c.want {
			t.Errorf("%s: channel %s", c.want, got)
		}
		b := []byte(c.bytes)
		b[c.damage] ^= 0x55
		if got := name(port, b); got == c.want {
			t.Errorf("%s is also %q", c.want, b)
		}
	}
}
