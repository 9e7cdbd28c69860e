package dissect

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// streamName names further protocols over TCP by what both sides said first. They are not read: TLS inside them is (see upgradeStream). Those whose first bytes could be anybody's are named at
// their own port only.
func (p *place) streamName() string {
	client, server := p.sides[initiator], p.sides[responder]
	for _, s := range streamSignatures {
		if s.client != nil && s.client(client) || s.server != "" && hasAnyPrefix(server, s.server) {
			return s.name
		}
	}
	switch {
	case sized16(client, 0, 2) && (p.port == 1194 && isOpenVPN(client[2:]) || isOpenVPNAnywhere(client[2:])):
		return "openvpn"
	case p.port == 88 && sized32(client) && isKerberos(client[4:]):
		return "kerberos"
	case p.port == 1521 && sized16(client, 0, 0) && len(client) > 8 && client[4] == 1: // CONNECT
		return "oracle"
	case p.port == 9042 && len(client) >= 9 && client[0] >= 3 && client[0] <= 5 && (client[4] == 1 || client[4] == 5): // STARTUP, OPTIONS
		return "cassandra"
	case p.port == 9092 && sized32(client) && len(client) >= 14 && client[4] == 0 && client[6] == 0: // request and its version are small numbers
		return "kafka"
	case p.port == 11211 && (hasAnyPrefix(server, "VALUE ", "END\r\n", "STORED\r\n", "VERSION ", "STAT ", "ERROR\r\n", "NOT_FOUND\r\n") || len(client) >= 24 && client[0] == 0x80 && hasAnyPrefix(server, "\x81")):
		return "memcached"
	case p.port == 23 && (isTelnet(server) || isTelnet(client)):
		return "telnet"
	case p.port == 43 && len(client) > 2 && bytes.HasSuffix(client, []byte("\r\n")) && bytes.Count(client, []byte("\n")) == 1: // RFC 3912
		return "whois"
	case p.port == 139 && sized16(client, 2, 4) && client[0] == 0x81: // RFC 1002 §4.3.2, whom the session is for
		return "smb"
	case p.port == 161 && isSNMP(client): // RFC 3430
		return "snmp"
	case p.port == 502 && len(client) >= 8 && sized16(client, 4, 6) && client[2] == 0 && client[3] == 0: // MODBUS over TCP §3.1.3
		return "modbus"
	case p.port == 515 && len(client) >= 2 && client[0] >= 1 && client[0] <= 5 && client[len(client)-1] == '\n': // RFC 1179 §5
		return "lpd"
	case p.port == 2181 && sized32(client) && len(client) >= 44 && len(client) <= 64 && string(client[4:8]) == "\x00\x00\x00\x00": // a session of protocol version 0
		return "zookeeper"
	case p.port == 3260 && len(client) >= 48 && client[0] == 0x43: // RFC 7143 §11.12, a login
		return "iscsi"
	case p.port == 9100 && hasAnyPrefix(client, "\x1b%-12345X", "\x1b@", "\x1bE"): // printers, of receipts too
		return "printer"
	case p.port == 119 && hasAnyPrefix(server, "200 ", "201 "):
		return "nntp"
	case (p.port == 514 || p.port == 601) && isSyslog(client):
		return "syslog"
	}
	return ""
}

