package decode

import (
	"encoding/binary"
)

// Ports of the tunnels over UDP (IANA).
const (
	portVXLAN      = 4789
	portVXLANLinux = 8472
	portGeneve     = 6081
	portGTPU       = 2152
	portTeredo     = 3544
	portL2TP       = 1701
	portVXLANGPE   = 4790
	portMPLS       = 6635
	portGRE        = 4754
	portLISP       = 4341
	portTZSP       = 37008 // what MikroTik's routers mirror to
	portAYIYA      = 5072
)

// ipInIP strips IP-in-IP (RFC 2003) and 6in4 (RFC 4213).
func (w *walk) ipInIP(proto uint8) error {
	kind := TunnelIPIP
	if proto == ProtoIPv6 && w.h.Src.Is4() {
		kind = Tunnel6in4
	}
	if len(w.rest) == 0 {
		return ErrTunnel
	}
	if err := w.tunnel(kind, w.h.Src, w.h.Dst, 0); err != nil {
		return err
	}
	return w.ip()
}

// gre strips GRE (RFC 2784, RFC 2890) and ERSPAN (draft-foschiano-erspan) inside it.
func (w *walk) gre() error {
	b := w.rest
	if len(b) < 4 {
		return ErrTunnel
	}
	flags, proto := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if flags&7 == 1 && proto == etherPPP {
		return w.pptp(flags)
	} else if flags&7 != 0 {
		w.payload(0)
		return nil
	}
	n := 4
	if flags&0xc000 != 0 { // checksum or routing: both fields are there
		n += 4
	}
	var key uint32
	if flags&0x2000 != 0 {
		if len(b) < n+4 {
			return ErrTunnel
		}
		key = binary.BigEndian.Uint32(b[n:])
		n += 4
	}
	if proto == etherWCCP && len(b) >= n+4 && b[n]>>4 != 4 { // version 2 puts four bytes before the packet (draft-mclaggan-wccp-v2rev1 §3.12.2)
		n += 4
	}
	sequenced := flags&0x1000 != 0
	if sequenced {
		n += 4
	}
	for more := flags&0x4000 != 0; more; { // source routes, the last one empty (RFC 1701)
		if len(b) < n+4 {
			return ErrTunnel
		}
		more = b[n] != 0 || b[n+1] != 0 || b[n+3] != 0
		n += 4 + int(b[n+3])
	}
	if len(b) < n {
		return ErrTunnel
	}
	w.rest = b[n:]
	switch proto {
	case etherERSPAN, etherERSPAN3:
		return w.erspan(proto, sequenced)
	case etherIPv4, etherIPv6, etherBridge, etherMPLS, etherMPLSMC, etherVLAN, etherQinQ, etherNSH, etherWCCP:
		if err := w.tunnel(TunnelGRE, w.h.Src, w.h.Dst, key); err != nil {
			return err
		}
		if proto == etherBridge {
			return w.ethernet()
		}
		return w.ether(proto)
	case etherPPP:
		return w.orPayload(0, TunnelGRE, key, (*walk).ppp)
	default:
		w.payload(0)
		return nil
	}
}

// greInUDP strips RFC 8086: GRE behind a UDP header.
func (w *walk) greInUDP() error {
	before := w.h.Tunnel.Count
	if err := w.gre(); err != nil {
		return err
	}
	if w.h.Tunnel.Count == before {
		return ErrTunnel
	}
	return nil
}

// pptp strips the enhanced GRE of PPTP (RFC 2637 §4.1). Its PPP is often encrypted: what holds no IP packet stays a GRE conversation.
func (w *walk) pptp(flags uint16) error {
	b := w.rest
	n := 8
	if flags&0x1000 != 0 {
		n += 4
	}
	if flags&0x0080 != 0 {
		n += 4
	}
	if len(b) < n {
		return ErrTunnel
	}
	call := uint32(binary.BigEndian.Uint16(b[6:]))
	return w.orPayload(n, TunnelPPTP, call, (*walk).ppp)
}

