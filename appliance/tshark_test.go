package appliance

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"netaudit/attribution/party"
	"netaudit/dissect/dns"
	"netaudit/dissect/tls"
	"netaudit/ledger"
)

// captures are real clients and servers on the wire; make.sh beside them says which.
func captures(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("../tap/testdata/captures/*.pcap*")
	if err != nil || len(list) < 19 {
		t.Fatalf("captures: %v, error %v; want at least 19", list, err)
	}
	return list
}

// replayed returns the events of one capture.
func replayed(t *testing.T, path string) []ledger.Event {
	t.Helper()
	parties, err := party.Load()
	if err != nil {
		t.Fatal(err)
	}
	var events []ledger.Event
	r := &Replay{Parties: parties, Emit: func(e ledger.Event) {
		if line := e.AppendJSON(nil); !json.Valid(line) {
			t.Errorf("no JSON: %s", line)
		}
		events = append(events, e)
	}}
	if err := r.Run(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return events
}

// tshark returns one line a packet that the display filter chooses, with the values of the fields in between tabs. Of fields that a packet has more
// than once it gives the innermost for "l", all for "a".
func tshark(t *testing.T, path, occurrence, filter string, fields ...string) [][]string {
	t.Helper()
	args := []string{"-n", "-r", path, "-Y", filter, "-T", "fields", "-E", "occurrence=" + occurrence, "-E", "aggregator=,"}
	args = append(args, "-d", "tcp.port==2525,smtp", "-d", "tcp.port==2222,ssh", "-d", "udp.port==4434,dtls", "-d", "udp.port==4435,dtls")
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.CommandContext(t.Context(), "tshark", args...).Output()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip("tshark is not installed: run make test")
	}
	if err != nil {
		t.Fatalf("tshark %v: %v", args, err)
	}
	var rows [][]string
	for line := range strings.SplitSeq(strings.TrimRight(string(out), "\n"), "\n") {
		if line != "" {
			rows = append(rows, strings.Split(line, "\t"))
		}
	}
	return rows
}

func compare(t *testing.T, what string, ours, theirs map[string]int) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(theirs)) {
		if ours[k] != theirs[k] {
			t.Errorf("%s: %q %d times, tshark says %d", what, k, ours[k], theirs[k])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(ours)) {
		if theirs[k] == 0 {
			t.Errorf("%s: %q, tshark knows nothing of it", what, k)
		}
	}
}

// firstOf joins the columns of which one is filled: IPv4 or IPv6, TCP or UDP.
func firstOf(columns ...string) string {
	for _, c := range columns {
		if c != "" {
			return c
		}
	}
	return ""
}

// comparison is one statement about the captures: what we say and what tshark says, each as texts with how often they occur.
type comparison struct {
	name   string
	ours   func(ledger.Event) []string // nil: nothing to say
	filter string                      // of tshark's packets
	occur  string                      // see tshark
	fields []string
	theirs func([]string) []string
	once   bool // what tshark says repeatedly (a second hello, a retransmission) counts once
}

func closed(e ledger.Event) bool { return e.Kind == "flow" && e.State == "closed" }

func transportOf(e ledger.Event) string {
	if e.TCPState != "" {
		return "tcp"
	}
	return "udp"
}

func port(e ledger.Event) string { return strconv.Itoa(e.Src.Port) }

func one(text string) []string { return []string{text} }

// tuple names a conversation by its two ends in an order that does not depend on who spoke first.
func tuple(proto string, srcIP, srcPort, dstIP, dstPort string) string {
	a := netip.MustParseAddrPort(net.JoinHostPort(srcIP, srcPort))
	b := netip.MustParseAddrPort(net.JoinHostPort(dstIP, dstPort))
	if b.Compare(a) < 0 {
		a, b = b, a
	}
	return fmt.Sprintf("%s %s %s", proto, a, b)
}

