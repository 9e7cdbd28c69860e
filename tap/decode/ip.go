package decode

import (
	"encoding/binary"
	"net/netip"
)

// ip reads an IPv4 (RFC 791) or IPv6 (RFC 8200) header and goes on with what it carries.
func (w *walk) ip() error {
	if len(w.rest) < 1 {
		return ErrIPShort
	}
	switch w.rest[0] >> 4 {
	case 4:
		return w.ipv4()
	case 6:
		return w.ipv6()
	default:
		return ErrIPVersion
	}
}

func (w *walk) ipv4() error {
	b := w.rest
	if len(b) < 20 {
		return ErrIPShort
	}
	header := int(b[0]&0x0f) * 4
	if header < 20 || header > len(b) {
		return ErrIPShort
	}
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 { // segmentation offload: the kernel had not filled it in yet
		total = len(b) + w.cut
	}
	if total < header {
		return ErrIPLength
	}
	h := w.h
	h.Src, h.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	h.SrcBits = Bits{Low: mapped | uint64(binary.BigEndian.Uint32(b[12:]))}
	h.DstBits = Bits{Low: mapped | uint64(binary.BigEndian.Uint32(b[16:]))}
	h.TTL, h.Proto = b[8], b[9]
	h.EtherType = etherIPv4
	fragment := binary.BigEndian.Uint16(b[6:])
	w.trim(header, total)
	if fragment&0x3fff != 0 { // more fragments, or an offset
		w.fragment(uint32(binary.BigEndian.Uint16(b[4:])), int(fragment&0x1fff)*8, fragment&0x2000 != 0, h.Proto)
		if fragment&0x1fff != 0 {
			w.payload(0)
			return nil
		}
	}
	return w.transport(h.Proto)
}

// trim cuts the frame to the IP packet: Ethernet pads short frames, and the pad is no payload.
func (w *walk) trim(header, total int) {
	have := len(w.rest)
	if total <= have {
		w.rest, w.cut = w.rest[header:total], 0
		return
	}
	w.rest = w.rest[header:]
	w.cut = total - have
}

func (w *walk) ipv6() error {
	b := w.rest
	if len(b) < 40 {
		return ErrIPShort
	}
	h := w.h
	h.Src, h.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	h.SrcBits = Bits{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
	h.DstBits = Bits{binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[32:])}
	h.TTL, h.EtherType = b[7], etherIPv6
	next, length := b[6], int(binary.BigEndian.Uint16(b[4:]))
	if length == 0 { // a jumbogram (RFC 2675) or segmentation offload
		length = len(b) - 40 + w.cut
	}
	w.trim(40, 40+length)
	return w.extensions(next)
}

// extensions walks the chain of IPv6 extension headers.
func (w *walk) extensions(next uint8) error {
	h := w.h
	for range mostExtension {
		n := 0
		switch next {
		case 0, 43, 60, 135, 139, 140: // hop-by-hop, routing, destination, mobility, HIP, shim6: length in 8-byte units
			if len(w.rest) < 8 {
				return ErrIPShort
			}
			n = 8 + int(w.rest[1])*8
		case 51: // authentication header (RFC 4302): length in 4-byte units
			if len(w.rest) < 8 {
				return ErrIPShort
			}
			n = 8 + int(w.rest[1])*4
		case 44: // fragment
			if len(w.rest) < 8 {
				return ErrIPShort
			}
			offset := binary.BigEndian.Uint16(w.rest[2:])
			head := w.rest
			next, w.rest = head[0], head[8:]
			if offset&0xfff9 != 0 { // not an atomic fragment (RFC 6946)
				w.fragment(binary.BigEndian.Uint32(head[4:]), int(offset&^7), offset&1 != 0, next)
				if offset>>3 != 0 {
					h.Proto = next
					w.payload(0)
					return nil
				}
			}
			continue
		default:
			h.Proto = next
			return w.transport(next)
		}
		if n > len(w.rest) {
			return ErrIPShort
		}
		next, w.rest = w.rest[0], w.rest[n:]
	}
	return ErrIPChain
}

// fragment notes what is needed to put the datagram together.
func (w *walk) fragment(id uint32, offset int, more bool, next uint8) {
	h := w.h
	h.Fragment, h.FragmentID, h.FragmentOffset, h.FragmentMore, h.FragmentNext = true, id, offset, more, next
	h.Piece, h.PieceLength = w.rest, len(w.rest)+w.cut
}

// payload ends the walk: everything after the first n bytes is the transport's payload.
func (w *walk) payload(n int) {
	w.h.Payload = w.rest[n:]
	w.h.PayloadLength = len(w.rest) - n + w.cut
}
