package decode

import (
	"encoding/binary"

	"netaudit/tap"
)

// wifi reads a frame of IEEE 802.11 (§9.2) as monitors see it: data that is not encrypted holds LLC and SNAP. Of several packets in one frame the first is read.
func (w *walk) wifi(padded bool) error {
	const (
		typeMask, data           = 0x0f, 0x08 // of the first byte: version and type
		noData, withQoS          = 0x40, 0x80
		toDS, order, protected   = 0x03, 0x80, 0x40 // of the second
		least, address, qos, htc = 24, 6, 2, 4
		aggregated, subframe     = 0x80, 14
		fragmentMask, fragmentAt = 0x0f, 22
	)
	b := w.rest
	if len(b) < 2 {
		return ErrLinkShort
	}
	if b[0]&typeMask != data || b[0]&noData != 0 {
		return ErrNoIP
	}
	if b[1]&protected != 0 {
		return ErrEncrypted
	}
	n, aggregate := least, false
	if b[1]&toDS == toDS {
		n += address
	}
	if b[0]&withQoS != 0 {
		if len(b) < n+qos {
			return ErrLinkShort
		}
		aggregate = b[n]&aggregated != 0
		n += qos
		if b[1]&order != 0 {
			n += htc
		}
	}
	if padded {
		n = (n + 3) &^ 3
	}
	if aggregate {
		n += subframe
	}
	if len(b) < n {
		return ErrLinkShort
	}
	if b[fragmentAt]&fragmentMask != 0 {
		return ErrNoIP
	}
	w.rest = b[n:]
	return w.llc()
}

// radiotap skips what a driver says of the reception (https://www.radiotap.org), but for whether the header behind it is padded.
func (w *walk) radiotap() error {
	const least, more, clock, clockLength, hasFlags, dataPad = 8, 1 << 31, 1 << 0, 8, 1 << 1, 0x20
	b := w.rest
	if len(b) < least {
		return ErrLinkShort
	}
	n := int(binary.LittleEndian.Uint16(b[2:]))
	if n < least || n > len(b) {
		return ErrLinkShort
	}
	present, at := binary.LittleEndian.Uint32(b[4:]), least
	for word := present; word&more != 0; at += 4 {
		if at+4 > n {
			return ErrLinkShort
		}
		word = binary.LittleEndian.Uint32(b[at:])
	}
	if present&clock != 0 {
		at = (at+clockLength-1)&^(clockLength-1) + clockLength
	}
	padded := present&hasFlags != 0 && at < n && b[at]&dataPad != 0
	w.rest = b[n:]
	return w.wifi(padded)
}

// prism skips the header of older drivers: 144 bytes, or the one of AVS, which begins with its version and length.
func (w *walk) prism() error {
	const length, avs, avsMask = 144, 0x80211000, 0xfffff000
	if b := w.rest; len(b) >= 8 && binary.BigEndian.Uint32(b)&avsMask == avs {
		return w.behind(int(min(binary.BigEndian.Uint32(b[4:]), 1<<16)), tap.LinkWiFi)
	}
	return w.behind(length, tap.LinkWiFi)
}

// ppi skips CACE's Per-Packet Information: its length, and which link type follows.
func (w *walk) ppi() error {
	const least = 8
	if len(w.rest) < least {
		return ErrLinkShort
	}
	n, kind := int(binary.LittleEndian.Uint16(w.rest[2:])), tap.LinkType(binary.LittleEndian.Uint32(w.rest[4:]))
	if n < least {
		return ErrLinkShort
	}
	if kind == tap.LinkPPI {
		return ErrLinkType
	}
	return w.behind(n, kind)
}

// tokenRing skips the header of IEEE 802.5 with the route that a source may put there.
func (w *walk) tokenRing() error {
	const header, source, routed, llcFrame, typeMask = 14, 8, 0x80, 0x40, 0xc0
	b := w.rest
	if len(b) < header+1 {
		return ErrLinkShort
	}
	if b[1]&typeMask != llcFrame {
		return ErrNoIP
	}
	n := header
	if b[source]&routed != 0 {
		n += int(b[header] & 0x1f)
	}
	if len(b) < n {
		return ErrLinkShort
	}
	w.rest = b[n:]
	return w.llc()
}

// frameRelay reads RFC 2427: an address of two bytes, a control byte, and what network protocol follows.
func (w *walk) frameRelay() error {
	const address, unnumbered, ip4, ip6, snap = 2, 0x03, 0xcc, 0x8e, 0x80
	b := w.rest
	if len(b) < address+3 || b[address] != unnumbered {
		return ErrNoIP
	}
	b = b[address+1:]
	if b[0] == 0 { // padding
		b = b[1:]
	}
	switch {
	case b[0] == ip4, b[0] == ip6:
		w.rest = b[1:]
		return w.ip()
	case b[0] == snap && len(b) >= 6 && b[1] == 0 && b[2] == 0 && b[3] == 0:
		w.rest = b[6:]
		return w.ether(binary.BigEndian.Uint16(b[4:]))
	}
	return ErrNoIP
}

// llc reads what follows a link header without an EtherType.
func (w *walk) llc() error {
	kind := w.snap()
	if kind == 0 {
		return ErrNoIP
	}
	return w.ether(kind)
}
