package recorder

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"netaudit/attribution"
	"netaudit/dissect"
	"netaudit/ledger"
)

// envelope is what every row about a call says: when, which way, between whom.
func envelope(f *dissect.Flow, start, end int64) ledger.Event {
	if end < start {
		end = start // a capture clock that stepped back must not give a negative duration
	}
	e := ledger.Event{
		V: 1, Start: start, End: end, DurationUS: (end - start) / 1000,
		Direction: directionName(f.Direction), Iface: f.Iface, CommunityID: f.CommunityID,
		Src: endpoint(f.Src, f.Proto), Dst: endpoint(f.Dst, f.Proto),
		Tunnel: tunnelPath(f),
	}
	e.Dst.Host, e.Dst.HostSource = f.Host, hostSourceName(f.HostSource)
	for _, v := range f.VLANs {
		e.VLAN = append(e.VLAN, int(v))
	}
	return e
}

// flowEvent is the row of the flow itself, without owner and party.
func flowEvent(f *dissect.Flow) ledger.Event {
	e := envelope(f, f.Start, f.End)
	e.Channel, e.TCPState, e.History, e.RTTUS = f.Channel, f.TCPState, f.History, f.RTT/1000
	e.HasCounts = true
	e.SrcBytes, e.DstBytes = clampInt(f.SrcBytes), clampInt(f.DstBytes)
	e.SrcPackets, e.DstPackets = clampInt(f.SrcPackets), clampInt(f.DstPackets)
	if f.FirstBytes != [32]byte{} {
		e.Fingerprint = hex.EncodeToString(f.FirstBytes[:])
	}
	if t := f.TLS; t != nil {
		e.TLS = tlsOf(t)
	}
	if f.HTTP != nil {
		e.HTTP = httpOf(f.HTTP)
	}
	if m := f.Mail; m != nil {
		e.Mail = &ledger.Mail{Protocol: m.Protocol, StartTLS: m.StartTLS, GreetingHost: m.GreetingHost}
	}
	return e
}

func endpoint(a netip.AddrPort, proto uint8) *ledger.Endpoint {
	hasPorts := proto == 6 || proto == 17 || proto == 132
	ep := &ledger.Endpoint{IP: a.Addr().String(), HasPort: hasPorts}
	if hasPorts {
		ep.Port = int(a.Port())
	}
	return ep
}

func tlsOf(t *dissect.TLS) *ledger.TLS {
	out := &ledger.TLS{
		Version: t.Version, SNI: t.SNI, ALPN: t.ALPN, Cipher: t.Cipher, JA3: t.JA3, JA3S: t.JA3S, JA4: t.JA4,
		ECH: t.ECH, Resumed: t.Resumed, StartTLS: t.StartTLS,
	}
	if c := t.Cert; c != nil {
		out.Cert = &ledger.Cert{
			SHA256: c.SHA256, Subject: c.Subject, Issuer: c.Issuer,
			SAN: append([]string(nil), c.SAN...), NotAfter: c.NotAfter,
		}
	}
	return out
}

func httpOf(h *dissect.HTTP) *ledger.HTTP {
	return &ledger.HTTP{
		Method: h.Method, Host: h.Host, Path: h.Path, Status: h.Status, UserAgent: h.UserAgent,
		Headers: append([]string(nil), h.Headers...),
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
	default:
		return "none"
	}
}

// setOwner adds who made the call. A zero Owner (packets only) adds nothing: absent is not the same as unknown.
func setOwner(e *ledger.Event, o *attribution.Owner) {
	if o.Evidence.Source == "" {
		return
	}
	ev := o.Evidence
	e.Evidence = &ledger.Evidence{
		Source: ev.Source, Confidence: ev.Confidence, Reason: ev.Reason, TID: int64(ev.TID),
		Candidates: ev.Candidates, Conflicts: ev.Conflicts, LatencyUS: ev.Latency.Microseconds(),
	}
	if e.Kind == "flow" { // the stack stands once a call, on its flow row; dns and http rows carry the flow's id
		e.Evidence.Stack = stackOf(o.Stack)
	}
	if p := o.Process; p != nil {
		e.Process = &ledger.Process{
			PID: p.PID, Start: p.Start.UnixNano(), Exe: p.Exe, UID: int64(p.UID), Name: p.Name,
			Container: p.Container, NetNS: int64(p.NetNS), Role: p.Role,
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
