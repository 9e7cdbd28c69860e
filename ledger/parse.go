package ledger

import (
	"encoding/json"
	"fmt"
	"time"
)

// LargestRow bounds a stored row, in bytes: C2SP tiles give an entry 16 bits of length.
const LargestRow = 65535

// ParseEvent reads a row's canonical form. Keys that this version does not know are ignored: old readers survive new rows.
func ParseEvent(row []byte) (Event, error) {
	if len(row) > LargestRow {
		return Event{}, fmt.Errorf("parse a row: %d bytes; a row has at most %d", len(row), LargestRow)
	}
	var w wireEvent
	if !readCanonical(row, &w) {
		w = wireEvent{}
		if err := json.Unmarshal(row, &w); err != nil {
			return Event{}, fmt.Errorf("parse a row: %w", err)
		}
	}
	return w.event(), nil
}

// nanos is a time in RFC 3339 as it stands in rows.
type nanos int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *nanos) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return err
	}
	if y := t.Year(); y < 1678 || y > 2261 { // outside, nanoseconds do not fit into 64 bits
		return fmt.Errorf("time %s is out of range", text)
	}
	*n = nanos(t.UnixNano())
	return nil
}

type wireEvent struct {
	V           int            `json:"v"`
	Seq         uint64         `json:"seq"`
	Kind        string         `json:"kind"`
	Salt        string         `json:"salt"`
	Logged      nanos          `json:"logged"`
	Start       nanos          `json:"start"`
	End         nanos          `json:"end"`
	DurationUS  int64          `json:"duration_us"`
	Direction   string         `json:"direction"`
	State       string         `json:"state"`
	Channel     string         `json:"channel"`
	Src         *wireEndpoint  `json:"src"`
	Dst         *wireEndpoint  `json:"dst"`
	SrcBytes    *int64         `json:"src_bytes"`
	DstBytes    int64          `json:"dst_bytes"`
	SrcPackets  int64          `json:"src_packets"`
	DstPackets  int64          `json:"dst_packets"`
	NewSrcBytes *int64         `json:"new_src_bytes"`
	NewDstBytes int64          `json:"new_dst_bytes"`
	CommunityID string         `json:"community_id"`
	FlowID      string         `json:"flow_id"`
	AnnouncedBy string         `json:"announced_by"`
	RTTUS       int64          `json:"rtt_us"`
	Retransmits int64          `json:"retransmits"`
	MissedBytes int64          `json:"missed_bytes"`
	MidStream   bool           `json:"mid_stream"`
	Truncated   bool           `json:"truncated"`
	IPProto     int64          `json:"ip_proto"`
	ICMP        *wireICMP      `json:"icmp"`
	TCPState    string         `json:"tcp_state"`
	History     string         `json:"tcp_history"`
	VLAN        []int          `json:"vlan"`
	Tunnel      string         `json:"tunnel"`
	Iface       string         `json:"iface"`
	TLS         *wireTLS       `json:"tls"`
	DNS         *wireDNS       `json:"dns"`
	HTTP        *wireHTTP      `json:"http"`
	Mail        *wireMail      `json:"mail"`
	Service     *wireService   `json:"service"`
	Party       *Party         `json:"party"`
	Process     *wireProcess   `json:"process"`
	Addon       *wireAddon     `json:"addon"`
	Evidence    *wireEvidence  `json:"evidence"`
	Fingerprint string         `json:"fingerprint"`
	Heartbeat   *wireHeartbeat `json:"heartbeat"`
	Gap         *Gap           `json:"gap"`
	Retention   *Retention     `json:"retention"`
	Predecessor *Predecessor   `json:"predecessor"`
	Message     string         `json:"message"`
	Rule        string         `json:"rule"`
}

type wireEndpoint struct {
	IP         string `json:"ip"`
	Port       *int   `json:"port"`
	Host       string `json:"host"`
	HostSource string `json:"host_source"`
}

