package dissect

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// datagramName names further protocols over UDP by a datagram, and by the port of the service where its bytes could be anybody's. They are not read.
func datagramName(b []byte, port uint16) string {
	switch {
	case isSTUN(b):
		return "stun"
	case isWireGuard(b):
		return "wireguard"
	case isSIP(b):
		return "sip"
	case isOpenVPNAnywhere(b):
		return "openvpn"
	case hasAnyPrefix(b, "d1:ad2:id20:", "d1:rd2:id20:"): // BEP 5
		return "bittorrent"
	}
	switch port {
	case 67, 68:
		return named(isDHCP(b), "dhcp")
	case 69:
		return named(isTFTP(b), "tftp")
	case 88:
		return named(isKerberos(b), "kerberos")
	case 137: // RFC 1002 §4.2: a name of 32 characters
		return named(len(b) >= 12+34 && b[12] == 32 && b[45] == 0, "nbns")
	case 161, 162:
		return named(isSNMP(b), "snmp")
	case 111, 2049:
		return named(isRPC(b), "rpc")
	case 389: // RFC 1798; Active Directory is asked so for its servers
		return named(isLDAP(b, port), "ldap")
	case 546, 547: // RFC 8415 §8
		return named(len(b) >= 8 && b[0] >= 1 && b[0] <= 13 && string(b[4:5]) == "\x00", "dhcpv6")
	case 1701: // RFC 2661 §3.1: control messages; what carries packets is taken off
		return named(len(b) >= 12 && b[0]&0xc8 == 0xc8 && b[1]&0x0f == 2 && sized16(b, 2, 0), "l2tp")
	case 2055, 4739, 9995, 9996: // versions 5, 9 and IPFIX (RFC 3954 §5.1, RFC 7011 §3.1)
		return named(len(b) >= 16 && b[0] == 0 && (b[1] == 5 || b[1] == 9 || b[1] == 10), "netflow")
	case 3702:
		return named(bytes.Contains(b, []byte("schemas.xmlsoap.org/ws/2005/04/discovery")), "wsdiscovery")
	case 5683: // RFC 7252 §3
		return named(len(b) >= 4 && b[0]>>6 == 1 && b[0]&15 <= 8 && len(b) >= 4+int(b[0]&15), "coap")
	case 6343:
		return named(len(b) >= 28 && hasAnyPrefix(b, "\x00\x00\x00\x05\x00\x00\x00\x01", "\x00\x00\x00\x05\x00\x00\x00\x02"), "sflow")
	case 500:
		return named(isIKE(b), "ike")
	case 4500: // RFC 3948 §2.2
		return named(hasAnyPrefix(b, "\x00\x00\x00\x00") && isIKE(b[4:]), "ike")
	case 514:
		return named(isSyslog(b), "syslog")
	case 1194:
		return named(isOpenVPN(b), "openvpn")
	case 1645, 1646, 1812, 1813, 3799: // RFC 2865 §3, RFC 5176 §2.3
		return named(len(b) >= 20 && sized16(b, 2, 0) && (b[0] >= 1 && b[0] <= 5 || b[0] >= 11 && b[0] <= 13 || b[0] >= 40 && b[0] <= 45), "radius")
	case 11211: // a number, a place in a row and a command (memcached, doc/protocol.txt)
		return named(len(b) > 12 && string(b[2:4]) == "\x00\x00" && string(b[6:8]) == "\x00\x00" && hasAnyPrefix(b[8:], "get ", "gets ", "set ", "stats", "version"), "memcached")
	case 1900:
		return named(hasAnyPrefix(b, "M-SEARCH * HTTP/1.1\r\n", "NOTIFY * HTTP/1.1\r\n"), "ssdp")
	}
	return ""
}

func named(is bool, name string) string {
	if is {
		return name
	}
	return ""
}

// isSTUN knows a message by its cookie and its length (RFC 8489 §5).
func isSTUN(b []byte) bool {
	return len(b) >= 20 && b[0] < 0x40 && binary.BigEndian.Uint32(b[4:]) == 0x2112a442 && sized16(b, 2, 20)
}

// isWireGuard knows the messages of a handshake by type and length (WireGuard: Next Generation Kernel Network Tunnel, §5.4).
func isWireGuard(b []byte) bool {
	return len(b) == 148 && hasAnyPrefix(b, "\x01\x00\x00\x00") || len(b) == 92 && hasAnyPrefix(b, "\x02\x00\x00\x00")
}

// isDHCP knows a message by its cookie (RFC 2131 §3).
func isDHCP(b []byte) bool {
	return len(b) >= 240 && (b[0] == 1 || b[0] == 2) && binary.BigEndian.Uint32(b[236:]) == 0x63825363
}

// isTFTP knows a request: what to do, a file, a mode (RFC 1350 §5).
func isTFTP(b []byte) bool {
	if len(b) < 4 || b[0] != 0 || b[1] != 1 && b[1] != 2 {
		return false
	}
	_, rest, _ := bytes.Cut(b[2:], []byte{0})
	mode, _, ok := bytes.Cut(rest, []byte{0})
	return ok && slices.Contains([]string{"octet", "netascii", "mail"}, string(bytes.ToLower(mode[:min(len(mode), 8)])))
}

// isSNMP knows a message of versions 1, 2c and 3 (RFC 1157 §4, RFC 3412 §6): a sequence that begins with the version.
func isSNMP(b []byte) bool {
	if len(b) < 2 || b[0] != 0x30 {
		return false
	}
	n := 2
	if b[1] >= 0x81 && b[1] <= 0x84 {
		n += int(b[1] & 0x7f)
	}
	return len(b) > n+3 && b[n] == 2 && b[n+1] == 1 && slices.Contains([]byte{0, 1, 3}, b[n+2])
}

// isIKE knows a header of version 1 or 2 (RFC 7296 §3.1).
func isIKE(b []byte) bool {
	return len(b) >= 28 && (b[17] == 0x10 || b[17] == 0x20) && int(binary.BigEndian.Uint32(b[24:])) == len(b)
}

// isOpenVPN knows the packet with which a client begins: P_CONTROL_HARD_RESET_CLIENT in its versions 2 and 3.
func isOpenVPN(b []byte) bool { return len(b) >= openvpnBareReset && (b[0] == 7<<3 || b[0] == 10<<3) }

// isOpenVPNAnywhere knows it at any port: it acknowledges nothing and is the first of its session, also where a code and a counter of tls-auth or tls-crypt go with it.
func isOpenVPNAnywhere(b []byte) bool {
	if !isOpenVPN(b) || len(b) > longestReset {
		return false
	}
	const tail, cookie = 5, 0x0f000000 // servers of version 2.6 that keep nothing yet let clients count from there
	code := len(b) - openvpnBareReset - openvpnReplay
	first := func(at int) bool { return binary.BigEndian.Uint32(b[at:])&^cookie == 1 }
	nothing := string(b[len(b)-tail:]) == "\x00\x00\x00\x00\x00"
	return nothing && (len(b) == openvpnBareReset || slices.Contains(codeLengths, code) && first(openvpnHeader+code)) || code == 32 && first(openvpnHeader)
}

// codeLengths are those of MD5, SHA-1, SHA-224, SHA-256, SHA-384 and SHA-512 in bytes.
var codeLengths = []int{16, 20, 28, 32, 48, 64}

const longestReset = openvpnBareReset + openvpnReplay + 64
