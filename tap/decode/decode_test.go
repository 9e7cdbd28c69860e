package decode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"netaudit/tap"
)

// frames returns every frame of the captures with its link type, without those in encapsulations that gopacket does not know: tshark is compared with these.
func frames(t testing.TB) (list [][]byte, links []tap.LinkType) {
	t.Helper()
	paths, err := filepath.Glob("../testdata/captures/*.pcap*")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	for _, path := range paths {
		if base := filepath.Base(path); base == "tunnels.pcap" || base == "links.pcapng" {
			continue
		}
		s, err := tap.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var p tap.Packet
		for {
			err := s.Next(t.Context(), &p)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			list, links = append(list, bytes.Clone(p.Data)), append(links, p.Link)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return list, links
}

// TestHeadersAgreeWithGopacket compares with the library's own layers, field by field.
func TestHeadersAgreeWithGopacket(t *testing.T) {
	list, links := frames(t)
	compared := 0
	for i, frame := range list {
		var h Headers
		if err := Decode(links[i], frame, len(frame), &h); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		theirs := gopacket.NewPacket(frame, layers.LinkType(links[i]), gopacket.Default)
		network, transport := innermost(theirs)
		if network == nil {
			continue
		}
		src, _ := netip.AddrFromSlice(network.NetworkFlow().Src().Raw())
		dst, _ := netip.AddrFromSlice(network.NetworkFlow().Dst().Raw())
		if h.Src != src || h.Dst != dst {
			t.Fatalf("frame %d: %s → %s, gopacket says %s → %s", i, h.Src, h.Dst, src, dst)
		}
		if h.SrcBits != bits(src) || h.DstBits != bits(dst) || BitsOf(src) != bits(src) || BitsOf(dst) != bits(dst) {
			t.Fatalf("frame %d: %x → %x for %s → %s", i, h.SrcBits, h.DstBits, src, dst)
		}
		switch l := transport.(type) {
		case *layers.TCP:
			if h.Proto != 6 || h.SrcPort != uint16(l.SrcPort) || h.DstPort != uint16(l.DstPort) || h.Seq != l.Seq || h.Ack != l.Ack || h.Window != l.Window {
				t.Fatalf("frame %d: %+v, gopacket says %+v", i, h, l)
			}
			if got := h.Flags&2 != 0; got != l.SYN {
				t.Fatalf("frame %d: SYN %v", i, got)
			}
			if !bytes.Equal(h.Payload, l.Payload) {
				t.Fatalf("frame %d: payload of %d bytes, gopacket says %d", i, len(h.Payload), len(l.Payload))
			}
			compared++
		case *layers.UDP:
			if h.Proto != 17 || h.SrcPort != uint16(l.SrcPort) || h.DstPort != uint16(l.DstPort) || !bytes.Equal(h.Payload, l.Payload) {
				t.Fatalf("frame %d: %+v, gopacket says %+v", i, h, l)
			}
			compared++
		}
	}
	if compared < 300 {
		t.Errorf("only %d frames were compared", compared)
	}
}

func bits(a netip.Addr) Bits {
	b := a.As16()
	return Bits{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// innermost returns the last network layer of a packet and what it carries.
func innermost(p gopacket.Packet) (network gopacket.NetworkLayer, transport gopacket.TransportLayer) {
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case gopacket.NetworkLayer:
			network, transport = l, nil
		case gopacket.TransportLayer:
			transport = l
		}
	}
	return network, transport
}

// inner is an IPv4 packet with UDP inside.
func inner(t testing.TB) []gopacket.SerializableLayer {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 9, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{10, 1, 1, 1}, DstIP: net.IP{10, 2, 2, 2}}
	udp := &layers.UDP{SrcPort: 1234, DstPort: 5678}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	return []gopacket.SerializableLayer{ip, udp, gopacket.Payload("hello")}
}

func serialize(t testing.TB, list ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, list...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func ethernet(kind layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: kind}
}

func outer(t testing.TB, proto layers.IPProtocol, port layers.UDPPort) []gopacket.SerializableLayer {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{192, 0, 2, 2}}
	list := []gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip}
	if port != 0 {
		udp := &layers.UDP{SrcPort: 40000, DstPort: port}
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		list = append(list, udp)
	}
	return list
}

