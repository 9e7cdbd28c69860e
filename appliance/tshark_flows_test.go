package appliance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"netaudit/ledger"
)

// flowComparisons are about conversations, links and tunnels.
var flowComparisons = []comparison{
	{
		name: "packets of five-tuples",
		ours: func(e ledger.Event) []string {
			if tupleOf(e) == "" {
				return nil
			}
			return slices.Repeat(one(tupleOf(e)), int(e.SrcPackets+e.DstPackets))
		},
		theirs: func(f frame) []string {
			if f.tuple() == "" {
				return nil
			}
			return one(f.tuple())
		},
	},
	{
		name: "payload bytes of TCP",
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TCPState == "" {
				return nil
			}
			return slices.Repeat(one(tupleOf(e)), int(e.SrcBytes+e.DstBytes))
		},
		theirs: func(f frame) []string {
			n, _ := strconv.Atoi(f.last("tcp.len"))
			if n == 0 || f.tuple() == "" || f.has("tcp.analysis.keep_alive") || f.again() {
				return nil
			}
			return slices.Repeat(one(f.tuple()), n)
		},
	},
	{
		name: "segments sent again",
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.Retransmits == 0 {
				return nil
			}
			return slices.Repeat(one(tupleOf(e)), int(e.Retransmits))
		},
		theirs: func(f frame) []string {
			if f.tuple() == "" || !f.again() {
				return nil
			}
			return one(f.tuple())
		},
	},
	{
		name: "round trips of handshakes",
		ours: func(e ledger.Event) []string {
			if !closed(e) || e.TCPState == "" || e.RTTUS == 0 || strings.HasPrefix(e.History, "Sh") && e.DurationUS > 1e6 && e.Retransmits > 0 {
				return nil
			}
			return one(fmt.Sprintf("%s %d", tupleOf(e), e.RTTUS))
		},
		theirs: func(f frame) []string {
			const synACK = 0x12
			flags, rtt := number(f.last("tcp.flags")), f.last("tcp.analysis.ack_rtt")
			if f.tuple() == "" || flags&synACK != synACK || rtt == "" {
				return nil
			}
			seconds, _ := strconv.ParseFloat(rtt, 64)
			const another = 1e6 // the SYN was sent again: tshark counts from the first, we from the one that was answered
			if us := int64(seconds*1e6 + 0.0001); us > 0 && us < another {
				return one(fmt.Sprintf("%s %d", f.tuple(), us))
			}
			return nil
		},
	},
	{
		name: "ICMP types and codes", once: true,
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
		theirs: func(f frame) []string {
			if !f.has("icmp.type", "icmpv6.type") {
				return nil
			}
			return one(f.first("icmp.type", "icmpv6.type") + " " + f.first("icmp.code", "icmpv6.code"))
		},
	},
	{
		name: "VLANs", once: true,
		ours: func(e ledger.Event) []string {
			if tupleOf(e) == "" || len(e.VLAN) == 0 {
				return nil
			}
			return one(fmt.Sprint(tupleOf(e), e.VLAN))
		},
		theirs: func(f frame) []string {
			if f.tuple() == "" || !f.has("vlan.id") {
				return nil
			}
			return one(fmt.Sprint(f.tuple(), slices.Concat(f["ieee8021ad.id"], f["vlan.id"])))
		},
	},
	{
		name: "tunnels", once: true,
		ours: func(e ledger.Event) []string {
			if tupleOf(e) == "" || e.Tunnel == "" {
				return nil
			}
			return one(tupleOf(e) + " " + e.Tunnel)
		},
		theirs: func(f frame) []string {
			if path := f.tunnel(); f.tuple() != "" && path != "" && !strings.Contains(f.first("frame.protocols"), ":arp") {
				return one(f.tuple() + " " + path)
			}
			return nil
		},
	},
}

// again says that tshark takes the segment for one that was sent before. What it calls out of order is that too: the captures were made where the sender is.
func (f frame) again() bool {
	return f.has("tcp.analysis.retransmission", "tcp.analysis.spurious_retransmission", "tcp.analysis.fast_retransmission", "tcp.analysis.out_of_order")
}

// tunnel writes the encapsulations of a packet as our rows do, from the chain of protocols and the fields that identify them.
func (f frame) tunnel() string {
	var path []string
	used := map[string]int{}
	next := func(kind string, fields ...string) {
		id := ""
		for _, name := range fields {
			if i := used[name]; i < len(f[name]) {
				id = f[name][i]
				used[name]++
				break
			}
		}
		n, _ := strconv.ParseUint(id, 0, 32)
		if n != 0 {
			kind = fmt.Sprintf("%s:%d", kind, n)
		}
		path = append(path, kind)
	}
	chain := strings.Split(f.first("frame.protocols"), ":")
	for i, p := range chain {
		inside := func(outer string) bool { return slices.Contains(chain[i+1:min(i+4, len(chain))], outer) }
		before := chain[max(0, i-1)]
		switch {
		case p == "gre" && !inside("erspan"):
			next("gre", "gre.key")
		case p == "erspan":
			next("erspan", "erspan.spanid")
		case p == "vxlan", p == "geneve":
			next(p, p+".vni")
		case p == "gtp":
			next("gtpu", "gtp.teid")
		case p == "teredo":
			next("teredo")
		case p == "pppoes":
			next("pppoe", "pppoe.session_id")
		case p == "mpls" && before != "mpls":
			path = append(path, "mpls:"+f.last("mpls.label"))
		case p == "ip" && (before == "ip" || before == "ipv6"), p == "ipv6" && before == "ipv6":
			next("ipip")
		case p == "ipv6" && before == "ip":
			next("6in4")
		}
	}
	return strings.Join(path, "/")
}