var fiveTuple = []string{"ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "tcp.srcport", "udp.srcport", "tcp.dstport", "udp.dstport"}

func tupleOf(r []string) string {
	proto := "udp"
	if r[4] != "" {
		proto = "tcp"
	}
	return tuple(proto, firstOf(r[0], r[1]), firstOf(r[4], r[5]), firstOf(r[2], r[3]), firstOf(r[6], r[7]))
}

var comparisons = []comparison{
	{
		name: "packets of five-tuples", filter: "(tcp or udp) and not icmp and not icmpv6", occur: "l", fields: fiveTuple,
		ours: func(e ledger.Event) []string {
			if !closed(e) || !e.Src.HasPort {
				return nil
			}
			text := tuple(transportOf(e), e.Src.IP, strconv.Itoa(e.Src.Port), e.Dst.IP, strconv.Itoa(e.Dst.Port))
			return slices.Repeat(one(text), int(e.SrcPackets+e.DstPackets))
		},
		theirs: func(r []string) []string { return one(tupleOf(r)) },
	},
	{
		name: "payload bytes of TCP", filter: "tcp.len > 0 and not icmp and not tcp.analysis.retransmission and not tcp.analysis.spurious_retransmission and not tcp.analysis.keep_alive", occur: "l",
		fields: append(slices.Clone(fiveTuple), "tcp.len"),
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TCPState == "" {
				return nil
			}
			text := tuple("tcp", e.Src.IP, strconv.Itoa(e.Src.Port), e.Dst.IP, strconv.Itoa(e.Dst.Port))
			return slices.Repeat(one(text), int(e.SrcBytes+e.DstBytes))
		},
		theirs: func(r []string) []string {
			n, _ := strconv.Atoi(r[8])
			return slices.Repeat(one(tupleOf(r)), n)
		},
	},
	{
		name: "ICMP types and codes", filter: "icmp or icmpv6", occur: "f", fields: []string{"icmp.type", "icmpv6.type", "icmp.code", "icmpv6.code"}, once: true,
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.ICMP == nil {
				return nil
			}
			text := fmt.Sprintf("%d %d", e.ICMP.Type, e.ICMP.Code)
			if reply := map[string]string{"8 0": "0 0", "128 0": "129 0"}[text]; reply != "" && e.DstPackets > 0 {
				return []string{text, reply}
			}
			return one(text)
		},
		theirs: func(r []string) []string { return one(firstOf(r[0], r[1]) + " " + firstOf(r[2], r[3])) },
	},
	{
		name: "ClientHellos", filter: "tls.handshake.type == 1 or dtls.handshake.type == 1", occur: "f", once: true,
		fields: []string{"tcp.srcport", "udp.srcport", "tls.handshake.extensions_server_name", "dtls.handshake.extensions_server_name", "tls.handshake.ja3", "dtls.handshake.ja3"},
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || e.TLS.JA3 == "" {
				return nil
			}
			return one(port(e) + " " + e.TLS.SNI + " " + e.TLS.JA3)
		},
		theirs: func(r []string) []string {
			return one(firstOf(r[0], r[1]) + " " + firstOf(r[2], r[3]) + " " + firstOf(r[4], r[5]))
		},
	},
	{
		name: "ServerHellos", occur: "f",
		filter: "(tls.handshake.type == 2 or dtls.handshake.type == 2) and not tls.handshake.random == cf:21:ad:74:e5:9a:61:11:be:1d:8c:02:1e:65:b8:91:c2:a2:11:16:7a:bb:8c:5e:07:9e:09:e2:c8:a8:33:9c",
		fields: []string{"tcp.dstport", "udp.dstport", "tls.handshake.ja3s", "dtls.handshake.ja3s", "tls.handshake.ciphersuite", "dtls.handshake.ciphersuite", "tls.handshake.extensions.supported_version", "tls.handshake.version", "dtls.handshake.version"},
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || e.TLS.JA3S == "" {
				return nil
			}
			return one(port(e) + " " + e.TLS.JA3S + " " + e.TLS.Cipher + " " + e.TLS.Version)
		},
		theirs: func(r []string) []string {
			cipher, version := number(firstOf(r[4], r[5])), number(firstOf(r[6], r[7], r[8]))
			return one(firstOf(r[0], r[1]) + " " + firstOf(r[2], r[3]) + " " + tls.CipherName(cipher) + " " + tls.VersionName(version))
		},
	},
	{
		name: "key exchange groups", filter: "tls.handshake.type == 2 and tls.handshake.extensions_key_share_group", occur: "f", once: true,
		fields: []string{"tcp.dstport", "udp.dstport", "tls.handshake.extensions_key_share_group"},
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || e.TLS.Version != "1.3" || e.TLS.Group == "" {
				return nil
			}
			return one(port(e) + " " + e.TLS.Group)
		},
		theirs: func(r []string) []string { return one(firstOf(r[0], r[1]) + " " + tls.GroupName(number(r[2]))) },
	},
	{
		name: "hellos that were asked for again", occur: "f", once: true,
		filter: "tls.handshake.random == cf:21:ad:74:e5:9a:61:11:be:1d:8c:02:1e:65:b8:91:c2:a2:11:16:7a:bb:8c:5e:07:9e:09:e2:c8:a8:33:9c or dtls.handshake.type == 3",
		fields: []string{"tcp.dstport", "udp.dstport"},
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || !e.TLS.Retry {
				return nil
			}
			return one(port(e))
		},
		theirs: func(r []string) []string { return one(firstOf(r[0], r[1])) },
	},
	{
		name: "names in certificates", filter: "tls.handshake.type == 11 and x509ce.dNSName", occur: "a", fields: []string{"tcp.dstport", "x509ce.dNSName"}, once: true,
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || e.TLS.Cert == nil || e.TLS.Version[0] == 'd' {
				return nil
			}
			return one(port(e) + " " + strings.Join(e.TLS.Cert.SAN, ","))
		},
		theirs: func(r []string) []string { return one(r[0] + " " + r[1]) },
	},
	{
		name: "alerts of handshakes", filter: "tls.alert_message.level == 2", occur: "f", fields: []string{"tcp.srcport", "tcp.dstport", "tls.alert_message.desc"},
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TLS == nil || e.TLS.Alert == "" || strings.HasSuffix(e.TLS.Alert, "close_notify") {
				return nil
			}
			return one(port(e) + " " + e.TLS.Alert)
		},
		theirs: func(r []string) []string {
			client, who := r[0], "client "
			if src, _ := strconv.Atoi(r[0]); src < 32768 {
				client, who = r[1], "server "
			}
			return one(client + " " + who + tls.AlertName(uint8(number(r[2]))))
		},
	},
	{
		name: "DNS transactions", filter: "dns and not icmp", occur: "a",
		fields: []string{"dns.id", "dns.qry.name", "dns.qry.type", "dns.flags.rcode", "dns.flags.response", "dns.a", "dns.aaaa", "dns.cname", "dns.ptr.domain_name", "dns.mx.mail_exchange", "dns.srv.target"},
		ours: func(e ledger.Event) []string {
			if e.Kind != "dns" || e.DNS.RCode == "" {
				return nil
			}
			answers := slices.Clone(e.DNS.Answers)
			if e.DNS.Type == "TXT" || e.DNS.Type == "HTTPS" {
				answers = nil // tshark has other texts for them
			}
			for i, a := range answers {
				answers[i] = a[strings.LastIndexByte(a, ' ')+1:]
			}
			slices.Sort(answers)
			return one(fmt.Sprintf("%04x %s %s %s %s", e.DNS.ID, e.DNS.Name, e.DNS.Type, e.DNS.RCode, strings.Join(answers, ",")))
		},
		theirs: func(r []string) []string {
			if r[4] != "1" && r[4] != "True" {
				return nil
			}
			var answers []string
			for _, column := range r[5:] {
				if column != "" {
					answers = append(answers, strings.Split(strings.ToLower(column), ",")...)
				}
			}
			slices.Sort(answers)
			code, _ := strconv.Atoi(r[3])
			kind, _ := strconv.Atoi(r[2])
			return one(fmt.Sprintf("%s %s %s %s %s", strings.TrimPrefix(r[0], "0x"), strings.ToLower(r[1]), dns.TypeName(uint16(kind)), dns.RCodeName(uint16(code)), strings.Join(answers, ",")))
		},
	},
	{
		name: "HTTP requests", filter: "http.request", occur: "a", fields: []string{"http.request.method", "http.host", "http.request.uri", "http.request.version"},
		ours: func(e ledger.Event) []string {
			if e.Kind != "http" {
				return nil
			}
			return one(e.HTTP.Method + " " + e.HTTP.Host + " " + e.HTTP.Path + " HTTP/" + e.HTTP.Version)
		},
		theirs: func(r []string) []string {
			var list []string
			methods, hosts, uris, versions := strings.Split(r[0], ","), strings.Split(r[1], ","), strings.Split(r[2], ","), strings.Split(r[3], ",")
			for i := range methods { // pipelined requests share a packet
				path, _, _ := strings.Cut(uris[i], "?")
				host, _, _ := strings.Cut(hosts[i], ":")
				if strings.Contains(path, "@") {
					path = "/unsubscribe/<mail>/x"
				}
				list = append(list, methods[i]+" "+host+" "+path+" "+versions[i])
			}
			return list
		},
	},
	{
		name: "HTTP statuses", filter: "http.response", occur: "a", fields: []string{"http.response.code"},
		ours: func(e ledger.Event) []string {
			if e.Kind != "http" || e.HTTP.Status == 0 {
				return nil
			}
			return one(strconv.Itoa(e.HTTP.Status))
		},
		theirs: func(r []string) []string { return strings.Split(r[0], ",") },
	},
	{
		name: "programs that name themselves", filter: "ssh.protocol or mysql.version", occur: "f", fields: []string{"ssh.protocol", "mysql.version"},
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.Service == nil || e.Channel == "postgres" {
				return nil
			}
			return slices.DeleteFunc([]string{e.Service.Client, e.Service.Server}, func(s string) bool { return s == "" })
		},
		theirs: func(r []string) []string { return one(firstOf(r[0], r[1])) },
	},
}