type wireTLS struct {
	Version  string    `json:"version"`
	SNI      string    `json:"sni"`
	ALPN     string    `json:"alpn"`
	Cipher   string    `json:"cipher"`
	JA3      string    `json:"ja3"`
	JA3S     string    `json:"ja3s"`
	JA4      string    `json:"ja4"`
	Cert     *wireCert `json:"cert"`
	ECH      bool      `json:"ech"`
	ECHKind  string    `json:"ech_kind"`
	Resumed  bool      `json:"resumed"`
	StartTLS string    `json:"starttls"`

	Group       string `json:"group"`
	Alert       string `json:"alert"`
	Established bool   `json:"established"`
	EarlyData   bool   `json:"early_data"`
	Retry       bool   `json:"retry"`
	CertNames   string `json:"cert_names"`
}

type wireCert struct {
	SHA256   string   `json:"sha256"`
	Subject  string   `json:"subject"`
	Issuer   string   `json:"issuer"`
	SAN      []string `json:"san"`
	NotAfter nanos    `json:"not_after"`
}

type wireDNS struct {
	Name        string   `json:"name"`
	Type        string   `json:"type"`
	RCode       string   `json:"rcode"`
	Answers     []string `json:"answers"`
	MoreAnswers int64    `json:"more_answers"`
	TTL         int64    `json:"ttl"`
	ID          int64    `json:"id"`
	LatencyUS   int64    `json:"latency_us"`
	ECH         bool     `json:"ech"`
	Truncated   bool     `json:"truncated"`
	Zone        *Zone    `json:"zone"`
}

type wireService struct {
	Client   string `json:"client"`
	Server   string `json:"server"`
	User     string `json:"user"`
	Database string `json:"database"`
}

type wireICMP struct {
	Type int64 `json:"type"`
	Code int64 `json:"code"`
}

type wireHTTP struct {
	Method    string   `json:"method"`
	Host      string   `json:"host"`
	Path      string   `json:"path"`
	Status    int      `json:"status"`
	UserAgent string   `json:"user_agent"`
	Headers   []string `json:"headers"`

	Version       string `json:"version"`
	Route         string `json:"route"`
	RequestBytes  int64  `json:"request_bytes"`
	ResponseBytes int64  `json:"response_bytes"`
}

type wireMail struct {
	Protocol     string `json:"protocol"`
	StartTLS     bool   `json:"starttls"`
	GreetingHost string `json:"greeting_host"`
	State        string `json:"state"`
	Messages     int64  `json:"messages"`
}

type wireProcess struct {
	PID       int    `json:"pid"`
	Start     nanos  `json:"start"`
	Exe       string `json:"exe"`
	UID       int64  `json:"uid"`
	Name      string `json:"name"`
	Container string `json:"container"`
	NetNS     int64  `json:"netns"`
	Role      string `json:"role"`

	OdooVersion string `json:"odoo_version"`
	Database    string `json:"database"`
	DatabaseBy  string `json:"database_by"`
	Job         string `json:"job"`
}

type wireAddon struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Author     string   `json:"author"`
	License    string   `json:"license"`
	OnBehalfOf string   `json:"on_behalf_of"`
	Chain      []string `json:"chain"`
	CallSite   string   `json:"call_site"`
	Model      string   `json:"model"`
	Method     string   `json:"method"`
}

type wireEvidence struct {
	Source     string   `json:"source"`
	Confidence string   `json:"confidence"`
	Reason     string   `json:"reason"`
	TID        int64    `json:"tid"`
	Candidates []string `json:"candidates"`
	Conflicts  []string `json:"conflicts"`
	Stack      []Frame  `json:"stack"`
	LatencyUS  int64    `json:"latency_us"`
}

