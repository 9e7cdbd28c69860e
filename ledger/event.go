// Package ledger seals events in an append-only, provable log: RFC 8785 rows in Badger, an RFC 6962 tree in C2SP tiles,
// signed checkpoints, and an anchor file outside Badger. Badger is the store, never the judge: every verdict comes from
// our own hashes and from the anchor.
package ledger

// Event is one row. The stored form is its RFC 8785 (JCS) encoding, see Event.AppendJSON; absent means the key is left
// out. Strings are valid UTF-8, integers within ±(2^53-1), there is no float, no null and no body field.
// Seq, Salt and Logged are filled by the ledger; callers leave them zero. Times are nanoseconds since the Unix epoch
// and are written as RFC 3339 UTC with nine digits.
//
// kind is one of flow dns http heartbeat gap lifecycle config access retention finding.
type Event struct {
	V      int    // schema version, 1
	Seq    uint64 // position in the log, from 0
	Kind   string
	Salt   string // 16 random bytes, base64url: makes the leaf hash of a pruned row reveal nothing
	Logged int64  // when the ledger took the row

	Start, End int64
	DurationUS int64

	Direction string // outbound inbound local transit
	State     string // open update closed
	Channel   string
	Src, Dst  *Endpoint

	SrcBytes, DstBytes       int64 // transport payload, cumulative since the flow began
	SrcPackets, DstPackets   int64
	NewSrcBytes, NewDstBytes int64 // bytes since the previous row of the same flow; only on rows of flows that had an earlier row (HasNew)
	HasCounts                bool  // write the four counters (they may be zero)
	HasNew                   bool  // write new_src_bytes and new_dst_bytes
	CommunityID              string
	FlowID                   string
	AnnouncedBy              string // flow_id of the conversation that had said that this one would follow
	RTTUS                    int64
	Retransmits, MissedBytes int64 // segments that repeat, bytes that the capture never saw
	MidStream                bool  // the capture began after the connection did
	Truncated                bool  // frames were cut by the snap length: metadata may be missing
	IPProto                  int64 // IP protocol number of what is neither TCP nor UDP
	ICMP                     *ICMP
	TCPState                 string
	History                  string // tcp_history
	VLAN                     []int
	Tunnel                   string
	Iface                    string

	TLS      *TLS
	DNS      *DNS
	HTTP     *HTTP
	Mail     *Mail
	Service  *Service
	Party    *Party
	Process  *Process
	Addon    *Addon
	Evidence *Evidence

	Fingerprint string

	// Rows that are not about a call.
	Heartbeat *Heartbeat // kind heartbeat
	Gap       *Gap       // kind gap
	Retention *Retention // kind retention

	Predecessor *Predecessor // first row of a log that continues a damaged one, and rows about retention there

	Message string // lifecycle, config, access, retention, finding: one sentence for people
	Rule    string // finding: stable id; lifecycle: start stop recovered demo …
}

// Endpoint is one side of a call. Host and HostSource are set on dst only.
type Endpoint struct {
	IP         string
	Port       int
	HasPort    bool
	Host       string
	HostSource string // sni http proxy dns cert none
}

// TLS is what the handshake said in the clear.
type TLS struct {
	Version, SNI, ALPN, Cipher string
	JA3, JA3S, JA4             string
	Cert                       *Cert
	ECH, Resumed               bool
	ECHKind                    string // what ECH is worth: offered configured grease_like refused; "" in older rows
	StartTLS                   string
	Group                      string // of the key exchange
	Alert                      string // last alert in the clear: who and which, "server unknown_ca"
	Established                bool   // both sides encrypted after the hellos
	EarlyData, Retry           bool
	CertNames                  string // host: the certificate is for the SNI; other: it is not
}

// HidesName says whether the call's true name may stand where only its server can read it. An ECH extension that looks like GREASE, or that the server refused, hides none; rows that do
// not tell what theirs is worth are taken for the worse.
func (t *TLS) HidesName() bool { return t.ECH && t.ECHKind != "grease_like" && t.ECHKind != "refused" }

// Cert is the server's leaf certificate.
type Cert struct {
	SHA256, Subject, Issuer string
	SAN                     []string
	NotAfter                int64
}

