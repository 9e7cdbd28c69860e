package decode

import (
	"encoding/binary"
	"net/netip"
)

// plain reads what nearly all frames are: TCP or UDP right behind IPv4 or IPv6 right behind Ethernet. It knows nothing that walk does not know, and is much faster because it need not be ready for
// anything else. It returns false for every frame in which there is more than that, or less; h is then to be reset.
func (h *Headers) plain(frame []byte) bool {
	const ethernet, ipv4, ipv6 = 14, 20, 40
	if len(frame) < ethernet+ipv4 {
		return false
	}
	head := (*[ethernet + ipv4]byte)(frame) // headers of known length: nothing is to be checked field by field
	switch kind := binary.BigEndian.Uint16(head[12:]); {
	case kind == etherIPv4 && head[14] == 0x45 && binary.BigEndian.Uint16(head[20:])&0x3fff == 0: // no options, no fragment
		h.Src, h.Dst = netip.AddrFrom4([4]byte(head[26:30])), netip.AddrFrom4([4]byte(head[30:34]))
		h.SrcBits, h.DstBits = BitsOf4(head[26:30]), BitsOf4(head[30:34])
		h.TTL, h.Proto, h.EtherType = head[22], head[23], etherIPv4
		return h.plainTransport(frame[ethernet+ipv4:], int(binary.BigEndian.Uint16(head[16:]))-ipv4)
	case kind == etherIPv6 && head[14]>>4 == 6 && len(frame) >= ethernet+ipv6:
		head := (*[ethernet + ipv6]byte)(frame)
		h.Src, h.Dst = netip.AddrFrom16([16]byte(head[22:38])), netip.AddrFrom16([16]byte(head[38:54]))
		h.SrcBits, h.DstBits = BitsOf16(head[22:38]), BitsOf16(head[38:54])
		h.TTL, h.Proto, h.EtherType = head[21], head[20], etherIPv6
		return h.plainTransport(frame[ethernet+ipv6:], int(binary.BigEndian.Uint16(head[18:])))
	default:
		return false
	}
}

// plainTransport reads what is captured behind the IP header; on the wire it has so many bytes. No larger than 0 they are when the sender's kernel had not filled them in yet.
func (h *Headers) plainTransport(b []byte, length int) bool {
	const tcp, udp = 20, 8
	if len(b) > length { // Ethernet pads short frames
		b = b[:max(length, 0)]
	}
	switch {
	case h.Proto == ProtoTCP && len(b) >= tcp:
		head := (*[tcp]byte)(b)
		size := int(head[12]>>4) * 4
		if size < tcp || size > len(b) {
			return false
		}
		h.SrcPort, h.DstPort = binary.BigEndian.Uint16(head[0:]), binary.BigEndian.Uint16(head[2:])
		h.Seq, h.Ack = binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
		h.Flags, h.Window, h.MSS = head[13], binary.BigEndian.Uint16(head[14:]), 0
		if h.Flags&flagSYN != 0 {
			h.MSS = maximumSegmentSize(b[tcp:size])
		}
		h.Payload, h.PayloadLength = b[size:], length-size
	case h.Proto == ProtoUDP && len(b) >= udp:
		head := (*[udp]byte)(b)
		h.SrcPort, h.DstPort = binary.BigEndian.Uint16(head[0:]), binary.BigEndian.Uint16(head[2:])
		if int(binary.BigEndian.Uint16(head[4:])) != length || TunnelPorts(h.SrcPort, h.DstPort) {
			return false
		}
		h.Seq, h.Ack, h.Flags, h.Window, h.MSS = 0, 0, 0, 0, 0
		h.Payload, h.PayloadLength = b[udp:], length-udp
	default:
		return false
	}
	h.VLANCount, h.Tunnel.Count, h.Fragment, h.Piece = 0, 0, false, nil
	return true
}
