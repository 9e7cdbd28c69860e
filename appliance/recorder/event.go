package recorder

import (
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"netaudit/attribution"
	"netaudit/dissect"
	"netaudit/ledger"
)

// row is the memory of one event. Whatever most events point to lies in one piece with them: a flow costs the garbage collector a handful of
// objects and not dozens.
type row struct {
	event    ledger.Event
	src, dst ledger.Endpoint
	party    ledger.Party
}

type tlsRow struct {
	row
	tls ledger.TLS
}

type dnsRow struct {
	row
	dns  ledger.DNS
	zone ledger.Zone
}

type httpRow struct {
	row
	http ledger.HTTP
}

// envelope fills in what every row about a call says: when, which way, between whom, with whose party.
func (r *Recorder) envelope(w *row, f *dissect.Flow, start, end int64) *ledger.Event {
	if end < start {
		end = start // a capture clock that stepped back must not give a negative duration
	}
	e := &w.event
	e.V, e.Start, e.End, e.DurationUS = 1, start, end, (end-start)/1000
	e.Direction, e.Iface, e.Tunnel = directionName(f.Direction), f.Iface, tunnelPath(f)
	hasPorts := f.Proto == 6 || f.Proto == 17 || f.Proto == 132 || f.Proto == 136
	w.src = ledger.Endpoint{IP: r.addresses.text(f.Src.Addr()), HasPort: hasPorts}
	w.dst = ledger.Endpoint{IP: r.addresses.text(f.Dst.Addr()), HasPort: hasPorts, Host: f.Host, HostSource: hostSourceName(f.HostSource)}
	if hasPorts {
		w.src.Port, w.dst.Port = int(f.Src.Port()), int(f.Dst.Port())
	}
	e.Src, e.Dst = &w.src, &w.dst
	for _, v := range f.VLANs {
		e.VLAN = append(e.VLAN, int(v))
	}
	r.setParty(w, f)
	return e
}

// identify writes the texts that are like no other row's into one piece of memory: flow_id, community_id and, with final, the fingerprint.
func (r *Recorder) identify(e *ledger.Event, f *dissect.Flow, final bool) {
	b := append(append(r.text[:0], r.config.RunID...), '-')
	b = appendBase36(b, f.ID)
	community := len(b)
	b = f.AppendCommunityID(b)
	fingerprint := len(b)
	if final && f.FirstBytes != [32]byte{} {
		b = appendHex(b, &f.FirstBytes)
	}
	r.text = b
	text := r.textOf(b)
	e.FlowID, e.CommunityID, e.Fingerprint = text[:community], text[community:fingerprint], text[fingerprint:]
}

// textOf returns b as a string. An event that is used up when Emit returns points to b itself.
func (r *Recorder) textOf(b []byte) string {
	if r.config.Lend != nil {
		return unsafe.String(unsafe.SliceData(b), len(b))
	}
	return string(b)
}

// flowEvent is the row of the flow itself, without owner.
func (r *Recorder) flowEvent(f *dissect.Flow) *ledger.Event {
	w := r.flowRowSpace(f)
	e := r.envelope(w, f, f.Start, f.End)
	r.identify(e, f, true)
	e.AnnouncedBy = f.AnnouncedBy
	e.Channel, e.TCPState, e.History, e.RTTUS = f.Channel, f.TCPState, f.History, f.RTT/1000
	e.HasCounts = true
	e.SrcBytes, e.DstBytes = clampInt(f.SrcBytes), clampInt(f.DstBytes)
	e.SrcPackets, e.DstPackets = clampInt(f.SrcPackets), clampInt(f.DstPackets)
	e.Retransmits, e.MissedBytes = clampInt(f.Retransmits), clampInt(f.MissedBytes)
	e.MidStream, e.Truncated = f.MidStream, f.Truncated
	switch f.Proto {
	case 6, 17:
	case 1, 58:
		e.IPProto, e.ICMP = int64(f.Proto), &ledger.ICMP{Type: int64(f.Src.Port()), Code: int64(f.Dst.Port())}
	default:
		e.IPProto = int64(f.Proto)
	}
	if f.HTTP != nil {
		e.HTTP = &ledger.HTTP{}
		setHTTP(e.HTTP, f.HTTP)
	}
	if m := f.Mail; m != nil {
		e.Mail = &ledger.Mail{Protocol: m.Protocol, StartTLS: m.StartTLS, GreetingHost: m.GreetingHost, State: m.State, Messages: int64(m.Messages)}
	}
	if s := f.Service; s != nil {
		e.Service = &ledger.Service{Client: s.Client, Server: s.Server, User: s.User, Database: s.Database}
	}
	return e
}

// flowRowSpace returns the memory of a flow's row, with what TLS says when it says something.
func (r *Recorder) flowRowSpace(f *dissect.Flow) *row {
	t := &r.flowSpace
	switch {
	case r.config.Lend != nil:
		*t = tlsRow{}
	case f.TLS == nil:
		return &row{}
	default:
		t = &tlsRow{}
	}
	if f.TLS != nil {
		setTLS(&t.tls, f.TLS)
		t.event.TLS = &t.tls
	}
	return &t.row
}

