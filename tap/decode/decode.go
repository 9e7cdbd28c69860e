package decode

import (
	"encoding/binary"
	"net/netip"

	"netaudit/tap"
)

// Reason says at which layer a frame stopped making sense, and why. Reasons are package-level values, so that they can be
// counted without an allocation.
type Reason struct{ Layer, Text string }

// Error implements error.
func (r *Reason) Error() string { return r.Layer + ": " + r.Text }

// Why a frame could not be decoded. ErrNoIP is not damage: ARP, LLDP and the like.
var (
	ErrNoIP       = &Reason{"link", "no IP packet"}
	ErrLinkType   = &Reason{"link", "link type not known"}
	ErrLinkShort  = &Reason{"link", "header cut short"}
	ErrEncrypted  = &Reason{"link", "encrypted"}
	ErrVLANShort  = &Reason{"vlan", "tag cut short"}
	ErrMPLSShort  = &Reason{"mpls", "label stack cut short"}
	ErrPPPShort   = &Reason{"ppp", "header cut short"}
	ErrIPShort    = &Reason{"ip", "header cut short"}
	ErrIPVersion  = &Reason{"ip", "version is neither 4 nor 6"}
	ErrIPLength   = &Reason{"ip", "length smaller than its header"}
	ErrIPChain    = &Reason{"ip", "too many extension headers"}
	ErrTCPShort   = &Reason{"tcp", "header cut short"}
	ErrUDPShort   = &Reason{"udp", "header cut short"}
	ErrICMPShort  = &Reason{"icmp", "header cut short"}
	ErrTunnelDeep = &Reason{"tunnel", "nested too deep"}
	ErrTunnel     = &Reason{"tunnel", "header cut short"}
)

// IP protocol numbers (IANA).
const (
	ProtoICMP    = 1
	ProtoIPIP    = 4
	ProtoTCP     = 6
	ProtoUDP     = 17
	ProtoIPv6    = 41
	ProtoGRE     = 47
	ProtoICMPv6  = 58
	ProtoAH      = 51
	ProtoEtherIP = 97
	ProtoSCTP    = 132
	ProtoUDPLite = 136
)

const (
	etherIPv4     = 0x0800
	etherIPv6     = 0x86dd
	etherVLAN     = 0x8100
	etherQinQ     = 0x88a8
	etherQinQOld  = 0x9100
	etherMPLS     = 0x8847
	etherMPLSMC   = 0x8848
	etherPPPoE    = 0x8864
	etherPPP      = 0x880b // in the enhanced GRE of PPTP
	etherBridge   = 0x6558 // transparent Ethernet bridging, in GRE and Geneve
	etherERSPAN   = 0x88be
	etherERSPAN3  = 0x22eb
	etherWCCP     = 0x883e // in GRE
	etherVNTag    = 0x8926 // Cisco's ports of virtual machines
	etherETag     = 0x893f // IEEE 802.1BR
	etherPBB      = 0x88e7 // IEEE 802.1ah: a frame in a provider's frame
	etherNSH      = 0x894f
	etherMACsec   = 0x88e5
	etherCMD      = 0x8909 // Cisco's metadata: the group that a switch has put the sender into
	etherFabric   = 0x8903 // Cisco's FabricPath: a frame in a frame between switches
	etherTRILL    = 0x22f3 // RFC 6325: the same
	etherHSR      = 0x892f // IEC 62439-3: rings that send every frame both ways round
	etherMinimum  = 0x0600 // smaller values are IEEE 802.3 lengths
	mostVLANTags  = 8
	mostExtension = 16
)

// walk is the state of one Decode. It lies in Headers: layers call each other, which would move it from the stack to the heap.
type walk struct {
	h    *Headers
	rest []byte // what is left of the frame
	cut  int    // bytes of the frame that were not captured
	into bool   // also into the tunnel of which only the first fragment is there
}

// Decode reads a frame of the given link type into h. wireLength is the frame's length on the wire in bytes, larger than len(frame) when
// it was cut. It returns a *Reason; h then holds what was understood before. It allocates nothing and keeps nothing. At a fragment it ends: what
// the datagram holds, tunnels too, is told by Whole.
func Decode(link tap.LinkType, frame []byte, wireLength int, h *Headers) error {
	return decode(link, frame, wireLength, h, false)
}

// First is Decode for the first fragment of a datagram whose others never came: it goes on as far as the fragment does.
func First(link tap.LinkType, frame []byte, wireLength int, h *Headers) error {
	return decode(link, frame, wireLength, h, true)
}