// tunnels are frames that carry the same packet in different wrappings.
func tunnels(t testing.TB) map[string][]byte {
	t.Helper()
	with := func(before []gopacket.SerializableLayer, more ...gopacket.SerializableLayer) []byte {
		return serialize(t, append(append(before, more...), inner(t)...)...)
	}
	return map[string][]byte{
		"":       with([]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4)}),
		"vlan":   with([]gopacket.SerializableLayer{ethernet(layers.EthernetTypeQinQ)}, &layers.Dot1Q{VLANIdentifier: 100, Type: layers.EthernetTypeDot1Q}, &layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeIPv4}),
		"mpls":   with([]gopacket.SerializableLayer{ethernet(layers.EthernetTypeMPLSUnicast)}, &layers.MPLS{Label: 77, StackBottom: true, TTL: 9}),
		"gre":    with(outer(t, layers.IPProtocolGRE, 0), &layers.GRE{Protocol: layers.EthernetTypeIPv4, KeyPresent: true, Key: 5}),
		"vxlan":  with(outer(t, layers.IPProtocolUDP, 4789), &layers.VXLAN{ValidIDFlag: true, VNI: 42}, ethernet(layers.EthernetTypeIPv4)),
		"geneve": with(outer(t, layers.IPProtocolUDP, 6081), &layers.Geneve{VNI: 43, Protocol: layers.EthernetTypeTransparentEthernetBridging}, ethernet(layers.EthernetTypeIPv4)),
		"ipip":   with(outer(t, layers.IPProtocolIPv4, 0)),
		"nested": with(append(outer(t, layers.IPProtocolUDP, 4789), &layers.VXLAN{ValidIDFlag: true, VNI: 1}), append(outer(t, layers.IPProtocolUDP, 4789), &layers.VXLAN{ValidIDFlag: true, VNI: 2}, ethernet(layers.EthernetTypeIPv4))...),
	}
}