// orPayload goes into a tunnel whose content may be unreadable: then the packet is the tunnel's own.
func (w *walk) orPayload(n int, kind TunnelKind, id uint32, inside func(*walk) error) error {
	headers, place := *w.h, *w
	if err := w.tunnel(kind, w.h.Src, w.h.Dst, id); err != nil {
		return err
	}
	w.rest = w.rest[n:]
	if inside(w) == nil {
		return nil
	}
	*w = place
	*w.h = headers
	w.payload(0)
	return nil
}

// erspan strips the header of types I (none), II (8 bytes) and III (12 bytes, or 20 with its optional part).
func (w *walk) erspan(proto uint16, sequenced bool) error {
	n, session, bare := 0, uint32(0), false // bare: an IP packet follows, no Ethernet frame
	if sequenced {
		n = 8
		if proto == etherERSPAN3 {
			n = 12
		}
		if len(w.rest) < n {
			return ErrTunnel
		}
		session = uint32(binary.BigEndian.Uint16(w.rest[2:]) & 0x03ff)
		if proto == etherERSPAN3 {
			bare = w.rest[10]>>2&0x1f == 2
			if w.rest[11]&1 != 0 {
				n += 8
			}
		}
		if len(w.rest) < n {
			return ErrTunnel
		}
	}
	if err := w.tunnel(TunnelERSPAN, w.h.Src, w.h.Dst, session); err != nil {
		return err
	}
	if n > 0 {
		w.mirroredVLAN(proto, w.rest[:n], w.rest[n:])
	}
	w.rest = w.rest[n:]
	if bare {
		return w.ip()
	}
	return w.ethernet()
}

// mirroredVLAN keeps the VLAN of a frame whose tag the switch has taken off and put into ERSPAN's header: type II says so (En 01 and 10), type III gives a VLAN for a frame without a tag.
func (w *walk) mirroredVLAN(proto uint16, header, frame []byte) {
	const addresses = 12
	vlan, encapsulation := binary.BigEndian.Uint16(header)&0x0fff, header[2]>>3&3
	moved := encapsulation == 1 || encapsulation == 2
	if proto == etherERSPAN3 && len(frame) >= addresses+2 {
		moved = binary.BigEndian.Uint16(frame[addresses:]) != etherVLAN
	}
	if moved && vlan != 0 && w.h.VLANCount < len(w.h.VLANs) {
		w.h.VLANs[w.h.VLANCount] = vlan
		w.h.VLANCount++
	}
}

// etherIP strips Ethernet in IP (RFC 3378): two bytes with the version, then a frame.
func (w *walk) etherIP() error {
	if len(w.rest) < 2 || w.rest[0]>>4 != 3 {
		return ErrTunnel
	}
	if err := w.tunnel(TunnelEtherIP, w.h.Src, w.h.Dst, 0); err != nil {
		return err
	}
	w.rest = w.rest[2:]
	return w.ethernet()
}

// nsh strips the Network Service Header (RFC 8300): what a chain of services adds to a packet.
func (w *walk) nsh() error {
	b := w.rest
	if len(b) < 8 || b[0]>>6 != 0 {
		return ErrTunnel
	}
	n := int(b[1]&0x3f) * 4
	if n < 8 || len(b) < n {
		return ErrTunnel
	}
	if err := w.tunnel(TunnelNSH, w.h.Src, w.h.Dst, binary.BigEndian.Uint32(b[4:])>>8); err != nil {
		return err
	}
	w.rest = b[n:]
	switch b[3] {
	case 1, 2:
		return w.ip()
	case 3:
		return w.ethernet()
	case 5:
		return w.mpls()
	default:
		return ErrNoIP
	}
}

// TunnelPorts says whether a datagram between these ports may be a tunnel.
func TunnelPorts(src, dst uint16) bool {
	switch dst {
	case portVXLAN, portVXLANLinux, portGeneve, portGTPU, portTeredo, portL2TP, portVXLANGPE, portMPLS, portGRE, portLISP, portTZSP, portAYIYA:
		return true
	default:
		return src == portTeredo || src == portL2TP || src == portAYIYA
	}
}