// DNS is one DNS transaction.
type DNS struct {
	Name, Type, RCode string
	Answers           []string
	MoreAnswers       int64 // there were beyond these
	TTL               int64
	ID                int64
	LatencyUS         int64
	ECH               bool // an answer gives keys for Encrypted Client Hello
	Truncated         bool // the answer did not fit into a datagram
	Zone              *Zone
}

// Zone is what the client asked about the same registrable domain within the running hour: data that leaves through DNS shows as many long,
// random-looking names.
type Zone struct {
	Name    string
	Queries int64
	Names   int64 // different ones, estimated
	Bytes   int64 // of the labels below the domain
	Entropy int64 // of this name's labels below the domain, hundredths of a bit a character
}

// HTTP is one request without query, values or body.
type HTTP struct {
	Method, Host, Path string
	Status             int
	UserAgent          string
	Headers            []string
	Version            string // 1.0 1.1 2
	Route              string // inbound requests: the path with what names a record left out
	RequestBytes       int64  // of the body, as transferred
	ResponseBytes      int64
}

// Service is what a protocol that is not encrypted says of the programs at both ends.
type Service struct {
	Client, Server string // version texts: SSH, MySQL, PostgreSQL
	User, Database string // masked: first letter and length
}

// ICMP is type and code of the message that began the conversation.
type ICMP struct{ Type, Code int64 }

// Mail is the state of a mail dialogue.
type Mail struct {
	Protocol     string
	StartTLS     bool
	GreetingHost string
	State        string // how far the dialogue went in the clear: greeted hello tls authenticated transfer quit
	Messages     int64  // handed over or fetched in the clear
}

// Party is whose destination it is.
type Party struct{ Class, Name, Rule string }

// Process is the process at the local end.
type Process struct {
	PID       int
	Start     int64
	Exe       string
	UID       int64
	Name      string
	Container string
	NetNS     int64
	Role      string

	OdooVersion, Database string // of an Odoo process
	DatabaseBy            string // model, registry or settings: how Database was found
	Job                   string // scheduled or server action that its thread ran
}

// Addon is the Odoo addon behind the call.
type Addon struct {
	Name, Version, Author, License string
	OnBehalfOf                     string
	Chain                          []string
	CallSite, Model, Method        string
}

// Evidence says how the owner was found.
type Evidence struct {
	Source, Confidence, Reason string
	TID                        int64
	Candidates, Conflicts      []string
	Stack                      []Frame
	LatencyUS                  int64
}

// Frame is one Python stack frame of the evidence, innermost first.
type Frame struct {
	File     string
	Line     int
	Function string
	Module   string
	Addon    string
}

// Heartbeat says that the watcher was awake, once a minute.
type Heartbeat struct {
	Packets          int64 // since the previous heartbeat
	Bytes            int64
	Dropped          int64    // by kernel or interface, since the previous heartbeat
	Flows            int64    // flows opened
	Interfaces       []string // capturing now
	InterfacesDown   []string
	ProcessesWatched int64
	Unattributed     int64  // outbound flows whose owner stayed unknown
	Install          string // host mirror replay demo
	ChannelsOff      []string
	QueueDropped     int64    // attribution questions that were never asked because the queue was full
	Malformed        int64    // packets and messages that could not be read, since the previous heartbeat
	MalformedWhy     []string // the most frequent reasons since start: "dns: no question 3"
	ClockSteps       int64    // packets whose time lay before their predecessor's, since the previous heartbeat
}

// Retention says which rows' content is taken away; rule is intent before and done after.
type Retention struct {
	Day         string  // UTC, 2026-11-23
	Earlier     []int64 // rows whose content went before: first and last, in pairs; nil in rows of before 2026-12, which did not say it
	First, Last int64   // rows
	Reason      string
}

// Gap says that something could not be seen between Start and End of the event.
type Gap struct {
	Reason string // interface_down kernel_drop ring_freeze queue_overflow callers_lost clock_step downtime disk_full store_error
	Iface  string
	Count  int64 // packets or events lost, 0 when unknown
}