func TestTunnelsAreTakenOffAndRemembered(t *testing.T) {
	want := map[string][]struct {
		kind TunnelKind
		id   uint32
	}{
		"mpls": {{TunnelMPLS, 77}}, "gre": {{TunnelGRE, 5}}, "vxlan": {{TunnelVXLAN, 42}}, "geneve": {{TunnelGeneve, 43}}, "ipip": {{TunnelIPIP, 0}},
		"nested": {{TunnelVXLAN, 1}, {TunnelVXLAN, 2}},
	}
	for name, frame := range tunnels(t) {
		var h Headers
		if err := Decode(tap.LinkEthernet, frame, len(frame), &h); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if h.Src.String() != "10.1.1.1" || h.Dst.String() != "10.2.2.2" || h.SrcPort != 1234 || h.DstPort != 5678 || string(h.Payload) != "hello" || h.PayloadLength != 5 {
			t.Errorf("%s: %+v", name, h)
		}
		if h.Tunnel.Count != len(want[name]) {
			t.Errorf("%s: %d encapsulations, want %d", name, h.Tunnel.Count, len(want[name]))
		}
		for i, w := range want[name] {
			if l := h.Tunnel.Layers[i]; l.Kind != w.kind || l.ID != w.id {
				t.Errorf("%s: layer %d is %s %d, want %s %d", name, i, l.Kind, l.ID, w.kind, w.id)
			}
		}
		if name == "vlan" && (h.VLANCount != 2 || h.VLANs[0] != 100 || h.VLANs[1] != 7) {
			t.Errorf("VLANs %v", h.VLANs[:h.VLANCount])
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	list, links := frames(t)
	for name, frame := range tunnels(t) {
		_ = name
		list, links = append(list, frame), append(links, tap.LinkEthernet)
	}
	var h Headers
	allocations := testing.AllocsPerRun(20, func() {
		for i, frame := range list {
			_ = Decode(links[i], frame, len(frame), &h)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations for %d frames, want none", allocations, len(list))
	}
}

// TestTunnelThatCannotBeReadStaysVisible: encrypted PPP inside PPTP, a control message of L2TP.
func TestTunnelThatCannotBeReadStaysVisible(t *testing.T) {
	for name, frame := range map[string][]byte{
		"PPTP":             serialize(t, append(outer(t, layers.IPProtocolGRE, 0), gopacket.Payload{0x20, 0x01, 0x88, 0x0b, 0, 4, 0, 36, 0xfd, 1, 2, 3})...),
		"TZSP of wireless": serialize(t, append(outer(t, layers.IPProtocolUDP, 37008), gopacket.Payload{1, 0, 0, 18, 1, 0x80, 0, 0, 0})...),
		"GRE in UDP":       serialize(t, append(outer(t, layers.IPProtocolUDP, 4754), gopacket.Payload{0, 0, 0x88, 0xcc, 1, 2, 3, 4})...),
		"L2TP":             serialize(t, append(outer(t, layers.IPProtocolUDP, 1701), gopacket.Payload{0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0})...),
	} {
		var h Headers
		if err := Decode(tap.LinkEthernet, frame, len(frame), &h); err != nil || h.Src.String() != "192.0.2.1" || h.Tunnel.Count != 0 || h.PayloadLength == 0 {
			t.Errorf("%s: %v, %+v", name, err, h)
		}
	}
}

// TestCutTransportInsideATunnelKeepsTheInnerAddresses: a snap length of 96 bytes ends within the TCP header behind VXLAN.
func TestCutTransportInsideATunnelKeepsTheInnerAddresses(t *testing.T) {
	ip := &layers.IPv4{Version: 4, TTL: 9, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{10, 1, 1, 1}, DstIP: net.IP{10, 2, 2, 2}}
	tcp := &layers.TCP{SrcPort: 1234, DstPort: 443}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	frame := serialize(t, append(outer(t, layers.IPProtocolUDP, 4789), &layers.VXLAN{ValidIDFlag: true, VNI: 42}, ethernet(layers.EthernetTypeIPv4), ip, tcp)...)
	var h Headers
	if err := Decode(tap.LinkEthernet, frame[:96], len(frame), &h); !errors.Is(err, ErrTCPShort) || h.Src.String() != "10.1.1.1" || h.DstPort != 443 || h.Tunnel.Count != 1 {
		t.Errorf("%v, %s → %s port %d", err, h.Src, h.Dst, h.DstPort)
	}
	if err := Decode(tap.LinkEthernet, frame[:80], len(frame), &h); err != nil || h.Src.String() != "192.0.2.1" || h.Tunnel.Count != 0 {
		t.Errorf("without the inner addresses: %v, %s", err, h.Src)
	}
}

// FuzzDecode: no frame makes Decode fail other than by a reason, or point outside the frame.
func FuzzDecode(f *testing.F) {
	for _, frame := range tunnels(f) {
		f.Add(uint16(tap.LinkEthernet), frame)
		f.Add(uint16(tap.LinkRaw), frame[14:])
	}
	for _, w := range linksAndTunnels(f) {
		f.Add(uint16(w.link), w.frame)
	}
	f.Fuzz(func(t *testing.T, link uint16, frame []byte) {
		var h Headers
		err := Decode(tap.LinkType(link), frame, len(frame), &h)
		var reason *Reason
		if err != nil && !errors.As(err, &reason) {
			t.Errorf("error %v is no *Reason", err)
		}
		if len(h.Payload) > len(frame) || h.PayloadLength < 0 || h.VLANCount > len(h.VLANs) || h.Tunnel.Count > len(h.Tunnel.Layers) {
			t.Errorf("headers out of bounds: %+v", h)
		}
	})
}

// BenchmarkDecode stands beside gopacket's own allocation-free parser on the same frames.
func BenchmarkDecode(b *testing.B) {
	list, links := frames(b)
	b.Run("netaudit", func(b *testing.B) {
		b.ReportAllocs()
		var h Headers
		for b.Loop() {
			for i, frame := range list {
				_ = Decode(links[i], frame, len(frame), &h)
			}
		}
	})
	b.Run("DecodingLayerParser", func(b *testing.B) {
		b.ReportAllocs()
		var eth layers.Ethernet
		var ip4 layers.IPv4
		var ip6 layers.IPv6
		var tcp layers.TCP
		var udp layers.UDP
		var payload gopacket.Payload
		parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &ip4, &ip6, &tcp, &udp, &payload)
		decoded := []gopacket.LayerType{}
		for b.Loop() {
			for _, frame := range list {
				_ = parser.DecodeLayers(frame, &decoded)
			}
		}
	})
}

// inner6 is an IPv6 packet with UDP inside.
func inner6(t testing.TB) []byte {
	t.Helper()
	ip := &layers.IPv6{Version: 6, HopLimit: 9, NextHeader: layers.IPProtocolUDP, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2")}
	udp := &layers.UDP{SrcPort: 1234, DstPort: 5678}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	return serialize(t, ip, udp, gopacket.Payload("hello"))
}

// crafted makes headers that gopacket cannot write, by hand, as their specifications draw them.
type crafted struct {
	four, framed []byte // an IPv4 packet, and the same in Ethernet
	ether        func(kind uint16, parts ...[]byte) []byte
	over         func(proto layers.IPProtocol, port layers.UDPPort, parts ...[]byte) []byte
}

func craft(t testing.TB) (c crafted) {
	t.Helper()
	c.four = serialize(t, inner(t)...)
	c.framed = serialize(t, append([]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4)}, inner(t)...)...)
	c.ether = func(kind uint16, parts ...[]byte) []byte {
		return slices.Concat(make([]byte, 12), []byte{byte(kind >> 8), byte(kind)}, slices.Concat(parts...))
	}
	c.over = func(proto layers.IPProtocol, port layers.UDPPort, parts ...[]byte) []byte {
		return serialize(t, append(outer(t, proto, port), gopacket.Payload(slices.Concat(parts...)))...)
	}
	return c
}

// wrapped is the packet of inner or inner6 in a link or a tunnel, and what is to be read of that.
type wrapped struct {
	name  string
	link  tap.LinkType
	frame []byte
	kind  TunnelKind
	id    uint32
	v6    bool
}

// linksAndTunnels has one packet of each kind.
func linksAndTunnels(t testing.TB) []wrapped {
	t.Helper()
	c := craft(t)
	four, framed, ether, over := c.four, c.framed, c.ether, c.over
	snap := []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}
	return []wrapped{
		{"SLL", tap.LinkLinuxSLL, slices.Concat(make([]byte, 14), []byte{8, 0}, four), 0, 0, false},
		{"SLL2", tap.LinkLinuxSLL2, slices.Concat([]byte{8, 0}, make([]byte, 18), four), 0, 0, false},
		{"raw", tap.LinkRaw, four, 0, 0, false},
		{"null", tap.LinkNull, slices.Concat([]byte{2, 0, 0, 0}, four), 0, 0, false},
		{"loop", tap.LinkLoop, slices.Concat([]byte{0, 0, 0, 2}, four), 0, 0, false},
		{"PPP", tap.LinkPPP, slices.Concat([]byte{0xff, 0x03, 0x00, 0x21}, four), 0, 0, false},
		{"PPP, serial", tap.LinkPPPSerial, slices.Concat([]byte{0xff, 0x03, 0x00, 0x21}, four), 0, 0, false},
		{"PPP over Ethernet alone", tap.LinkPPPEther, slices.Concat([]byte{0x11, 0, 0, 9, 0, byte(len(four) + 2), 0x00, 0x21}, four), TunnelPPPoE, 9, false},
		{"Cisco HDLC", tap.LinkCHDLC, slices.Concat([]byte{0x0f, 0, 8, 0}, four), 0, 0, false},
		{"SNAP (RFC 1042)", tap.LinkEthernet, ether(uint16(len(four)+8), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, four), 0, 0, false},
		{"VLAN in SNAP", tap.LinkEthernet, ether(uint16(len(four)+12), []byte{0xaa, 0xaa, 3, 0, 0, 0, 0x81, 0, 0, 9, 8, 0}, four), 0, 0, false},
		{"MACsec that only signs", tap.LinkEthernet, ether(0x88e5, []byte{0x20, byte(len(four)), 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 0, 1, 8, 0}, four, make([]byte, 16)), 0, 0, false},
		{"MACsec without its channel", tap.LinkEthernet, ether(0x88e5, []byte{0, byte(len(four)), 0, 0, 0, 1, 8, 0}, four, make([]byte, 16)), 0, 0, false},
		{"Cisco metadata", tap.LinkEthernet, ether(0x8909, []byte{1, 1, 0, 1, 0, 5, 8, 0}, four), 0, 0, false},
		{"MPLS in PPP", tap.LinkPPP, slices.Concat([]byte{0xff, 0x03, 0x02, 0x81, 0, 2, 0x61, 9}, four), TunnelMPLS, 38, false},
		{"PPP in GRE", tap.LinkEthernet, over(layers.IPProtocolGRE, 0, []byte{0, 0, 0x88, 0x0b, 0, 0x21}, four), TunnelGRE, 0, false},
		{"GRE with source routes (RFC 1701)", tap.LinkEthernet, over(layers.IPProtocolGRE, 0, []byte{0x40, 0, 8, 0, 0, 0, 0, 0, 8, 0, 0, 4, 192, 0, 2, 9, 0, 0, 0, 0}, four), TunnelGRE, 0, false},
		{"GRE in UDP (RFC 8086)", tap.LinkEthernet, over(layers.IPProtocolUDP, 4754, []byte{0x20, 0, 0x65, 0x58, 0, 0, 0, 41}, framed), TunnelGRE, 41, false},
		{"LISP (RFC 9300)", tap.LinkEthernet, over(layers.IPProtocolUDP, 4341, []byte{0x88, 1, 2, 3, 0, 0, 42, 1}, four), TunnelLISP, 42, false},
		{"TZSP", tap.LinkEthernet, over(layers.IPProtocolUDP, 37008, []byte{1, 0, 0, 1, 0, 10, 1, 0xd0, 1}, framed), TunnelTZSP, 0, false},
		{"PPTP (RFC 2637)", tap.LinkEthernet, over(layers.IPProtocolGRE, 0, []byte{0x30, 0x81, 0x88, 0x0b, 0, byte(len(four) + 1), 0, 36, 0, 0, 0, 1, 0, 0, 0, 2, 0x21}, four), TunnelPPTP, 36, false},
		{"L2TP (RFC 2661)", tap.LinkEthernet, over(layers.IPProtocolUDP, 1701, []byte{0x4a, 2, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 2, 0, 0, 0xff, 3, 0, 0x21}, four), TunnelL2TP, 1<<16 | 2, false},
		{"VXLAN-GPE", tap.LinkEthernet, over(layers.IPProtocolUDP, 4790, []byte{0x0c, 0, 0, 1, 0, 0, 37, 0}, four), TunnelVXLAN, 37, false},
		{"MPLS over UDP (RFC 7510)", tap.LinkEthernet, over(layers.IPProtocolUDP, 6635, []byte{0, 2, 0x61, 9}, four), TunnelMPLS, 38, false},
		{"PPPoE (RFC 2516)", tap.LinkEthernet, ether(0x8864, []byte{0x11, 0, 0, 9, 0, byte(len(four) + 2), 0x00, 0x21}, four), TunnelPPPoE, 9, false},
		{"ERSPAN I", tap.LinkEthernet, over(layers.IPProtocolGRE, 0, []byte{0, 0, 0x88, 0xbe}, framed), TunnelERSPAN, 0, false},
		{"ERSPAN II", tap.LinkEthernet, over(layers.IPProtocolGRE, 0, []byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 33, 0, 0, 0, 0}, framed), TunnelERSPAN, 33, false},
		{"ERSPAN III", tap.LinkEthernet, over(layers.IPProtocolGRE, 0, []byte{0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 34, 0, 0, 0, 0, 0, 0, 0, 0}, framed), TunnelERSPAN, 34, false},
		{"ERSPAN III without Ethernet", tap.LinkEthernet, over(layers.IPProtocolGRE, 0, []byte{0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 34, 0, 0, 0, 0, 0, 0, 2 << 2, 1, 9, 9, 9, 9, 9, 9, 9, 9}, four), TunnelERSPAN, 34, false},
		{"WCCP 2 in GRE", tap.LinkEthernet, over(layers.IPProtocolGRE, 0, []byte{0, 0, 0x88, 0x3e, 0, 1, 0, 0}, four), TunnelGRE, 0, false},
		{"VLAN in GRE", tap.LinkEthernet, over(layers.IPProtocolGRE, 0, []byte{0, 0, 0x81, 0, 0, 7, 8, 0}, four), TunnelGRE, 0, false},
		{"NSH (RFC 8300)", tap.LinkEthernet, ether(0x894f, []byte{0x0f, 0xc2, 2, 3, 0, 0, 39, 255}, framed), TunnelNSH, 39, false},
		{"NSH in VXLAN-GPE", tap.LinkEthernet, over(layers.IPProtocolUDP, 4790, []byte{0x0c, 0, 0, 4, 0, 0, 37, 0, 0x0f, 0xc2, 2, 1, 0, 0, 39, 255}, four), TunnelVXLAN, 37, false},
		{"provider backbone (802.1ah)", tap.LinkEthernet, ether(0x88e7, []byte{0x10, 0, 0, 40}, framed), TunnelPBB, 40, false},
		{"VN-Tag", tap.LinkEthernet, ether(0x8926, []byte{0, 0, 0, 1, 8, 0}, four), 0, 0, false},
		{"E-Tag (802.1BR)", tap.LinkEthernet, ether(0x893f, []byte{0, 0, 0, 1, 0, 0, 0x81, 0, 0, 9, 8, 0}, four), 0, 0, false},
		{"EtherIP (RFC 3378)", tap.LinkEthernet, over(97, 0, []byte{0x30, 0}, framed), TunnelEtherIP, 0, false},
		{"AH (RFC 4302)", tap.LinkEthernet, over(51, 0, []byte{17, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, four[20:]), 0, 0, false},
		{"MPLS alone", tap.LinkMPLS, slices.Concat([]byte{0, 2, 0x61, 9}, four), TunnelMPLS, 38, false},
		{"PPP with direction", tap.LinkPPPDirection, slices.Concat([]byte{1, 0xff, 0x03, 0x00, 0x21}, four), 0, 0, false},
		{"enc(4)", tap.LinkENC, slices.Concat([]byte{2, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0}, four), 0, 0, false},
		{"pflog(4)", tap.LinkPFLOG, slices.Concat([]byte{61, 2, 0, 0}, make([]byte, 60), four), 0, 0, false},
		{"netANALYZER", tap.LinkNetANALYZER, slices.Concat([]byte{0, 0x04, 0, 0}, framed), 0, 0, false},
		{"PKTAP", tap.LinkPKTAP, slices.Concat([]byte{16, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 'e', 'n', '0', 0}, framed), 0, 0, false},
		{"netfilter log", tap.LinkNFLOG, slices.Concat([]byte{2, 0, 0, 0, 8, 0, 1, 0, 8, 0, 1, 0, 5, 0, 10, 0, 0, 9, 9, 9, byte(4 + len(four)), 0, 9, 0}, four), 0, 0, false},
		{"802.11", tap.LinkWiFi, slices.Concat([]byte{8, 1}, make([]byte, 22), snap, four), 0, 0, false},
		{"802.11 between access points, with QoS and control", tap.LinkWiFi, slices.Concat([]byte{0x88, 0x83}, make([]byte, 34), snap, four), 0, 0, false},
		{"802.11 with several packets in one frame", tap.LinkWiFi, slices.Concat([]byte{0x88, 1}, make([]byte, 22), []byte{0x80, 0}, make([]byte, 12), []byte{0, byte(8 + len(four))}, snap, four, []byte{0, 0}, make([]byte, 14), snap), 0, 0, false},
		{"radiotap", tap.LinkRadiotap, slices.Concat([]byte{0, 0, 9, 0, 2, 0, 0, 0, 0, 8, 1}, make([]byte, 22), snap, four), 0, 0, false},
		{"radiotap, padded", tap.LinkRadiotap, slices.Concat([]byte{0, 0, 25, 0, 3, 0, 0, 0}, make([]byte, 8), []byte{0x20}, make([]byte, 8), []byte{0x88, 1}, make([]byte, 26), snap, four), 0, 0, false},
		{"Prism", tap.LinkPrism, slices.Concat(make([]byte, 144), []byte{8, 1}, make([]byte, 22), snap, four), 0, 0, false},
		{"AVS", tap.LinkAVS, slices.Concat([]byte{0x80, 0x21, 0x10, 2, 0, 0, 0, 10, 0, 0, 8, 1}, make([]byte, 22), snap, four), 0, 0, false},
		{"PPI", tap.LinkPPI, slices.Concat([]byte{0, 0, 9, 0, 1, 0, 0, 0, 0}, framed), 0, 0, false},
		{"FDDI", tap.LinkFDDI, slices.Concat(make([]byte, 13), snap, four), 0, 0, false},
		{"Token Ring with a route", tap.LinkTokenRing, slices.Concat([]byte{0x10, 0x40}, make([]byte, 6), []byte{0x80, 0, 0, 0, 0, 0, 4, 0, 0, 0}, snap, four), 0, 0, false},
		{"ATM (RFC 2684)", tap.LinkATM, slices.Concat(snap, four), 0, 0, false},
		{"Frame Relay (RFC 2427)", tap.LinkFrameRelay, slices.Concat([]byte{0x18, 0x41, 3, 0xcc}, four), 0, 0, false},
		{"Frame Relay with SNAP", tap.LinkFrameRelay, slices.Concat([]byte{0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 0}, four), 0, 0, false},
		{"LLC without SNAP", tap.LinkEthernet, ether(uint16(len(four)+3), []byte{6, 6, 3}, four), 0, 0, false},
		{"FabricPath", tap.LinkEthernet, ether(0x8903, []byte{0, 0x4a}, framed), 0, 0, false},
		{"TRILL with options (RFC 6325)", tap.LinkEthernet, ether(0x22f3, []byte{0, 0x41, 0, 1, 0, 2, 9, 9, 9, 9}, framed), 0, 0, false},
		{"HSR (IEC 62439-3)", tap.LinkEthernet, ether(0x892f, []byte{0, 50, 0, 1, 8, 0}, four), 0, 0, false},
		{"MPLS with a frame, without control word", tap.LinkEthernet, ether(0x8847, []byte{0, 2, 0x61, 9, 0x00, 0x1b, 0x21, 1, 2, 3}, framed[6:]), TunnelMPLS, 38, false},
		{"MPLS with a frame, with control word", tap.LinkEthernet, ether(0x8847, []byte{0, 2, 0x61, 9, 0, 0, 0, 0, 0x00, 0x1b, 0x21, 1, 2, 3}, framed[6:]), TunnelMPLS, 38, false},
		{"AYIYA", tap.LinkEthernet, over(layers.IPProtocolUDP, 5072, []byte{0x41, 0x52, 0x11, 41, 0, 0, 0, 1}, make([]byte, 36), inner6(t)), TunnelAYIYA, 0, true},
		{"6in4 (RFC 4213)", tap.LinkEthernet, over(layers.IPProtocolIPv6, 0, inner6(t)), Tunnel6in4, 0, true},
		{"GTP-U", tap.LinkEthernet, over(layers.IPProtocolUDP, 2152, []byte{0x30, 255, 0, byte(len(four)), 0, 0, 0, 35}, four), TunnelGTPU, 35, false},
		{"Teredo (RFC 4380)", tap.LinkEthernet, over(layers.IPProtocolUDP, 3544, []byte{0, 0, 1, 2, 3, 4, 5, 6}, inner6(t)), TunnelTeredo, 0, true},
	}
}

func TestRemainingLinksAndTunnelsAreTakenOff(t *testing.T) {
	made := craft(t)
	four, framed, over := made.four, made.framed, made.over
	for _, c := range linksAndTunnels(t) {
		var h Headers
		if err := Decode(c.link, c.frame, len(c.frame), &h); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if h.SrcPort != 1234 || h.DstPort != 5678 || string(h.Payload) != "hello" || h.Src.Is6() != c.v6 {
			t.Errorf("%s: %s port %d → %s port %d with %q", c.name, h.Src, h.SrcPort, h.Dst, h.DstPort, h.Payload)
		}
		got := TunnelLayer{}
		if h.Tunnel.Count > 0 {
			got = h.Tunnel.Layers[0]
		}
		if got.Kind != c.kind || got.ID != c.id {
			t.Errorf("%s: tunnel %s %d, want %s %d", c.name, got.Kind, got.ID, c.kind, c.id)
		}
	}
	tagged := slices.Concat(framed[:12], []byte{0x81, 0, 0, 7}, framed[12:])
	second, third := []byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1}, []byte{0x10, 0, 0x22, 0xeb, 0, 0, 0, 1}
	for name, c := range map[string]struct {
		frame []byte
		want  []uint16
	}{
		"II, tag taken off":                   {over(layers.IPProtocolGRE, 0, second, []byte{0x10, 5, 2 << 3, 33, 0, 0, 0, 0}, framed), []uint16{5}},
		"II, tag left":                        {over(layers.IPProtocolGRE, 0, second, []byte{0x10, 7, 3 << 3, 33, 0, 0, 0, 0}, tagged), []uint16{7}},
		"II, never tagged":                    {over(layers.IPProtocolGRE, 0, second, []byte{0x10, 5, 0, 33, 0, 0, 0, 0}, framed), nil},
		"III, tag taken off":                  {over(layers.IPProtocolGRE, 0, third, []byte{0x20, 5, 0, 33, 0, 0, 0, 0, 0, 0, 0, 0}, framed), []uint16{5}},
		"III, tag left":                       {over(layers.IPProtocolGRE, 0, third, []byte{0x20, 7, 0, 33, 0, 0, 0, 0, 0, 0, 0, 0}, tagged), []uint16{7}},
		"III without Ethernet, without a tag": {over(layers.IPProtocolGRE, 0, third, []byte{0x20, 0, 0, 34, 0, 0, 0, 0, 0, 0, 2 << 2, 0}, four), nil},
	} {
		var h Headers
		if err := Decode(tap.LinkEthernet, c.frame, len(c.frame), &h); err != nil || !slices.Equal(h.VLANs[:h.VLANCount], c.want) {
			t.Errorf("ERSPAN %s: VLANs %v, error %v; want %v", name, h.VLANs[:h.VLANCount], err, c.want)
		}
	}
}