type wireHeartbeat struct {
	Packets          int64    `json:"packets"`
	Bytes            int64    `json:"bytes"`
	Dropped          int64    `json:"dropped"`
	Flows            int64    `json:"flows"`
	Interfaces       []string `json:"interfaces"`
	InterfacesDown   []string `json:"interfaces_down"`
	ProcessesWatched int64    `json:"processes_watched"`
	Unattributed     int64    `json:"unattributed"`
	Install          string   `json:"install"`
	ChannelsOff      []string `json:"channels_off"`
	QueueDropped     int64    `json:"queue_dropped"`
	Malformed        int64    `json:"malformed"`
	MalformedWhy     []string `json:"malformed_why"`
	ClockSteps       int64    `json:"clock_steps"`
}

func (w *wireEvent) event() Event {
	e := Event{
		V: w.V, Seq: w.Seq, Kind: w.Kind, Salt: w.Salt, Logged: int64(w.Logged), Start: int64(w.Start), End: int64(w.End),
		DurationUS: w.DurationUS, Direction: w.Direction, State: w.State, Channel: w.Channel, Src: w.Src.endpoint(), Dst: w.Dst.endpoint(),
		DstBytes: w.DstBytes, SrcPackets: w.SrcPackets, DstPackets: w.DstPackets, NewDstBytes: w.NewDstBytes,
		CommunityID: w.CommunityID, FlowID: w.FlowID, AnnouncedBy: w.AnnouncedBy, RTTUS: w.RTTUS, TCPState: w.TCPState, History: w.History, VLAN: w.VLAN,
		Tunnel: w.Tunnel, Iface: w.Iface, Party: w.Party, Fingerprint: w.Fingerprint, Gap: w.Gap, Retention: w.Retention, Predecessor: w.Predecessor, Message: w.Message, Rule: w.Rule,
		Retransmits: w.Retransmits, MissedBytes: w.MissedBytes, MidStream: w.MidStream, Truncated: w.Truncated, IPProto: w.IPProto,
		ICMP: (*ICMP)(w.ICMP), Service: (*Service)(w.Service), DNS: (*DNS)(w.DNS), HTTP: (*HTTP)(w.HTTP), Mail: (*Mail)(w.Mail), Addon: (*Addon)(w.Addon),
		Evidence: (*Evidence)(w.Evidence), Heartbeat: (*Heartbeat)(w.Heartbeat), TLS: w.TLS.tls(), Process: w.Process.process(),
	}
	if w.SrcBytes != nil {
		e.HasCounts, e.SrcBytes = true, *w.SrcBytes
	}
	if w.NewSrcBytes != nil {
		e.HasNew, e.NewSrcBytes = true, *w.NewSrcBytes
	}
	return e
}

func (w *wireEndpoint) endpoint() *Endpoint {
	if w == nil {
		return nil
	}
	p := &Endpoint{IP: w.IP, Host: w.Host, HostSource: w.HostSource}
	if w.Port != nil {
		p.Port, p.HasPort = *w.Port, true
	}
	return p
}

func (w *wireTLS) tls() *TLS {
	if w == nil {
		return nil
	}
	t := &TLS{
		Version: w.Version, SNI: w.SNI, ALPN: w.ALPN, Cipher: w.Cipher, JA3: w.JA3, JA3S: w.JA3S, JA4: w.JA4,
		ECH: w.ECH, ECHKind: w.ECHKind, Resumed: w.Resumed, StartTLS: w.StartTLS,
		Group: w.Group, Alert: w.Alert, Established: w.Established, EarlyData: w.EarlyData, Retry: w.Retry, CertNames: w.CertNames,
	}
	if c := w.Cert; c != nil {
		t.Cert = &Cert{SHA256: c.SHA256, Subject: c.Subject, Issuer: c.Issuer, SAN: c.SAN, NotAfter: int64(c.NotAfter)}
	}
	return t
}

func (w *wireProcess) process() *Process {
	if w == nil {
		return nil
	}
	return &Process{PID: w.PID, Start: int64(w.Start), Exe: w.Exe, UID: w.UID, Name: w.Name, Container: w.Container, NetNS: w.NetNS, Role: w.Role, OdooVersion: w.OdooVersion, Database: w.Database, DatabaseBy: w.DatabaseBy, Job: w.Job}
}