// streamSignatures are beginnings that nothing else has.
var streamSignatures = []struct {
	name   string
	client func([]byte) bool
	server string
}{
	{"mqtt", isMQTT, ""},
	{"amqp", func(b []byte) bool { return len(b) >= 8 && hasAnyPrefix(b, "AMQP") && b[4] <= 3 }, ""}, // AMQP 0-9-1 §4.2.2, 1.0 §2.2
	{"nats", func(b []byte) bool { return hasAnyPrefix(b, "CONNECT {") }, "INFO {"},
	{"rtsp", func(b []byte) bool { return isMessage(b, "RTSP/") }, ""},
	{"sip", isSIP, ""},
	{"smb", func(b []byte) bool {
		return len(b) >= 8 && b[0] == 0 && (string(b[4:8]) == "\xfeSMB" || string(b[4:8]) == "\xffSMB")
	}, ""},
	{"rdp", isRDP, ""},
	{"bittorrent", func(b []byte) bool { return hasAnyPrefix(b, "\x13BitTorrent protocol") }, ""}, // BEP 3
	{"mongodb", isMongoDB, ""},
	{"mssql", isMSSQL, ""},
	{"bgp", func(b []byte) bool { return len(b) >= 19 && b[18] == 1 && bytes.Count(b[:16], []byte{0xff}) == 16 }, ""}, // RFC 4271 §4.1
	{"stun", isSTUN, ""},
	{"git", func(b []byte) bool {
		return len(b) > 8 && hasAnyPrefix(b[4:], "git-upload-pack /", "git-receive-pack /", "git-upload-archive /")
	}, ""},
	{"zabbix", func(b []byte) bool { return len(b) >= 5 && hasAnyPrefix(b, "ZBXD") && b[4] <= 7 }, ""}, // Zabbix protocol, header
	{"irc", func(b []byte) bool { return hasAnyPrefix(b, "CAP LS", "NICK ") }, ""},                     // RFC 2812 §3.1, IRCv3
	{"stratum", isStratum, ""}, //
	{"bitcoin", func(b []byte) bool { return hasAnyPrefix(b, "\xf9\xbe\xb4\xd9version\x00\x00\x00\x00\x00") }, ""}, //
	{"opcua", func(b []byte) bool { return len(b) >= 8 && hasAnyPrefix(b, "HELF") && sizedLittle(b, 4) }, ""},      // OPC 10000-6 §7.1.2.3
	{"dcerpc", func(b []byte) bool {
		return len(b) >= 24 && hasAnyPrefix(b, "\x05\x00\x0b") && string(b[4:8]) == "\x10\x00\x00\x00"
	}, ""}, // C706 §12.6.4.3, a bind
	{"ajp", func(b []byte) bool { return sized16(b, 2, 4) && hasAnyPrefix(b, "\x12\x34") }, ""}, // AJPv13
	{"fastcgi", func(b []byte) bool {
		return len(b) >= 16 && hasAnyPrefix(b, "\x01\x01") && string(b[4:6]) == "\x00\x08" && b[8] == 0 && b[9] >= 1 && b[9] <= 3
	}, ""}, // FastCGI 1.0 §5.1
	{"pptp", func(b []byte) bool { return len(b) >= 12 && sized16(b, 0, 0) && string(b[4:8]) == "\x1a\x2b\x3c\x4d" }, ""}, // RFC 2637 §2.1
	{"rmi", func(b []byte) bool { return hasAnyPrefix(b, "JRMI\x00") }, ""},                                               //
	{"jdwp", func(b []byte) bool { return hasAnyPrefix(b, "JDWP-Handshake") }, ""},                                        //
	{"db2", func(b []byte) bool { return len(b) >= 10 && b[2] == 0xd0 && string(b[8:10]) == "\x10\x41" }, ""},             // DRDA, EXCSAT
	{"rpc", func(b []byte) bool { return len(b) >= 4 && b[0]&0x80 != 0 && isRPC(b[4:]) }, ""},                             // RFC 5531 §11
	{"checkmk", nil, "<<<check_mk"},   //
	{"vnc", nil, "RFB 00"},            // RFC 6143 §7.1.1
	{"rsync", nil, "@RSYNCD: "},       //
	{"sieve", nil, `"IMPLEMENTATION`}, // RFC 5804 §1.7
}

// isMQTT knows CONNECT: its length in one to four bytes, then the protocol's name (MQTT 5.0 §3.1.2.1, 3.1 §3.1).
func isMQTT(b []byte) bool {
	if len(b) < 2 || b[0] != 0x10 {
		return false
	}
	for i := 1; i < min(len(b), 5); i++ {
		if b[i]&0x80 == 0 {
			return hasAnyPrefix(b[i+1:], "\x00\x04MQTT", "\x00\x06MQIsdp")
		}
	}
	return false
}

