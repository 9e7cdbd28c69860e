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
	"netaudit/ledger"
)

// captures are real clients and servers on the wire; make.sh beside them says which.
func captures(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("../tap/testdata/captures/*.pcap*")
	if err != nil || len(list) < 7 {
		t.Fatalf("captures: %v, error %v; want at least 7", list, err)
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

// tshark returns one line a packet that the display filter chooses, with the values of the fields in between tabs.
func tshark(t *testing.T, path, filter string, fields ...string) [][]string {
	t.Helper()
	args := []string{"-n", "-r", path, "-Y", filter, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,"}
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

// endsOf names a conversation by its two ends in an order that does not depend on who spoke first.
func endsOf(proto string, a, b netip.AddrPort) string {
	if b.Compare(a) < 0 {
		a, b = b, a
	}
	return fmt.Sprintf("%s %s %s", proto, a, b)
}

func TestFiveTuplesAndPacketCountsAgreeWithTshark(t *testing.T) {
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			ours, theirs := map[string]int{}, map[string]int{}
			for _, e := range replayed(t, path) {
				if e.Kind == "flow" && e.State == "closed" {
					proto := "udp"
					if e.TCPState != "" {
						proto = "tcp"
					}
					src := netip.AddrPortFrom(netip.MustParseAddr(e.Src.IP), uint16(e.Src.Port))
					dst := netip.AddrPortFrom(netip.MustParseAddr(e.Dst.IP), uint16(e.Dst.Port))
					ours[endsOf(proto, src, dst)] += int(e.SrcPackets + e.DstPackets)
				}
			}
			for _, r := range tshark(t, path, "tcp or udp", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "tcp.srcport", "udp.srcport", "tcp.dstport", "udp.dstport") {
				proto := "udp"
				if r[4] != "" {
					proto = "tcp"
				}
				src := addrPort(firstOf(r[0], r[1]), firstOf(r[4], r[5]))
				dst := addrPort(firstOf(r[2], r[3]), firstOf(r[6], r[7]))
				theirs[endsOf(proto, src, dst)]++
			}
			compare(t, "packets of", ours, theirs)
		})
	}
}

func addrPort(ip, port string) netip.AddrPort {
	return netip.MustParseAddrPort(net.JoinHostPort(ip, port))
}

func TestClientHellosAgreeWithTshark(t *testing.T) {
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			ours, theirs := map[string]int{}, map[string]int{}
			for _, e := range replayed(t, path) {
				if e.Kind == "flow" && e.State == "closed" && e.TLS != nil && e.TLS.JA3 != "" {
					ours[strconv.Itoa(e.Src.Port)+" "+e.TLS.SNI+" "+e.TLS.JA3]++
				}
			}
			for _, r := range tshark(t, path, "tls.handshake.type == 1", "tcp.srcport", "udp.srcport", "tls.handshake.extensions_server_name", "tls.handshake.ja3") {
				theirs[firstOf(r[0], r[1])+" "+r[2]+" "+r[3]]++
			}
			compare(t, "ClientHello", ours, theirs)
		})
	}
}

func TestServerHellosAgreeWithTshark(t *testing.T) {
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			ours, theirs := map[string]int{}, map[string]int{}
			for _, e := range replayed(t, path) {
				if e.Kind == "flow" && e.State == "closed" && e.TLS != nil && e.TLS.JA3S != "" {
					ours[strconv.Itoa(e.Src.Port)+" "+e.TLS.JA3S]++
				}
			}
			for _, r := range tshark(t, path, "tls.handshake.type == 2", "tcp.dstport", "udp.dstport", "tls.handshake.ja3s") {
				theirs[firstOf(r[0], r[1])+" "+r[2]]++
			}
			compare(t, "ServerHello", ours, theirs)
		})
	}
}

func TestDNSTransactionsAgreeWithTshark(t *testing.T) {
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			ours, theirs := map[string]int{}, map[string]int{}
			for _, e := range replayed(t, path) {
				if e.Kind == "dns" {
					ours[fmt.Sprintf("%04x %s %s", e.DNS.ID, e.DNS.Name, e.DNS.RCode)]++
				}
			}
			rcodes := map[string]string{"0": "NOERROR", "3": "NXDOMAIN", "5": "REFUSED"}
			for _, r := range tshark(t, path, "dns.flags.response == 1", "dns.id", "dns.qry.name", "dns.flags.rcode") {
				theirs[strings.TrimPrefix(r[0], "0x")+" "+strings.ToLower(r[1])+" "+rcodes[r[2]]]++
			}
			compare(t, "DNS", ours, theirs)
		})
	}
}

func TestHTTPRequestsAgreeWithTsharkAndKeepNoQuery(t *testing.T) {
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			ours, theirs := map[string]int{}, map[string]int{}
			for _, e := range replayed(t, path) {
				if strings.Contains(string(e.AppendJSON(nil)), "secret") {
					t.Errorf("a query was kept: %s", e.AppendJSON(nil))
				}
				if e.Kind == "http" {
					ours[e.HTTP.Method+" "+e.HTTP.Host+" "+e.HTTP.Path+" "+e.HTTP.UserAgent]++
				}
			}
			for _, r := range tshark(t, path, "http.request", "http.request.method", "http.host", "http.request.uri", "http.user_agent") {
				r[2], _, _ = strings.Cut(r[2], "?")
				theirs[strings.Join(r, " ")]++
			}
			compare(t, "HTTP", ours, theirs)
		})
	}
}