// udpTunnel strips what a UDP port announces, if the content agrees. It restores everything when it does not: then the datagram
// is an ordinary one. When the snap length cut the transport header inside, the addresses there still say more than the tunnel's: done is true, with an error.
func (w *walk) udpTunnel() (done bool, err error) {
	var strip func(*walk) error
	switch w.h.DstPort {
	case portVXLAN, portVXLANLinux:
		strip = (*walk).vxlan
	case portGeneve:
		strip = (*walk).geneve
	case portGTPU:
		strip = (*walk).gtpu
	case portTeredo:
		strip = (*walk).teredo
	case portL2TP:
		strip = (*walk).l2tp
	case portVXLANGPE:
		strip = (*walk).vxlanGPE
	case portMPLS:
		strip = (*walk).mpls
	case portGRE:
		strip = (*walk).greInUDP
	case portLISP:
		strip = (*walk).lisp
	case portTZSP:
		strip = (*walk).tzsp
	case portAYIYA:
		strip = (*walk).ayiya
	default:
		switch w.h.SrcPort { // of these the answers go to a port that the client has chosen
		case portTeredo:
			strip = (*walk).teredo
		case portL2TP:
			strip = (*walk).l2tp
		case portAYIYA:
			strip = (*walk).ayiya
		default:
			return false, nil
		}
	}
	headers, place := *w.h, *w
	switch err = strip(w); {
	case err == nil:
		return true, nil
	case place.cut > 0 && (err == ErrTCPShort || err == ErrUDPShort || err == ErrICMPShort):
		return true, err
	}
	*w = place
	*w.h = headers
	return false, nil
}

// vxlan strips RFC 7348.
func (w *walk) vxlan() error {
	b := w.rest
	if len(b) < 8 || b[0]&0x08 == 0 {
		return ErrTunnel
	}
	if err := w.tunnel(TunnelVXLAN, w.h.Src, w.h.Dst, binary.BigEndian.Uint32(b[4:])>>8); err != nil {
		return err
	}
	w.rest = b[8:]
	return w.ethernet()
}

// vxlanGPE strips draft-ietf-nvo3-vxlan-gpe: the header says what is inside.
func (w *walk) vxlanGPE() error {
	b := w.rest
	if len(b) < 8 || b[0]&0x0c != 0x0c {
		return ErrTunnel
	}
	if err := w.tunnel(TunnelVXLAN, w.h.Src, w.h.Dst, binary.BigEndian.Uint32(b[4:])>>8); err != nil {
		return err
	}
	w.rest = b[8:]
	switch b[3] {
	case 1, 2:
		return w.ip()
	case 3:
		return w.ethernet()
	case 4:
		return w.nsh()
	default:
		return ErrTunnel
	}
}

// l2tp strips data messages of L2TP version 2 (RFC 2661 §3.1).
func (w *walk) l2tp() error {
	b := w.rest
	if len(b) < 6 || b[0]&0x80 != 0 || b[1]&0x0f != 2 { // control messages carry no packets
		return ErrTunnel
	}
	n := 2
	if b[0]&0x40 != 0 { // length
		n += 2
	}
	ids := n
	n += 4
	if b[0]&0x08 != 0 { // sequence numbers
		n += 4
	}
	if b[0]&0x02 != 0 { // offset
		if len(b) < n+2 {
			return ErrTunnel
		}
		n += 2 + int(binary.BigEndian.Uint16(b[n:]))
	}
	if len(b) < max(n, ids+4) {
		return ErrTunnel
	}
	if err := w.tunnel(TunnelL2TP, w.h.Src, w.h.Dst, binary.BigEndian.Uint32(b[ids:])); err != nil {
		return err
	}
	w.rest = b[n:]
	if len(w.rest) >= 2 && w.rest[0] == 0xff && w.rest[1] == 0x03 {
		w.rest = w.rest[2:]
	}
	return w.ppp()
}

// geneve strips RFC 8926.
func (w *walk) geneve() error {
	b := w.rest
	if len(b) < 8 || b[0]>>6 != 0 {
		return ErrTunnel
	}
	n := 8 + int(b[0]&0x3f)*4
	if len(b) < n {
		return ErrTunnel
	}
	if err := w.tunnel(TunnelGeneve, w.h.Src, w.h.Dst, binary.BigEndian.Uint32(b[4:])>>8); err != nil {
		return err
	}
	proto := binary.BigEndian.Uint16(b[2:])
	w.rest = b[n:]
	if proto == etherBridge {
		return w.ethernet()
	}
	return w.ether(proto)
}