func decode(link tap.LinkType, frame []byte, wireLength int, h *Headers, into bool) error {
	if link == tap.LinkEthernet && h.plain(frame) {
		return nil
	}
	h.reset()
	w := &h.walk
	*w = walk{h: h, rest: frame, cut: max(0, wireLength-len(frame)), into: into}
	err := w.link(link)
	*w = walk{}
	return err
}

// Whole goes on with the payload of a datagram that was put together out of fragments. h is that of its last fragment to arrive: addresses,
// VLANs and tunnels stay.
func Whole(payload []byte, h *Headers) error {
	h.Fragment, h.Piece = false, nil
	h.Payload, h.PayloadLength = nil, 0
	w := &h.walk
	*w = walk{h: h, rest: payload}
	var err error
	if h.EtherType == etherIPv6 {
		err = w.extensions(h.FragmentNext)
	} else {
		h.Proto = h.FragmentNext
		err = w.transport(h.Proto)
	}
	*w = walk{}
	return err
}

// reset clears what a frame may leave unset. Addresses and arrays are overwritten or guarded by their counts.
func (h *Headers) reset() {
	h.Src, h.Dst = netip.Addr{}, netip.Addr{}
	h.SrcPort, h.DstPort, h.Proto, h.TTL, h.EtherType = 0, 0, 0, 0, 0
	h.Seq, h.Ack, h.Flags, h.Window, h.MSS = 0, 0, 0, 0, 0
	h.Payload, h.PayloadLength = nil, 0
	h.VLANCount, h.Tunnel.Count, h.Fragment, h.Piece = 0, 0, false, nil
}

func (w *walk) link(link tap.LinkType) error {
	b := w.rest
	switch link {
	case tap.LinkEthernet:
		return w.ethernet()
	case tap.LinkLinuxSLL: // https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html
		if len(b) < 16 {
			return ErrLinkShort
		}
		w.rest = b[16:]
		return w.ether(binary.BigEndian.Uint16(b[14:]))
	case tap.LinkLinuxSLL2:
		if len(b) < 20 {
			return ErrLinkShort
		}
		w.rest = b[20:]
		return w.ether(binary.BigEndian.Uint16(b))
	case tap.LinkRaw, tap.LinkIPv4, tap.LinkIPv6, 12, 14:
		return w.ip()
	case tap.LinkNull, tap.LinkLoop:
		if len(b) < 4 {
			return ErrLinkShort
		}
		w.rest = b[4:]
		return w.ip() // the version nibble says more than the address family, whose values differ between systems
	case tap.LinkMPLS:
		return w.mpls()
	case tap.LinkNFLOG:
		return w.nflog()
	case tap.LinkPPPDirection:
		return w.behind(1, tap.LinkPPP)
	case tap.LinkENC: // address family, SPI, flags
		return w.behind(12, tap.LinkRaw)
	case tap.LinkNetANALYZER:
		return w.behind(4, tap.LinkEthernet)
	case tap.LinkPFLOG: // the first byte is the header's length, without padding
		if len(b) < 1 {
			return ErrLinkShort
		}
		return w.behind((int(b[0])+3)&^3, tap.LinkRaw)
	case tap.LinkPKTAP:
		return w.pktap()
	case tap.LinkWiFi:
		return w.wifi(false)
	case tap.LinkRadiotap:
		return w.radiotap()
	case tap.LinkPrism, tap.LinkAVS:
		return w.prism()
	case tap.LinkPPI:
		return w.ppi()
	case tap.LinkTokenRing:
		return w.tokenRing()
	case tap.LinkFDDI: // what kind of frame, both addresses
		if len(b) < 13 {
			return ErrLinkShort
		}
		w.rest = b[13:]
		return w.llc()
	case tap.LinkATM:
		return w.llc()
	case tap.LinkFrameRelay:
		return w.frameRelay()
	case tap.LinkCHDLC: // address, control, EtherType
		if len(b) < 4 {
			return ErrLinkShort
		}
		w.rest = b[4:]
		return w.ether(binary.BigEndian.Uint16(b[2:]))
	case tap.LinkPPPEther:
		return w.ether(etherPPPoE)
	case tap.LinkPPP, tap.LinkPPPSerial:
		if len(b) >= 2 && b[0] == 0xff && b[1] == 0x03 {
			w.rest = b[2:]
		}
		return w.ppp()
	default:
		return ErrLinkType
	}
}

