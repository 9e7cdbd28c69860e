package appliance

import (
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
	"sync"
	"testing"

	"netaudit/ledger"
)

// frame is what tshark says of one packet: the values of each field, in the order of the packet.
type frame map[string][]string

// tsharkFields are all that the comparisons ask for: tshark reads a capture once.
var tsharkFields = []string{
	"frame.number", "frame.protocols", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport", "tcp.len", "tcp.flags",
	"tcp.analysis.retransmission", "tcp.analysis.fast_retransmission", "tcp.analysis.spurious_retransmission", "tcp.analysis.out_of_order", "tcp.analysis.keep_alive", "tcp.analysis.ack_rtt", "tcp.analysis.lost_segment",
	"ieee8021ad.id", "vlan.id", "vxlan.vni", "gre.key", "erspan.spanid", "geneve.vni", "gtp.teid", "mpls.label", "pppoe.session_id", "l2tp.tunnel", "l2tp.session",
	"icmp.type", "icmp.code", "icmpv6.type", "icmpv6.code",
	"tls.handshake.type", "tls.handshake.random", "tls.handshake.version", "tls.handshake.ciphersuite", "tls.handshake.extensions_server_name", "tls.handshake.extensions_alpn_str", "tls.handshake.ja3", "tls.handshake.ja3s",
	"tls.handshake.extensions.supported_version", "tls.handshake.extensions_key_share_group", "tls.handshake.extension.type", "tls.handshake.sig_hash_alg", "tls.handshake.sig_hash_alg_len", "tls.alert_message.level", "tls.alert_message.desc",
	"dtls.handshake.type", "dtls.handshake.version", "dtls.handshake.ciphersuite", "dtls.handshake.extensions_server_name", "dtls.handshake.ja3", "dtls.handshake.ja3s",
	"dtls.handshake.message_seq", "dtls.handshake.random", "dtls.handshake.extensions_alpn_str", "dtls.handshake.extensions.supported_version", "dtls.handshake.extensions_key_share_group", "dtls.handshake.extension.type",
	"dtls.handshake.sig_hash_alg", "dtls.handshake.sig_hash_alg_len", "dtls.alert_message.level", "dtls.alert_message.desc",
	"x509ce.dNSName", "x509af.utcTime",
	"dns.id", "dns.qry.name", "dns.qry.type", "dns.flags.rcode", "dns.flags.response", "dns.count.answers", "dns.resp.ttl", "dns.a", "dns.aaaa", "dns.cname", "dns.ptr.domain_name", "dns.mx.mail_exchange", "dns.srv.target",
	"http.request.method", "http.host", "http.request.uri", "http.request.version", "http.response.code", "http.content_length", "http.chunk_size",
	"http2.headers.method", "http2.headers.authority", "http2.headers.path", "http2.headers.status", "http2.header.name", "http2.header.value",
	"dns.resp.name", "ssh.protocol", "mysql.version", "quic.cc.error_code.tls_alert",
}

// decodeAs names the ports of the captures that tshark does not know by itself.
var decodeAs = []string{"tcp.port==81,http", "tcp.port==8888-8889,http", "tcp.port==2525,smtp", "tcp.port==2122,ftp", "tcp.port==601,syslog", "tcp.port==2222,ssh", "tcp.port==1195,openvpn", "udp.port==1195,openvpn", "udp.port==4434,dtls", "udp.port==4435,dtls", "udp.port==4471-4475,dtls", "udp.port==853,quic", "udp.port==4433,quic", "udp.port==4443,quic"}

// tshark reads a capture.
func tshark(t *testing.T, path string) []frame {
	t.Helper()
	args := []string{"-n", "-r", path, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=\x1f"}
	for _, d := range decodeAs {
		args = append(args, "-d", d)
	}
	for _, f := range tsharkFields {
		args = append(args, "-e", f)
	}
	out, err := exec.CommandContext(t.Context(), "tshark", args...).Output()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip("tshark is not installed: run make test")
	}
	if err != nil {
		t.Fatalf("tshark %v: %v", args, err)
	}
	var frames []frame
	for line := range strings.SplitSeq(strings.TrimRight(string(out), "\n"), "\n") {
		f := frame{}
		for i, column := range strings.Split(line, "\t") {
			if column != "" {
				f[tsharkFields[i]] = strings.Split(column, "\x1f")
			}
		}
		frames = append(frames, f)
	}
	return frames
}

// has says that the packet has one of the fields.
func (f frame) has(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return len(f[n]) > 0 })
}