func number(text string) uint16 {
	n, _ := strconv.ParseUint(text, 0, 16)
	return uint16(n)
}

func TestCapturesAgreeWithTshark(t *testing.T) {
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			events := replayed(t, path)
			for _, c := range comparisons {
				ours, theirs := map[string]int{}, map[string]int{}
				for _, e := range events {
					for _, text := range c.ours(e) {
						ours[text]++
					}
				}
				for _, r := range tshark(t, path, c.occur, c.filter, c.fields...) {
					for _, text := range c.theirs(r) {
						theirs[text]++
					}
				}
				if c.once {
					for _, m := range []map[string]int{ours, theirs} {
						for k := range m {
							m[k] = 1
						}
					}
				}
				compare(t, c.name, ours, theirs)
			}
		})
	}
}

// TestNothingSecretLeavesTheParsers: the captured clients send the word in queries, bodies, header values, credentials and mail addresses.
func TestNothingSecretLeavesTheParsers(t *testing.T) {
	for _, path := range captures(t) {
		for _, e := range replayed(t, path) {
			if line := e.AppendJSON(nil); strings.Contains(string(line), "secret") {
				t.Errorf("%s: %s", filepath.Base(path), line)
			}
		}
	}
}

// TestEveryCapturedProtocolIsRecognised names what each capture of services.sh is there for.
func TestEveryCapturedProtocolIsRecognised(t *testing.T) {
	for file, want := range map[string][]string{
		"mail.pcap":      {"smtp quit 2", "smtp tls 0", "imap quit 1", "imap tls 0", "pop3 quit 1", "pop3 tls 0"},
		"databases.pcap": {"postgres p******* t********", "postgres over TLS", "mysql s********* s*********", "mysql over TLS", "redis"},
		"ldap.pcap":      {"ldap", "ldap over TLS"},
		"ssh.pcap":       {"ssh  "},
		"web.pcap":       {"http 1.1", "http 1.1", "websocket 1.1", "http 2"},
		"ech.pcap":       {"https public.example hidden"},
		"dtls.pcap":      {"dtls upload.mit-odoo.de", "dtls upload.mit-odoo.de"},
		"vxlan.pcap":     {"http 1.1 in vxlan:42"},
	} {
		t.Run(file, func(t *testing.T) {
			var got []string
			for _, e := range replayed(t, filepath.Join("../tap/testdata/captures", file)) {
				if text := summary(e); text != "" {
					got = append(got, text)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func summary(e ledger.Event) string {
	text := e.Channel
	switch {
	case !closed(e) || e.Channel == "dns" || e.Channel == "icmp" || e.Channel == "udp":
		return ""
	case e.Mail != nil:
		text += fmt.Sprintf(" %s %d", e.Mail.State, e.Mail.Messages)
	case e.TLS != nil && e.TLS.StartTLS != "":
		text += " over TLS"
	case e.TLS != nil:
		text += " " + e.TLS.SNI
		if e.TLS.ECH {
			text += " hidden"
		}
	case e.Service != nil:
		text += " " + e.Service.User + " " + e.Service.Database
	case e.HTTP != nil:
		text += " " + e.HTTP.Version
	}
	if e.Tunnel != "" {
		text += " in " + e.Tunnel
	}
	return text
}