// behind goes on after a header of n bytes.
func (w *walk) behind(n int, link tap.LinkType) error {
	if len(w.rest) < n {
		return ErrLinkShort
	}
	w.rest = w.rest[n:]
	return w.link(link)
}

// pktap reads the header that macOS puts before frames (bsd/net/pktap.h): its length, and which link type follows.
func (w *walk) pktap() error {
	const least = 12
	if len(w.rest) < least {
		return ErrLinkShort
	}
	n, kind := binary.LittleEndian.Uint32(w.rest), tap.LinkType(binary.LittleEndian.Uint32(w.rest[8:]))
	if n < least || n > uint32(len(w.rest)) {
		return ErrLinkShort
	}
	if kind == tap.LinkPKTAP {
		return ErrLinkType
	}
	return w.behind(int(n), kind)
}

func (w *walk) ethernet() error {
	if len(w.rest) < 14 {
		return ErrLinkShort
	}
	kind := binary.BigEndian.Uint16(w.rest[12:])
	w.rest = w.rest[14:]
	return w.ether(kind)
}

// ether follows an EtherType, through VLAN tags.
func (w *walk) ether(kind uint16) error {
	for range mostVLANTags {
		w.h.EtherType = kind
		switch kind {
		case etherIPv4, etherIPv6:
			return w.ip()
		case etherVLAN, etherQinQ, etherQinQOld:
			if len(w.rest) < 4 {
				return ErrVLANShort
			}
			if w.h.VLANCount < len(w.h.VLANs) {
				w.h.VLANs[w.h.VLANCount] = binary.BigEndian.Uint16(w.rest) & 0x0fff
				w.h.VLANCount++
			}
			kind = binary.BigEndian.Uint16(w.rest[2:])
			w.rest = w.rest[4:]
		case etherMPLS, etherMPLSMC:
			return w.mpls()
		case etherFabric:
			return w.behindTag(2)
		case etherTRILL:
			if len(w.rest) < 2 {
				return ErrVLANShort
			}
			return w.behindTag(6 + int(binary.BigEndian.Uint16(w.rest)>>6&0x1f)*4)
		case etherVNTag, etherETag, etherHSR:
			n := 6 // the tag and the next EtherType
			if kind == etherETag {
				n = 8
			}
			if len(w.rest) < n {
				return ErrVLANShort
			}
			kind, w.rest = binary.BigEndian.Uint16(w.rest[n-2:]), w.rest[n:]
		case etherMACsec, etherCMD:
			n := 8 // the metadata and the next EtherType
			if kind == etherMACsec {
				if n = w.macsec(); n == 0 {
					return ErrNoIP
				}
			}
			if len(w.rest) < n {
				return ErrVLANShort
			}
			kind, w.rest = binary.BigEndian.Uint16(w.rest[n-2:]), w.rest[n:]
		case etherPBB:
			return w.pbb()
		case etherNSH:
			return w.nsh()
		case etherWCCP:
			return w.ip()
		case etherPPPoE:
			if len(w.rest) < 6 {
				return ErrPPPShort
			}
			session := uint32(binary.BigEndian.Uint16(w.rest[2:]))
			if err := w.tunnel(TunnelPPPoE, netip.Addr{}, netip.Addr{}, session); err != nil {
				return err
			}
			w.rest = w.rest[6:]
			return w.ppp()
		default:
			if kind >= etherMinimum {
				return ErrNoIP
			}
			if kind = w.snap(); kind == 0 {
				return ErrNoIP
			}
		}
	}
	return ErrNoIP
}

// behindTag goes on with the frame that a tag of n bytes was put before.
func (w *walk) behindTag(n int) error {
	if len(w.rest) < n {
		return ErrVLANShort
	}
	w.rest = w.rest[n:]
	return w.ethernet()
}

// pbb strips the frame of a provider's backbone (IEEE 802.1ah): a tag with the service's number, then the customer's frame.
func (w *walk) pbb() error {
	if len(w.rest) < 4 {
		return ErrVLANShort
	}
	if err := w.tunnel(TunnelPBB, netip.Addr{}, netip.Addr{}, binary.BigEndian.Uint32(w.rest)&0xffffff); err != nil {
		return err
	}
	w.rest = w.rest[4:]
	return w.ethernet()
}