// first is the outermost, or first, value of the first field that is there.
func (f frame) first(names ...string) string {
	for _, n := range names {
		if v := f[n]; len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

// last is the innermost, or last, value of the first field that is there.
func (f frame) last(names ...string) string {
	for _, n := range names {
		if v := f[n]; len(v) > 0 {
			return v[len(v)-1]
		}
	}
	return ""
}

// innermost says which of two protocols stands last, "" when none is there.
func (f frame) innermost(a, b string) string {
	for _, p := range slices.Backward(strings.Split(f.first("frame.protocols"), ":")) {
		if p == a || p == b {
			return p
		}
	}
	return ""
}

// tuple names the innermost conversation, "" when it has no ports.
func (f frame) tuple() string {
	ip, proto := f.innermost("ip", "ipv6"), f.innermost("tcp", "udp")
	if proto == "" || f.has("icmp.type", "icmpv6.type") || f.piece(ip, proto) {
		return ""
	}
	return tuple(proto, f.last(ip+".src"), f.last(proto+".srcport"), f.last(ip+".dst"), f.last(proto+".dstport"))
}

// piece says that the innermost packet is a fragment of a datagram that is not whole yet: the ports are those of a tunnel around it.
func (f frame) piece(ip, transport string) bool {
	chain := f.first("frame.protocols") + ":"
	return strings.LastIndex(chain, ":"+ip+":") > strings.LastIndex(chain, ":"+transport+":")
}

// ports are the innermost transport's, source first.
func (f frame) ports() (from, to string) {
	proto := f.innermost("tcp", "udp")
	return f.last(proto + ".srcport"), f.last(proto + ".dstport")
}

// tuple names a conversation by its two ends in an order that does not depend on who spoke first.
func tuple(proto string, srcIP, srcPort, dstIP, dstPort string) string {
	a := netip.MustParseAddrPort(net.JoinHostPort(srcIP, srcPort))
	b := netip.MustParseAddrPort(net.JoinHostPort(dstIP, dstPort))
	if b.Compare(a) < 0 {
		a, b = b, a
	}
	return fmt.Sprintf("%s %s %s", proto, a, b)
}

// tupleOf is our counterpart, "" when the event is no closed flow with ports.
func tupleOf(e ledger.Event) string {
	if !closed(e) || !e.Src.HasPort {
		return ""
	}
	proto := "udp"
	if e.TCPState != "" {
		proto = "tcp"
	}
	return tuple(proto, e.Src.IP, strconv.Itoa(e.Src.Port), e.Dst.IP, strconv.Itoa(e.Dst.Port))
}

// comparison is one statement about the captures: what we say and what tshark says, each as texts with how often they occur.
type comparison struct {
	name   string
	ours   func(ledger.Event) []string // nil: nothing to say
	theirs func(frame) []string
	once   bool // what tshark says repeatedly (a second hello, a retransmission) counts once
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

func one(text string) []string { return []string{text} }

func number(text string) uint16 {
	n, _ := strconv.ParseUint(text, 0, 16)
	return uint16(n)
}

func TestCapturesAgreeWithTshark(t *testing.T) {
	said := &topics{said: map[string]bool{}}
	t.Run("all", func(t *testing.T) {
		for _, path := range captures(t) {
			t.Run(filepath.Base(path), func(t *testing.T) {
				t.Parallel()
				list := allComparisons
				if filepath.Base(path) == "before.pcap" { // tshark finds no request behind empty lines
					list = slices.DeleteFunc(slices.Clone(list), func(c comparison) bool { return c.name == "HTTP requests" })
				}
				agree(t, replayed(t, path), tshark(t, path), said, list)
			})
		}
	})
	for _, c := range allComparisons {
		if !said.said[c.name] && !t.Failed() {
			t.Errorf("no capture says anything about %s", c.name)
		}
	}
}

var allComparisons = slices.Concat(flowComparisons, tlsComparisons, []comparison{ja4Comparison, nameComparison}, messageComparisons)

// topics are the comparisons about which at least one capture says something. Subtests share it.
type topics struct {
	mu   sync.Mutex
	said map[string]bool
}

func (t *topics) add(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.said[name] = true
}

func agree(t *testing.T, events []ledger.Event, frames []frame, said *topics, list []comparison) {
	t.Helper()
	for _, c := range list {
		ours, theirs := map[string]int{}, map[string]int{}
		for _, e := range events {
			for _, text := range c.ours(e) {
				ours[text]++
			}
		}
		for _, f := range frames {
			for _, text := range c.theirs(f) {
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
		if len(theirs) > 0 {
			said.add(c.name)
		}
		compare(t, c.name, ours, theirs)
	}
}

// TestCutCapturesAgreeWithTshark: with small snap lengths, conversations, packets and bytes are still those of tshark.
func TestCutCapturesAgreeWithTshark(t *testing.T) {
	for _, name := range []string{"web.pcap", "dns.pcap", "vxlan.pcap"} {
		for _, snap := range []string{"130", "200"} {
			cut := filepath.Join(t.TempDir(), name)
			if out, err := exec.CommandContext(t.Context(), "editcap", "-s", snap, "../tap/testdata/captures/"+name, cut).CombinedOutput(); err != nil {
				if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "true" {
					t.Skip("editcap is not installed: run make test")
				}
				t.Fatalf("editcap: %v: %s", err, out)
			}
			t.Run(name+" "+snap, func(t *testing.T) {
				agree(t, replayed(t, cut), tshark(t, cut), &topics{said: map[string]bool{}}, flowComparisons[:2])
			})
		}
	}
}
