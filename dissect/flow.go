// Package dissect turns packets into flows with metadata. It receives frames from tap, follows every TCP, UDP, ICMP
// and other IP conversation, reads the head of each side's stream (TLS ClientHello, DNS messages, HTTP request
// heads), and hands flows and transactions to a Sink.
//
// Promises. Metadata only: no type in this package has a field that can hold a body, a query string, a credential or
// a header value; redaction is part of parsing, not a later step. Bounded: every parser works on a bounded prefix, the
// flow table has a cap and writes what it evicts. Nothing panics on input: damaged input is counted by layer and reason.
// An Engine is owned by one goroutine; Names is safe for concurrent use.
package dissect

import (
	"net/netip"

	"netaudit/tap/decode"
)

// State says which row of a flow this is.
type State uint8

// A flow is handed out once at its first packet, once a minute while it lives, and once at its end.
const (
	StateOpen State = iota
	StateUpdate
	StateClosed
)

// Direction says how a flow lies relative to the observed host (or, for files, the internal networks).
type Direction uint8

// Directions, as in DESIGN §4.
const (
	DirectionUnknown Direction = iota
	Outbound
	Inbound
	Local
	Transit
)

// HostSource says where Flow.Host came from.
type HostSource uint8

// Sources of a destination's name.
const (
	HostNone HostSource = iota
	HostSNI
	HostHTTP
	HostDNS
	HostCert
	HostProxy // what a SOCKS proxy was asked for
)

// Flow is one conversation, seen from its initiator. All counters are cumulative since the first packet.
// The Engine owns it; a Sink must not keep it after the call returns, except FlowOpened's Flow.ID.
type Flow struct {
	ID        uint64         // the number of the frame that opened it, counted from 1; unique within one Engine; ties opened, updated and closed rows together
	State     State          //
	Proto     uint8          // IP protocol number: 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6, …
	Src, Dst  netip.AddrPort // Src is the initiator; for ICMP the ports are type and code
	Direction Direction
	Iface     string
	VLANs     []uint16
	Tunnel    *decode.Tunnel // nil when the packets came without encapsulation

	Start, End int64 // first and last packet, nanoseconds since the Unix epoch
	RTT        int64 // SYN to SYN-ACK, nanoseconds; 0 unknown. For UDP first request to first answer

	SrcBytes, DstBytes     uint64 // transport payload sent by the initiator and the responder; retransmissions once
	SrcPackets, DstPackets uint64
	Retransmits            uint64
	MissedBytes            uint64 // gaps in the sequence space that the capture never saw

	TCPState  string // connection state in Zeek's terms (S0 S1 SF REJ S2 S3 RSTO RSTR RSTOS0 RSTRH SH SHR OTH), "" for others
	History   string // Zeek's history letters
	MidStream bool   // the capture began after the connection did

	AnnouncedBy string // the conversation that had said that this one would follow (FTP's control connection, TFTP's request), as Config.RunID and its ID write it; "" nobody

	Channel    string // DESIGN §4: https http smtp imap pop3 dns doh dot doq quic tls dtls ssh ftp xmpp postgres mysql redis ldap ntp websocket tcp udp icmp raw
	Host       string // destination's name in lower case, "" unknown
	HostSource HostSource
	ToldHost   string // what DNS had called this address, when that was other names only than the one the connection asks for: somebody may hide behind a name
	TLS        *TLS
	HTTP       *HTTP
	Mail       *Mail
	Service    *Service

	FirstBytes [32]byte // SHA-256 (keyed by Config.FingerprintKey) over the first bytes each side sent; zero when no payload
	Truncated  bool     // a frame of the head was cut by the snap length, so metadata may be missing

	community [28]byte // Community ID without its "1:"; zero until it is asked for
}

// TLS is what a handshake said in the clear.
type TLS struct {
	Version     string // negotiated when the ServerHello was seen, else the highest offered: "1.0" … "1.3", "dtls1.2"
	SNI         string // lower case ASCII; "" when absent. With ECH that is real the outer name, which says little
	ALPN        string // chosen by the server when visible, else the client's first offer
	Cipher      string // IANA name of the chosen suite, "" when no ServerHello was seen
	Group       string // IANA name of the key exchange group, "" when unknown
	JA3, JA3S   string // MD5, lower-case hex
	JA4         string // FoxIO JA4 (client; BSD-3)
	ECH         ECH    // what the client's encrypted_client_hello is worth
	Resumed     bool
	EarlyData   bool   // the client sent data before the server answered (RFC 8446 §2.3)
	Retry       bool   // the server asked for another hello (RFC 8446 §4.1.4, RFC 6347 §4.2.1)
	Established bool   // application data or Finished seen from both sides
	Alert       string // the last alert in the clear: who sent it and its name, "server unknown_ca"
	StartTLS    string // protocol that upgraded: smtp imap pop3 ldap postgres ftp xmpp mysql, http (its Upgrade), or http-connect, socks; "" direct
	Cert        *Certificate
	CertNames   CertNames
}