// nflog reads what Linux's netfilter hands out (https://www.tcpdump.org/linktypes/LINKTYPE_NFLOG.html): attributes in host byte order, of which one is the packet.
func (w *walk) nflog() error {
	const payload, header = 9, 4
	if len(w.rest) < header {
		return ErrLinkShort
	}
	for rest := w.rest[header:]; len(rest) >= header; {
		n, kind := int(binary.LittleEndian.Uint16(rest)), binary.LittleEndian.Uint16(rest[2:])&0x7fff
		if n < header {
			return ErrLinkShort
		}
		if kind == payload {
			w.rest = rest[header:min(n, len(rest))]
			return w.ip()
		}
		rest = rest[min((n+3)&^3, len(rest)):]
	}
	return ErrNoIP
}

// macsec returns the length of a security tag and the EtherType behind it (IEEE 802.1AE §9.3), 0 when what follows is encrypted.
func (w *walk) macsec() int {
	const encrypted, channel = 0x0c, 0x20
	switch {
	case len(w.rest) > 0 && w.rest[0]&encrypted != 0:
		return 0
	case len(w.rest) > 0 && w.rest[0]&channel != 0:
		return 6 + 8 + 2
	default:
		return 6 + 2
	}
}

// snap reads the LLC and SNAP headers behind a length (IEEE 802.2, RFC 1042): old Ethernet, and what some mirrors make of it. It returns the EtherType that they hold, 0 when they hold none.
func (w *walk) snap() (kind uint16) {
	b := w.rest
	if len(b) >= 3 && b[0] == 6 && b[1] == 6 && b[2] == 3 { // IP by a number of its own
		w.rest = b[3:]
		return etherIPv4
	}
	if len(b) < 8 || b[0] != 0xaa || b[1] != 0xaa || b[2] != 3 || b[3] != 0 || b[4] != 0 || b[5] != 0 {
		return 0
	}
	if kind = binary.BigEndian.Uint16(b[6:]); kind < etherMinimum {
		return 0
	}
	w.rest = b[8:]
	return kind
}

// ppp reads the protocol field (RFC 1661 §2; it may be compressed to one byte).
func (w *walk) ppp() error {
	if len(w.rest) < 2 {
		return ErrPPPShort
	}
	kind, n := binary.BigEndian.Uint16(w.rest), 2
	if w.rest[0]&1 == 1 {
		kind, n = uint16(w.rest[0]), 1
	}
	w.rest = w.rest[n:]
	switch kind {
	case 0x0021, 0x0057:
		return w.ip()
	case 0x0281, 0x0283: // RFC 3032 §4
		return w.mpls()
	}
	return ErrNoIP
}

// mpls skips the label stack (RFC 3032); what follows is told by its first nibble, as routers do.
func (w *walk) mpls() error {
	var label uint32
	for range 16 {
		if len(w.rest) < 4 {
			return ErrMPLSShort
		}
		entry := binary.BigEndian.Uint32(w.rest)
		label, w.rest = entry>>12, w.rest[4:]
		if entry&0x100 == 0 {
			continue
		}
		if err := w.tunnel(TunnelMPLS, netip.Addr{}, netip.Addr{}, label); err != nil {
			return err
		}
		if len(w.rest) < 4 {
			return ErrMPLSShort
		}
		switch w.rest[0] >> 4 {
		case 4, 6:
			return w.ip()
		case 0: // pseudowire control word, then Ethernet (RFC 4448); without one, many makers' addresses begin so, too
			if !holdsFrame(w.rest) || holdsFrame(w.rest[4:]) {
				w.rest = w.rest[4:]
			}
		}
		return w.ethernet()
	}
	return ErrMPLSShort
}

// holdsFrame says that bytes look like an Ethernet frame: its EtherType is one that is often met.
func holdsFrame(b []byte) bool {
	const etherARP = 0x0806
	if len(b) < 14 {
		return false
	}
	switch binary.BigEndian.Uint16(b[12:]) {
	case etherIPv4, etherIPv6, etherARP, etherVLAN, etherQinQ, etherMPLS, etherPPPoE:
		return true
	}
	return false
}

// tunnel notes a stripped encapsulation.
func (w *walk) tunnel(kind TunnelKind, src, dst netip.Addr, id uint32) error {
	t := &w.h.Tunnel
	if t.Count == len(t.Layers) {
		return ErrTunnelDeep
	}
	t.Layers[t.Count] = TunnelLayer{Kind: kind, Src: src, Dst: dst, ID: id}
	t.Count++
	return nil
}
