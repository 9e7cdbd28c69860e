package appliance

import (
	"strings"

	"netaudit/ledger"
)

// namedAlike are the channels that mean the same as a protocol of tshark wherever it finds its messages, with tshark's name.
var namedAlike = map[string]string{
	"ftp-data": "ftp-data", "mqtt": "mqtt", "amqp": "amqp", "rtsp": "rtsp", "sip": "sip", "memcached": "memcache", "smb": "smb2", "bittorrent": "bittorrent", "mongodb": "mongo", "mssql": "tds",
	"vnc": "vnc", "bgp": "bgp", "stun": "stun", "wireguard": "wg", "openvpn": "openvpn", "dhcp": "dhcp", "tftp": "tftp", "snmp": "snmp", "syslog": "syslog", "radius": "radius", "ike": "isakmp",
	"nbns": "nbns", "kerberos": "kerberos", "ssdp": "ssdp",
}

// nameComparison is about the protocols of conversations that are not encrypted.
var nameComparison = comparison{
	name: "protocols", once: true,
	ours: func(e ledger.Event) []string {
		if tupleOf(e) == "" || namedAlike[e.Channel] == "" || e.TLS != nil && e.TLS.StartTLS != e.Channel || e.SrcBytes+e.DstBytes == 0 {
			return nil
		}
		return one(tupleOf(e) + " " + e.Channel)
	},
	theirs: func(f frame) []string {
		if f.tuple() == "" {
			return nil
		}
		var list []string
		chain := ":" + f.first("frame.protocols") + ":"
		for channel, name := range namedAlike {
			if strings.Contains(chain, ":"+name+":") {
				list = append(list, f.tuple()+" "+channel)
			}
		}
		return list
	},
}