// gtpu strips G-PDUs of GTPv1-U (3GPP TS 29.281 §5).
func (w *walk) gtpu() error {
	b := w.rest
	if len(b) < 8 || b[0]>>5 != 1 || b[1] != 255 {
		return ErrTunnel
	}
	teid, n := binary.BigEndian.Uint32(b[4:]), 8
	if b[0]&7 != 0 {
		n = 12
		if len(b) < n {
			return ErrTunnel
		}
		for next := b[11]; b[0]&4 != 0 && next != 0; next = b[n-1] {
			if len(b) <= n || b[n] == 0 || len(b) < n+int(b[n])*4 {
				return ErrTunnel
			}
			n += int(b[n]) * 4
		}
	}
	if err := w.tunnel(TunnelGTPU, w.h.Src, w.h.Dst, teid); err != nil {
		return err
	}
	w.rest = b[n:]
	return w.ip()
}

// lisp strips the header of LISP's data (RFC 9300 §5.1). Its number is the instance.
func (w *walk) lisp() error {
	const instance = 0x08
	b := w.rest
	if len(b) < 8 {
		return ErrTunnel
	}
	id := uint32(0)
	if b[0]&instance != 0 {
		id = binary.BigEndian.Uint32(b[4:]) >> 8
	}
	if err := w.tunnel(TunnelLISP, w.h.Src, w.h.Dst, id); err != nil {
		return err
	}
	w.rest = b[8:]
	return w.ip()
}

// tzsp strips the TaZmen Sniffer Protocol: version, type, what is inside, then fields until an end.
func (w *walk) tzsp() error {
	const version, ethernet, padding, end = 1, 1, 0, 1
	b := w.rest
	if len(b) < 5 || b[0] != version || b[1] > 1 || binary.BigEndian.Uint16(b[2:]) != ethernet {
		return ErrTunnel
	}
	for b = b[4:]; len(b) > 0 && b[0] != end; {
		n := 1
		if b[0] != padding && len(b) > 1 {
			n = 2 + int(b[1])
		}
		b = b[min(n, len(b)):]
	}
	if len(b) == 0 {
		return ErrTunnel
	}
	if err := w.tunnel(TunnelTZSP, w.h.Src, w.h.Dst, 0); err != nil {
		return err
	}
	w.rest = b[1:]
	return w.ethernet()
}

// ayiya strips Anything In Anything (draft-massar-v6ops-ayiya): who sends, a signature, then a packet.
func (w *walk) ayiya() error {
	const header, forward = 8, 1
	b := w.rest
	if len(b) < header || b[2]&0x0f != forward || b[3] != ProtoIPv6 && b[3] != ProtoIPIP {
		return ErrTunnel
	}
	n := header + 1<<(b[0]>>4) + int(b[1]>>4)*4
	if len(b) < n {
		return ErrTunnel
	}
	if err := w.tunnel(TunnelAYIYA, w.h.Src, w.h.Dst, 0); err != nil {
		return err
	}
	w.rest = b[n:]
	return w.ip()
}

// teredo strips RFC 4380's optional authentication and origin headers; what remains must be IPv6.
func (w *walk) teredo() error {
	b := w.rest
	if len(b) >= 4 && b[0] == 0 && b[1] == 1 {
		n := 13 + int(b[2]) + int(b[3])
		if len(b) < n {
			return ErrTunnel
		}
		b = b[n:]
	}
	if len(b) >= 8 && b[0] == 0 && b[1] == 0 {
		b = b[8:]
	}
	if len(b) < 40 || b[0]>>4 != 6 {
		return ErrTunnel
	}
	if err := w.tunnel(TunnelTeredo, w.h.Src, w.h.Dst, 0); err != nil {
		return err
	}
	w.rest = b
	return w.ip()
}

// String returns the encapsulation's name as it stands in events.
func (k TunnelKind) String() string {
	names := [...]string{"none", "gre", "erspan", "vxlan", "geneve", "ipip", "6in4", "gtpu", "teredo", "mpls", "pppoe", "pptp", "l2tp", "etherip", "nsh", "pbb", "lisp", "tzsp", "ayiya"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}
