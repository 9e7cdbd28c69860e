package dissect

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"net/netip"

	"netaudit/tap/decode"
)

// AppendCommunityID appends the flow's Community ID, version 1 with seed 0 (https://github.com/corelight/community-id-spec), "1:…": the same
// for both directions and for every tool that speaks it.
func (f *Flow) AppendCommunityID(out []byte) []byte {
	if f.community[0] == 0 {
		sum := f.communityHash()
		base64.StdEncoding.Encode(f.community[:], sum[:])
	}
	return append(append(out, "1:"...), f.community[:]...)
}

func (f *Flow) communityHash() [sha1.Size]byte {
	src, dst := f.Src.Addr(), f.Dst.Addr()
	sport, dport := f.Src.Port(), f.Dst.Port()
	ports, oneWay := false, false
	switch f.Proto {
	case decode.ProtoTCP, decode.ProtoUDP, decode.ProtoSCTP:
		ports = true
	case decode.ProtoICMP, decode.ProtoICMPv6:
		ports = true
		kind, code := icmpTypeCode(f)
		sport, dport = communityPorts(f.Proto, kind, code)
		if isEchoReply(f.Proto, sport) { // nothing but answers was captured: they go to the flow's source
			sport, dport = dport, sport
		}
		oneWay = !icmpHasCounterpart(f.Proto, kind)
	}
	order := src.Compare(dst)
	if !oneWay && (order > 0 || order == 0 && sport > dport) {
		src, dst, sport, dport = dst, src, dport, sport
	}
	var space [40]byte
	b := append(space[:0], 0, 0)
	b = appendAddress(b, src)
	b = appendAddress(b, dst)
	b = append(b, f.Proto, 0)
	if ports {
		b = binary.BigEndian.AppendUint16(b, sport)
		b = binary.BigEndian.AppendUint16(b, dport)
	}
	return sha1.Sum(b)
}

func appendAddress(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		four := a.As4()
		return append(b, four[:]...)
	}
	sixteen := a.As16()
	return append(b, sixteen[:]...)
}

func isICMP(proto uint8) bool { return proto == decode.ProtoICMP || proto == decode.ProtoICMPv6 }

// isEchoReply tells the answers that are known as such without what they answer.
func isEchoReply(proto uint8, kind uint16) bool {
	return proto == decode.ProtoICMP && kind == 0 || proto == decode.ProtoICMPv6 && kind == 129
}

// setTypeCode keeps type and code of a message in place of ports.
func (f *Flow) setTypeCode(h *decode.Headers) {
	f.Src, f.Dst = netip.AddrPortFrom(f.Src.Addr(), h.SrcPort), netip.AddrPortFrom(f.Dst.Addr(), h.DstPort)
}

// icmpTypeCode reads them.
func icmpTypeCode(f *Flow) (uint8, uint8) {
	return uint8(f.Src.Port()), uint8(f.Dst.Port())
}

// communityPorts maps ICMP type and code to the pair of "ports" of the specification: a message and its answer get the same
// pair, swapped.
func communityPorts(proto, kind, code uint8) (uint16, uint16) {
	table := icmp4Counterpart
	if proto == decode.ProtoICMPv6 {
		table = icmp6Counterpart
	}
	if other, ok := table[kind]; ok {
		return uint16(kind), uint16(other)
	}
	return uint16(kind), uint16(code)
}

func icmpHasCounterpart(proto, kind uint8) bool {
	table := icmp4Counterpart
	if proto == decode.ProtoICMPv6 {
		table = icmp6Counterpart
	}
	_, ok := table[kind]
	return ok
}

// Message types that have an answer: echo, timestamp, information, router and mask (RFC 792, RFC 950, RFC 1256); for ICMPv6 echo,
// multicast listener, router, neighbour, home agent (RFC 4443, RFC 4861, RFC 6275).
var (
	icmp4Counterpart = map[uint8]uint8{0: 8, 8: 0, 9: 10, 10: 9, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17}
	icmp6Counterpart = map[uint8]uint8{128: 129, 129: 128, 130: 131, 131: 130, 133: 134, 134: 133, 135: 136, 136: 135, 139: 140, 140: 139, 144: 145, 145: 144}
)
