package ledgertest

import (
	"fmt"
	"strings"
	"time"

	"netaudit/ledger"
)

func (i *Installation) pick() *kind {
	n := i.rnd.IntN(i.total)
	for p := range i.pool {
		if n -= i.pool[p].weight; n < 0 {
			return &i.pool[p].kind
		}
	}
	return &i.pool[0].kind
}

// scheduled are the calls that come by the clock.
func (i *Installation) scheduled(at time.Time) (events []ledger.Event) {
	hour, minute := at.UTC().Hour(), at.UTC().Minute()
	add := func(due bool, k *kind) {
		if due {
			events = append(events, i.call(k, i.moment(at))...)
		}
	}
	add(minute == 7, &licenseCheck)
	add(minute%15 == 3, &fetchMail)
	add(minute == 31, &ntp)
	add(hour == 4 && minute == 12, &warranty)
	add(hour == 5 && minute == 2, &rates)
	add(hour == 6 && minute == 44, &apt)
	left := i.o.Now.Sub(at)
	add(i.o.Variant == Alarm && left < 5*time.Hour && minute == 20, &upload)
	return events
}

// Calls makes n calls of the present, without the lookups before them: rows that arrive while somebody reads.
func (i *Installation) Calls(n int) (events []ledger.Event) {
	for range n {
		now := time.Now()
		list := i.call(i.pick(), now.Add(-time.Second))
		events = append(events, list[len(list)-1])
	}
	return events
}

func (i *Installation) between(r [2]int64) int64 {
	if r[1] <= r[0] {
		return r[0]
	}
	return r[0] + i.rnd.Int64N(r[1]-r[0])
}

// call is one call with what belongs to it: the lookup before it, the request in it.
func (i *Installation) call(k *kind, at time.Time) (events []ledger.Event) {
	i.flows++
	flow := fmt.Sprintf("k7f2q-%s", base36(i.flows))
	if k.host != "" && i.rnd.IntN(3) == 0 {
		events = append(events, i.lookup(k, at.Add(-12*time.Millisecond), flow))
	}
	e := i.envelope(k, at, flow)
	duration := time.Duration(40+i.rnd.IntN(900)) * time.Millisecond
	e.Kind, e.State, e.End, e.DurationUS = "flow", "closed", at.Add(duration).UnixNano(), duration.Microseconds()
	e.HasCounts, e.SrcBytes, e.DstBytes = true, i.between(k.out), i.between(k.in)
	e.SrcPackets, e.DstPackets = e.SrcBytes/1380+6, e.DstBytes/1380+6
	if k.channel != "ntp" {
		e.TCPState, e.History, e.RTTUS = "SF", "ShADadFf", int64(9_000+i.rnd.IntN(9_000))
	}
	e.CommunityID, e.Fingerprint = "1:wCb3OG7yAFWelaUydu0D+125CLM=", fmt.Sprintf("%016x%016x", i.rnd.Uint64(), i.rnd.Uint64())
	switch k.channel {
	case "https", "imap":
		e.TLS = i.tls(k)
	case "smtp":
		e.TLS = i.tls(k)
		e.TLS.StartTLS = "smtp"
		e.Mail = &ledger.Mail{Protocol: "smtp", StartTLS: true, GreetingHost: k.host, State: "tls"}
	case "postgres":
		e.Service = &ledger.Service{User: "o***(4)", Database: "p***(10)"}
	case "http":
		request := i.envelope(k, at, flow)
		request.Kind, request.End, request.DurationUS = "http", e.End, e.DurationUS
		request.HTTP = &ledger.HTTP{Method: "POST", Host: "odoo.customer.example", Path: "/web/dataset/call_kw/***", Route: "/web/dataset/call_kw", Status: 200, Version: "1.1", UserAgent: "Mozilla/5.0", Headers: []string{"Accept", "Content-Type", "Cookie"}, RequestBytes: e.SrcBytes - 600, ResponseBytes: e.DstBytes - 300}
		events = append(events, request)
	}
	return append(events, e)
}

func base36(n uint64) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	var b []byte
	for ; n > 0; n /= 36 {
		b = append(b, digits[n%36])
	}
	return string(b)
}

// envelope is what every row about a call says.
func (i *Installation) envelope(k *kind, at time.Time, flow string) ledger.Event {
	local := &ledger.Endpoint{IP: "10.0.0.20", Port: 32768 + i.rnd.IntN(28000), HasPort: true}
	if strings.Contains(k.ip, ":") {
		local.IP = "2001:db8:20::20"
	}
	source := k.source
	if source == "" {
		source = "sni"
	}
	remote := &ledger.Endpoint{IP: k.ip, Port: k.port, HasPort: true, Host: k.host, HostSource: source}
	if k.host == "" {
		remote.HostSource = "none"
	}
	e := ledger.Event{
		V: 1, Start: at.UnixNano(), Direction: "outbound", Channel: k.channel, Src: local, Dst: remote, FlowID: flow, Iface: "eth0",
		Party: &ledger.Party{Class: k.class, Name: k.party, Rule: k.rule},
	}
	if k.direction == "inbound" {
		client := &ledger.Endpoint{IP: fmt.Sprintf("10.0.3.%d", 2+i.rnd.IntN(40)), Port: local.Port, HasPort: true}
		e.Direction, e.Src, e.Dst = "inbound", client, &ledger.Endpoint{IP: local.IP, Port: k.port, HasPort: true, HostSource: "none"}
	}
	if i.o.Variant != Mirror {
		i.owner(&e, k)
	}
	return e
}

func (i *Installation) tls(k *kind) *ledger.TLS {
	return &ledger.TLS{
		Version: "1.3", SNI: k.host, ALPN: "http/1.1", Cipher: "TLS_AES_256_GCM_SHA384", Group: "x25519", Established: true,
		JA3: "579ccef312d18482fc42e2b822ca2430", JA4: "t13d1517h1_8daaf6152771_b0da82dd1658", CertNames: "host",
	}
}

func (i *Installation) lookup(k *kind, at time.Time, flow string) ledger.Event {
	resolver := *k
	resolver.host, resolver.ip, resolver.port, resolver.channel, resolver.class, resolver.party, resolver.rule, resolver.conflict = "", "10.0.0.53", 53, "dns", "internal", "internal", "internal/range:10.0.0.0/8", ""
	resolver.direction = ""
	e := i.envelope(&resolver, at, flow+"d")
	latency := int64(800 + i.rnd.IntN(9000))
	e.Kind, e.End, e.DurationUS = "dns", at.UnixNano()+latency*1000, latency
	kind := "A"
	if strings.Contains(k.ip, ":") {
		kind = "AAAA"
	}
	e.DNS = &ledger.DNS{Name: k.host, Type: kind, RCode: "NOERROR", Answers: []string{k.ip}, TTL: 300, ID: int64(i.rnd.IntN(65536)), LatencyUS: latency}
	return e
}