// isRDP knows a connection request of X.224 with a cookie, or with the request for a protocol to protect it (MS-RDPBCGR §2.2.1.1).
func isRDP(b []byte) bool {
	const header = 11
	if len(b) < header || b[0] != 3 || b[1] != 0 || !sized16(b, 2, 0) || b[5] != 0xe0 {
		return false
	}
	return hasAnyPrefix(b[header:], "Cookie: mstshash=", "\x01\x00\x08\x00", "\x01\x01\x08\x00", "\x01\x02\x08\x00")
}

// isMongoDB knows the header of OP_MSG and of the older OP_QUERY (MongoDB wire protocol).
func isMongoDB(b []byte) bool {
	const header, query, message = 16, 2004, 2013
	if len(b) < header || int(binary.LittleEndian.Uint32(b)) != len(b) || binary.LittleEndian.Uint32(b[8:]) != 0 {
		return false
	}
	code := binary.LittleEndian.Uint32(b[12:])
	return code == query || code == message
}

// isSIP knows a request or an answer of SIP (RFC 3261 §7).
func isSIP(b []byte) bool { return hasAnyPrefix(b, "SIP/2.0 ") || isMessage(b, "SIP/2.0") }

// isMessage knows a first line as HTTP has it, by the name and version at its end.
func isMessage(b []byte, protocol string) bool {
	line, _, whole := bytes.Cut(b[:min(len(b), longestLine)], []byte("\n"))
	method, _, version, ok := splitRequestLine(bytes.TrimSuffix(line, []byte("\r")))
	return whole && ok && len(method) > 0 && isMethod(method) && hasAnyPrefix(version, protocol)
}

// isSyslog knows the priority with which messages begin (RFC 5424 §6.2.1, RFC 3164 §4.1.1), also behind a length (RFC 6587 §3.4.1).
func isSyslog(b []byte) bool {
	if i := bytes.IndexByte(b[:min(len(b), 8)], ' '); i > 0 && len(bytes.Trim(b[:i], "0123456789")) == 0 {
		b = b[i+1:]
	}
	end := bytes.IndexByte(b[:min(len(b), 5)], '>')
	return end >= 2 && b[0] == '<' && len(bytes.Trim(b[1:end], "0123456789")) == 0
}

// isKerberos knows the first message of an exchange (RFC 4120 §5.4.1, §5.5.1): AS-REQ, TGS-REQ, AP-REQ.
func isKerberos(b []byte) bool {
	return len(b) > 16 && slices.Contains([]byte{0x6a, 0x6c, 0x6e}, b[0]) && (b[1] < 0x80 || b[1] >= 0x81 && b[1] <= 0x84)
}

// sized16 says that two bytes at a place are the length of b without some bytes; sized32 that the first four are that of the rest.
func sized16(b []byte, at, without int) bool {
	return len(b) >= at+2 && int(binary.BigEndian.Uint16(b[at:])) == len(b)-without
}

func sized32(b []byte) bool { return len(b) > 4 && int(binary.BigEndian.Uint32(b)) == len(b)-4 }

func sizedLittle(b []byte, at int) bool {
	return len(b) >= at+4 && int(binary.LittleEndian.Uint32(b[at:])) == len(b)
}

// isStratum knows what miners of coins say first: a call of JSON-RPC with a method of theirs.
func isStratum(b []byte) bool {
	b = b[:min(len(b), longestLine)]
	return len(b) > 0 && b[0] == '{' && (bytes.Contains(b, []byte(`"mining.`)) || bytes.Contains(b, []byte(`"method":"login"`)) && bytes.Contains(b, []byte(`"pass"`)))
}

// isRPC knows a call of ONC RPC version 2 (RFC 5531 §9), of which programs have small numbers.
func isRPC(b []byte) bool {
	return len(b) >= 24 && binary.BigEndian.Uint32(b[4:]) == 0 && binary.BigEndian.Uint32(b[8:]) == 2 && binary.BigEndian.Uint32(b[12:])-100_000 < 1_000_000
}

// isTelnet knows the negotiation of options (RFC 854).
func isTelnet(b []byte) bool {
	return len(b) >= 3 && b[0] == 0xff && b[1] >= 0xfb && b[1] <= 0xfe
}