// ECH says what the extension encrypted_client_hello of a hello is worth. Clients without keys send one that means nothing and is made to look the same (GREASE, RFC 9849
// §6.2); what DNS said before tells them apart.
type ECH uint8

// Offered and Configured hide the true name. What looks like GREASE, and what the server did not take, hides nothing.
const (
	ECHNone       ECH = iota
	ECHOffered        // nothing tells whether the SNI is the true name
	ECHConfigured     // the SNI is the public name of keys that DNS gave: the true one is encrypted
	ECHGreaseLike     // DNS gave this client the address for the SNI, as for any call by its name
	ECHRefused        // the server chose a version without it: the SNI is the name that it answered for
)

// CertNames says whether the certificate is for the host that was asked for.
type CertNames uint8

// Unknown without a certificate or without an SNI.
const (
	CertNamesUnknown CertNames = iota
	CertNamesHost
	CertNamesOther
)

// Certificate is the server's leaf certificate (TLS ≤ 1.2 only: 1.3 encrypts it). It is shared between flows and never changed.
type Certificate struct {
	SHA256   string // lower-case hex of the DER
	Subject  string // RFC 4514
	Issuer   string
	SAN      []string // at most 32 DNS names and addresses
	NotAfter int64    // nanoseconds since the Unix epoch
}

// DNS is one DNS transaction: a query with its answer, or one of them alone.
type DNS struct {
	Name        string   // query name, lower case, without the final dot; "." for the root
	Type        string   // A AAAA HTTPS …, TYPE123 for unknown ones
	RCode       string   // NOERROR NXDOMAIN …; "" when no response was seen
	Answers     []string // rdata of the answer section, at most 64: addresses, CNAME targets, others in presentation form
	MoreAnswers int      // records of the answer section beyond them
	TTL         uint32   // lowest TTL among the answers, seconds
	ID          uint16
	EDNS        bool  // the query came with EDNS (RFC 6891)
	Truncated   bool  // the answer did not fit; the client asks again over TCP
	ECH         bool  // an answer gives keys for Encrypted Client Hello: names of later calls may be hidden
	Latency     int64 // query to response, nanoseconds; 0 unknown
	Start, End  int64
	Zone        Zone // what the client asked about the same domain within the hour

	kind uint16 // number of Type
}

// HTTP is one HTTP/1 request and its response, or the fact that the connection speaks HTTP/2.
type HTTP struct {
	Version    string // of the request: 1.0 1.1 2
	Method     string // upper case, at most 32 bytes
	Host       string // Host header or :authority, lower case, without the port
	Path       string // without query and fragment; values of parameters are masked
	Status     int    // 0 when no response was seen
	UserAgent  string
	Headers    []string // names of the request's headers, lower case, at most 64; never values
	Route      string   // of inbound requests: the path, with what names a record or a person left out
	Start, End int64

	RequestBytes, ResponseBytes uint64 // of the bodies as they were transferred
}

// Service is what a protocol that is not encrypted says of the programs at both ends.
type Service struct {
	Client, Server string // version texts: SSH, MySQL, PostgreSQL
	User, Database string // masked: first letter and length
}

// Mail is the state of a mail dialogue, without content or addresses.
type Mail struct {
	Protocol     string // smtp imap pop3
	StartTLS     bool
	GreetingHost string // name the server gave in its greeting
	State        string // how far the dialogue went in the clear: greeted hello tls authenticated transfer quit
	Messages     uint32 // handed over or fetched in the clear
}

// Sink receives what an Engine finds. Calls come from the Engine's goroutine and must be quick: the first one is the
// moment attribution starts, while the calling thread still waits.
type Sink interface {
	// FlowOpened is called at a flow's first packet, before any metadata is known. DNS queries open flows too.
	FlowOpened(f *Flow)
	// FlowActive is called when an already open flow is used anew: a further request after at least Config.ActiveGap of quiet
	// by the initiator, so that the second user of a keep-alive connection can be named. sent is how many of the flow's SrcBytes
	// came with the packet of this request, its last one so far.
	FlowActive(f *Flow, sent uint64)
	// FlowUpdated is called once a minute for a living flow.
	FlowUpdated(f *Flow)
	// FlowClosed is called once, at the end of a flow (closed, timed out, evicted, or end of the capture).
	FlowClosed(f *Flow)
	// DNSMessage is called for each DNS transaction; f is the flow that carried it. d is the Engine's like f.
	DNSMessage(f *Flow, d *DNS)
	// HTTPBegan is called for each HTTP request as soon as its head is complete, while somebody answers it. HTTPRequest follows with the same h.
	HTTPBegan(f *Flow, h *HTTP)
	// HTTPRequest is called for each HTTP request with its response head, and for each response whose request is not in the capture; f is the flow that carried it.
	HTTPRequest(f *Flow, h *HTTP)
}
