package decode

import "encoding/binary"

// transport reads the header above IP, or goes into a tunnel.
func (w *walk) transport(proto uint8) error {
	if w.waits() && (proto == ProtoIPIP || proto == ProtoIPv6 || proto == ProtoGRE || proto == ProtoEtherIP) {
		w.payload(0)
		return nil
	}
	switch proto {
	case ProtoTCP:
		return w.tcp()
	case ProtoUDP:
		return w.udp()
	case ProtoICMP, ProtoICMPv6:
		if len(w.rest) < 4 {
			return ErrICMPShort
		}
		w.h.SrcPort, w.h.DstPort = uint16(w.rest[0]), uint16(w.rest[1])
		w.payload(min(8, len(w.rest)))
		return nil
	case ProtoSCTP:
		if len(w.rest) >= 4 {
			w.ports()
		}
		w.payload(min(12, len(w.rest)))
		return nil
	case ProtoUDPLite: // RFC 3828: as UDP, with the checksum's coverage in place of the length
		if len(w.rest) >= 4 {
			w.ports()
		}
		w.payload(min(8, len(w.rest)))
		return nil
	case ProtoIPIP, ProtoIPv6:
		return w.ipInIP(proto)
	case ProtoGRE:
		return w.gre()
	case ProtoAH: // in IPv4; IPv6 has it among its extension headers
		return w.extensions(proto)
	case ProtoEtherIP:
		return w.etherIP()
	default:
		w.payload(0)
		return nil
	}
}

// waits says that the rest of the datagram decides what is inside.
func (w *walk) waits() bool { return w.h.Fragment && !w.into }

func (w *walk) ports() {
	w.h.SrcPort, w.h.DstPort = binary.BigEndian.Uint16(w.rest), binary.BigEndian.Uint16(w.rest[2:])
}

// tcp reads RFC 9293's header; of the options only the maximum segment size matters.
func (w *walk) tcp() error {
	b := w.rest
	if len(b) < 20 {
		if len(b) >= 4 {
			w.ports()
		}
		return ErrTCPShort
	}
	h := w.h
	w.ports()
	h.Seq, h.Ack = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	h.Flags, h.Window = b[13], binary.BigEndian.Uint16(b[14:])
	header := int(b[12]>>4) * 4
	if header < 20 {
		return ErrTCPShort
	}
	if header > len(b) { // options cut by the snap length
		h.PayloadLength = max(0, len(b)+w.cut-header)
		return nil
	}
	if h.Flags&flagSYN != 0 {
		h.MSS = maximumSegmentSize(b[20:header])
	}
	w.payload(header)
	return nil
}

const flagSYN = 2

func maximumSegmentSize(options []byte) uint16 {
	for len(options) >= 2 {
		switch kind, n := options[0], int(options[1]); {
		case kind == 0:
			return 0
		case kind == 1:
			options = options[1:]
		case n < 2 || n > len(options):
			return 0
		case kind == 2 && n == 4:
			return binary.BigEndian.Uint16(options[2:])
		default:
			options = options[n:]
		}
	}
	return 0
}

// udp reads RFC 768's header and looks for the tunnels that are known by their port.
func (w *walk) udp() error {
	if len(w.rest) < 8 {
		if len(w.rest) >= 4 {
			w.ports()
		}
		return ErrUDPShort
	}
	w.ports()
	length := int(binary.BigEndian.Uint16(w.rest[4:]))
	if have := len(w.rest) + w.cut; length >= 8 && length < have { // what follows the datagram is padding
		w.trim(8, length)
	} else {
		w.rest = w.rest[8:]
	}
	if !w.waits() {
		if done, err := w.udpTunnel(); done {
			return err
		}
	}
	w.payload(0)
	return nil
}
