// Package decode walks a captured frame from the link layer to the transport payload, through VLAN tags and tunnels.
// It copies nothing and allocates nothing: Headers points into the frame.
//
// gopacket's DecodingLayerParser does not serve here: it takes three times as long on the same frames (BenchmarkDecode), fails on
// layers it was not given, and cannot say which encapsulations it passed. Its layers are the oracle of the tests instead.
package decode

import (
	"encoding/binary"
	"net/netip"
)

// Headers is what one frame says about itself: the innermost IP packet and its transport header.
// The caller owns it and reuses it from frame to frame; slices point into the frame given to Decode.
type Headers struct {
	Src, Dst         netip.Addr // innermost IP addresses; IPv4 as 4-byte addresses
	SrcPort, DstPort uint16     // TCP, UDP, SCTP, UDP-Lite; for ICMP: type and code
	SrcBits, DstBits Bits       // the same addresses
	Proto            uint8      // IP protocol number of the innermost packet (IANA), 0 when the frame holds no IP
	TTL              uint8      // hop limit of the innermost IP packet
	EtherType        uint16     // what followed the link header and VLAN tags

	// TCP only.
	Seq, Ack uint32
	Flags    uint8 // FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128
	Window   uint16
	MSS      uint16 // from the SYN's options, 0 when absent

	Payload       []byte // transport payload as captured
	PayloadLength int    // transport payload on the wire; larger than len(Payload) when the frame was cut
	VLANs         [4]uint16
	VLANCount     int    // how many of VLANs are set, outermost first
	Tunnel        Tunnel // encapsulations that were stripped, outermost first
	Fragment      bool   // the packet is an IP fragment; ports are 0 unless it is the first

	// Fragments only: what is needed to put the datagram together, see Whole.
	FragmentID     uint32
	FragmentOffset int    // of Piece in the datagram's payload, in bytes
	FragmentMore   bool   // others follow
	FragmentNext   uint8  // protocol of the datagram's payload
	Piece          []byte // the fragment's payload as captured
	PieceLength    int    // … on the wire

	walk walk
}

// Bits is an IP address as 128 bits in two halves, IPv4 mapped into IPv6 (RFC 4291 §2.5.5.2): what tables are keyed by. Taking them out of a netip.Addr costs more than reading
// them from the frame.
type Bits struct{ High, Low uint64 }

// mapped is what IPv4 addresses have above their own bits in Bits.Low.
const mapped = 0xffff << 32

// BitsOf returns the bits of an address.
func BitsOf(a netip.Addr) Bits {
	if a.Is4() {
		b := a.As4()
		return Bits{Low: mapped | uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return Bits{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// Tunnel lists the encapsulations around the innermost packet, outermost first, at most len(Layers).
type Tunnel struct {
	Layers [4]TunnelLayer
	Count  int
}

// TunnelLayer is one encapsulation: what kind, between whom, with which identifier (VNI, GRE key, TEID, session).
type TunnelLayer struct {
	Kind     TunnelKind
	Src, Dst netip.Addr
	ID       uint32
}

// TunnelKind names an encapsulation.
type TunnelKind uint8

// The encapsulations that Decode strips.
const (
	TunnelNone TunnelKind = iota
	TunnelGRE
	TunnelERSPAN
	TunnelVXLAN
	TunnelGeneve
	TunnelIPIP
	Tunnel6in4
	TunnelGTPU
	TunnelTeredo
	TunnelMPLS
	TunnelPPPoE
	TunnelPPTP
	TunnelL2TP
	TunnelEtherIP
	TunnelNSH
	TunnelPBB
	TunnelLISP
	TunnelTZSP
	TunnelAYIYA
)

// BitsOf4 reads the bits of an IPv4 address that b begins with.
func BitsOf4(b []byte) Bits { return Bits{Low: mapped | uint64(binary.BigEndian.Uint32(b))} }

// BitsOf16 reads the bits of an IPv6 address that b begins with.
func BitsOf16(b []byte) Bits {
	return Bits{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}