func setTLS(out *ledger.TLS, t *dissect.TLS) {
	*out = ledger.TLS{
		Version: t.Version, SNI: t.SNI, ALPN: t.ALPN, Cipher: t.Cipher, JA3: t.JA3, JA3S: t.JA3S, JA4: t.JA4, Group: t.Group, Alert: t.Alert,
		ECH: t.ECH != dissect.ECHNone, ECHKind: echName(t.ECH), Resumed: t.Resumed, Established: t.Established, EarlyData: t.EarlyData, Retry: t.Retry, StartTLS: t.StartTLS,
		Cert: (*ledger.Cert)(t.Cert), // shared by all flows to this server, and never changed
	}
	switch t.CertNames {
	case dissect.CertNamesHost:
		out.CertNames = "host"
	case dissect.CertNamesOther:
		out.CertNames = "other"
	}
}

func echName(kind dissect.ECH) string {
	switch kind {
	case dissect.ECHOffered:
		return "offered"
	case dissect.ECHConfigured:
		return "configured"
	case dissect.ECHGreaseLike:
		return "grease_like"
	case dissect.ECHRefused:
		return "refused"
	default:
		return ""
	}
}

func setHTTP(out *ledger.HTTP, h *dissect.HTTP) {
	*out = ledger.HTTP{
		Version: h.Version, Method: h.Method, Host: h.Host, Path: h.Path, Route: h.Route, Status: h.Status, UserAgent: h.UserAgent, Headers: h.Headers,
		RequestBytes: clampInt(h.RequestBytes), ResponseBytes: clampInt(h.ResponseBytes),
	}
}

// tunnelPath writes the stripped encapsulations outermost first, for example "vxlan:42/gre:7".
func tunnelPath(f *dissect.Flow) string {
	if f.Tunnel == nil {
		return ""
	}
	var b strings.Builder
	for i, l := range f.Tunnel.Layers[:min(f.Tunnel.Count, len(f.Tunnel.Layers))] {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(l.Kind.String())
		if l.ID != 0 {
			fmt.Fprintf(&b, ":%d", l.ID)
		}
	}
	return b.String()
}

func directionName(d dissect.Direction) string {
	switch d {
	case dissect.Outbound:
		return "outbound"
	case dissect.Inbound:
		return "inbound"
	case dissect.Local:
		return "local"
	default:
		return "transit"
	}
}

func hostSourceName(s dissect.HostSource) string {
	switch s {
	case dissect.HostSNI:
		return "sni"
	case dissect.HostHTTP:
		return "http"
	case dissect.HostDNS:
		return "dns"
	case dissect.HostCert:
		return "cert"
	case dissect.HostProxy:
		return "proxy"
	default:
		return "none"
	}
}

// bothReasons joins two reasons of which there may be none.
func bothReasons(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// AddOwner adds who made the call. A zero Owner (packets only) adds nothing: absent is not the same as unknown.
func AddOwner(e *ledger.Event, o *attribution.Owner) {
	if o.Evidence.Source == "" {
		return
	}
	ev := o.Evidence
	conflicts, reason := ev.Conflicts, ev.Reason
	if said := e.Evidence; said != nil { // what the names of the destination contradict, and who answers
		conflicts = append(slices.Clip(conflicts), said.Conflicts...)
		reason = bothReasons(reason, said.Reason)
	}
	e.Evidence = &ledger.Evidence{
		Source: ev.Source, Confidence: ev.Confidence, Reason: reason, TID: int64(ev.TID),
		Candidates: ev.Candidates, Conflicts: conflicts, LatencyUS: ev.Latency.Microseconds(),
	}
	if e.Kind == "flow" { // the stack stands once a call, on its flow row; dns and http rows carry the flow's id
		e.Evidence.Stack = stackOf(o.Stack)
	}
	if p := o.Process; p != nil {
		e.Process = &ledger.Process{
			PID: p.PID, Start: p.Start.UnixNano(), Exe: p.Exe, UID: int64(p.UID), Name: p.Name,
			Container: p.Container, NetNS: int64(p.NetNS), Role: p.Role,
			OdooVersion: p.OdooVersion, Database: p.Database, DatabaseBy: p.DatabaseBy, Job: p.Job,
		}
	}
	if a := o.Addon; a != nil {
		e.Addon = &ledger.Addon{
			Name: a.Name, Version: a.Version, Author: a.Author, License: a.License, OnBehalfOf: a.OnBehalfOf,
			Chain: a.Chain, CallSite: a.CallSite, Model: a.Model, Method: a.Method,
		}
	}
}

// maxStackFrames bounds the evidence on one row: an Odoo request is about forty frames deep.
const maxStackFrames = 64

func stackOf(frames []attribution.Frame) []ledger.Frame {
	if len(frames) > maxStackFrames {
		frames = frames[:maxStackFrames]
	}
	out := make([]ledger.Frame, len(frames))
	for i, f := range frames {
		out[i] = ledger.Frame{File: f.File, Line: f.Line, Function: f.Function, Module: f.Module, Addon: f.Addon}
	}
	return out
}
