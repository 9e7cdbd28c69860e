package dissect

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"netaudit/tap"
)

// fragmented cuts a UDP datagram with n bytes of payload into IP packets of at most mtu bytes of IP payload.
func fragmented(v6 bool, n, mtu int) [][]byte {
	udp := make([]byte, 8+n)
	binary.BigEndian.PutUint16(udp, 40000)
	binary.BigEndian.PutUint16(udp[2:], 9999)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	var list [][]byte
	for at := 0; at < len(udp); at += mtu {
		piece := udp[at:min(at+mtu, len(udp))]
		more := uint16(0)
		if at+len(piece) < len(udp) {
			more = 1
		}
		var b []byte
		if v6 {
			b = make([]byte, 48)
			b[0], b[6], b[7], b[40] = 0x60, 44, 64, 17
			binary.BigEndian.PutUint16(b[4:], uint16(8+len(piece)))
			src, dst := netip.MustParseAddr("fd00::2").As16(), netip.MustParseAddr("2001:db8::9").As16()
			copy(b[8:], src[:])
			copy(b[24:], dst[:])
			binary.BigEndian.PutUint16(b[42:], uint16(at)|more)
			binary.BigEndian.PutUint32(b[44:], 77)
		} else {
			b = make([]byte, 20)
			b[0], b[8], b[9] = 0x45, 64, 17
			binary.BigEndian.PutUint16(b[2:], uint16(20+len(piece)))
			binary.BigEndian.PutUint16(b[4:], 77)
			binary.BigEndian.PutUint16(b[6:], uint16(at/8)|more<<13)
			copy(b[12:], []byte{10, 0, 0, 2, 203, 0, 113, 9})
		}
		list = append(list, append(b, piece...))
	}
	return list
}

func feed(e *Engine, at int64, packets ...[]byte) {
	for i, b := range packets {
		e.Packet(&tap.Packet{Time: at + int64(i), Data: b, Length: len(b), Link: tap.LinkRaw})
	}
}

const someTime = int64(1_700_000_000_000_000_000)

func TestFragmentsInAnyOrderAreOneDatagram(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1500, 9000).Draw(r, "bytes")
		list := fragmented(rapid.Bool().Draw(r, "IPv6"), n, 8*rapid.IntRange(10, 180).Draw(r, "mtu"))
		list = rapid.Permutation(append(list, list[rapid.IntRange(0, len(list)-1).Draw(r, "repeated")])).Draw(r, "order")
		c := &collector{}
		e := New(Config{}, c)
		feed(e, someTime, list...)
		e.Close()
		f := c.only(r2t{t, r}, 1)[0]
		if f.Src.Port() != 40000 || f.Dst.Port() != 9999 || f.SrcBytes != uint64(n) || f.SrcPackets != 1 {
			r.Errorf("flow %v → %v with %d bytes in %d packets, want %d in one", f.Src, f.Dst, f.SrcBytes, f.SrcPackets, n)
		}
		if why := e.Stats().Malformed; len(why) > 0 {
			r.Errorf("counted as damage: %v", why)
		}
	})
}

// r2t lets rapid's failures stop a helper that takes a testing.TB.
type r2t struct {
	testing.TB
	r *rapid.T
}

func (t r2t) Fatalf(format string, a ...any) { t.r.Fatalf(format, a...) }

func TestMissingAndOverlappingFragmentsAreCountedAndTheCallStaysVisible(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		list := fragmented(v6, 3000, 1000)
		overlap := fragmented(v6, 3000, 1600)
		for name, packets := range map[string][][]byte{
			"ip: fragments are missing":                   {list[0], list[2]},
			"ip: overlapping fragments":                   {list[0], overlap[1], list[1]},
			"ip: fragment beyond the end of its datagram": {fragmented(v6, 500, 2000)[0], list[3], fragmented(v6, 5000, 4000)[1]},
		} {
			c := &collector{}
			e := New(Config{}, c)
			if name == "ip: fragment beyond the end of its datagram" {
				packets = packets[1:]
				packets = append([][]byte{list[0]}, packets...)
			}
			feed(e, someTime, packets...)
			e.Tick(someTime + 2*fragmentTimeout)
			if e.Stats().Malformed[name] == 0 {
				t.Errorf("IPv6 %v: %s is not counted: %v", v6, name, e.Stats().Malformed)
			}
			e.Close()
			if f := c.only(t, 1)[0]; f.Dst.Port() != 9999 {
				t.Errorf("%s: the flow goes to %v", name, f.Dst)
			}
		}
	}
}

func TestFragmentsOfAFloodStayWithinTheirBound(t *testing.T) {
	e := New(Config{}, &collector{})
	piece := fragmented(false, 3000, 1000)[1]
	for i := range 100_000 {
		binary.BigEndian.PutUint16(piece[4:], uint16(i))
		piece[15] = byte(i >> 16)
		feed(e, someTime+int64(i), piece)
		if len(e.fragments.waiting) > mostDatagrams || e.fragments.bytes > mostPieces+largestDatagram || e.fragments.oldest.Len() != len(e.fragments.waiting) {
			t.Fatalf("after %d: %d datagrams, %d bytes, %d in the queue", i, len(e.fragments.waiting), e.fragments.bytes, e.fragments.oldest.Len())
		}
	}
}

// TestFirstFragmentThatTheCaptureCutKeepsTheCallVisible: a small snap length must not hide who was called.
func TestFirstFragmentThatTheCaptureCutKeepsTheCallVisible(t *testing.T) {
	list := fragmented(false, 3000, 1000)
	c := &collector{}
	e := New(Config{}, c)
	e.Packet(&tap.Packet{Time: someTime, Data: list[0][:96], Length: len(list[0]), Link: tap.LinkRaw})
	feed(e, someTime+1, list[1:]...)
	e.Close()
	if f := c.only(t, 1)[0]; f.Dst.Port() != 9999 || !e.config.Local(f.Src.Addr()) {
		t.Errorf("flow %v → %v", f.Src, f.Dst)
	}
}

func TestWholeDatagramsLeaveNothingBehind(t *testing.T) {
	e := New(Config{}, &collector{})
	for i := range 2000 {
		for _, b := range fragmented(false, 3000, 1000) {
			binary.BigEndian.PutUint16(b[4:], uint16(i))
			feed(e, someTime+int64(i), b)
		}
	}
	if n := e.fragments.oldest.Len(); n != 0 || len(e.fragments.waiting) != 0 || e.fragments.bytes != 0 {
		t.Errorf("%d in the queue, %d waiting, %d bytes", n, len(e.fragments.waiting), e.fragments.bytes)
	}
}

// TestTunnelInFragmentsIsReadAsAWhole: what a tunnel's datagram holds counts when all of it is there, at the place of its last fragment, and as far as it goes when the others never come.
func TestTunnelInFragmentsIsReadAsAWhole(t *testing.T) {
	inner := fragmented(false, 1200, 4000)[0]
	vxlan := slices.Concat(make([]byte, 8), []byte{8, 0, 0, 0, 0, 0, 42, 0}, make([]byte, 12), []byte{8, 0}, inner)
	binary.BigEndian.PutUint16(vxlan, 5000)
	binary.BigEndian.PutUint16(vxlan[2:], 4789)
	binary.BigEndian.PutUint16(vxlan[4:], uint16(len(vxlan)))
	const half = 640
	outer := func(piece []byte, at int, more uint16) []byte {
		b := make([]byte, 20)
		b[0], b[8], b[9] = 0x45, 64, 17
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(piece)))
		binary.BigEndian.PutUint16(b[6:], uint16(at/8)|more<<13)
		copy(b[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
		return append(b, piece...)
	}
	first, second := outer(vxlan[:half], 0, 1), outer(vxlan[half:], half, 0)
	for name, list := range map[string][][]byte{"both": {first, second}, "swapped": {second, first}, "twice": {first, first, second, second}, "one": {first}} {
		c := &collector{}
		e := New(Config{}, c)
		feed(e, someTime, list...)
		if len(c.opened) == 0 && name != "one" {
			t.Errorf("%s: nothing is known while the conversation lives", name)
		}
		e.Close()
		f := c.only(t, 1)[0]
		if f.Src.Port() != 40000 || f.Tunnel == nil || f.Tunnel.Layers[0].ID != 42 || f.SrcBytes != 1200 || f.SrcPackets != 1 {
			t.Errorf("%s: %v → %v in %v, %d bytes in %d packets", name, f.Src, f.Dst, f.Tunnel, f.SrcBytes, f.SrcPackets)
		}
		if why := e.Stats().Malformed; len(why) > 0 && name != "one" {
			t.Errorf("%s: counted as damage: %v", name, why)
		}
	}
}

// TestFragmentsInsideFragmentsAreOneDatagram: a host cuts a datagram, and the tunnel that carries the pieces cuts each of them again.
func TestFragmentsInsideFragmentsAreOneDatagram(t *testing.T) {
	var frames [][]byte
	for i, piece := range fragmented(false, 3000, 1200) {
		for at := 0; at < len(piece); at += 800 {
			part := piece[at:min(at+800, len(piece))]
			b := make([]byte, 20)
			b[0], b[8], b[9] = 0x45, 64, 4 // IP in IP
			binary.BigEndian.PutUint16(b[2:], uint16(20+len(part)))
			binary.BigEndian.PutUint16(b[4:], uint16(i))
			more := uint16(0)
			if at+len(part) < len(piece) {
				more = 1
			}
			binary.BigEndian.PutUint16(b[6:], uint16(at/8)|more<<13)
			copy(b[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
			frames = append(frames, append(b, part...))
		}
	}
	c := &collector{}
	e := New(Config{}, c)
	feed(e, someTime, frames...)
	e.Close()
	if f := c.only(t, 1)[0]; f.SrcBytes != 3000 || f.SrcPackets != 1 || len(e.Stats().Malformed) > 0 {
		t.Errorf("%d bytes in %d packets, damage %v", f.SrcBytes, f.SrcPackets, e.Stats().Malformed)
	}
}

// TestPiecesThatDoNotFitTogetherAreRefused: whatever lengths and ends a datagram's pieces claim, in whatever order, also when their lengths add up to an end before some of them.
func TestPiecesThatDoNotFitTogetherAreRefused(t *testing.T) {
	piece := func(offset, length int, more bool) []byte {
		b := make([]byte, 20+length)
		b[0], b[8], b[9] = 0x45, 64, 17
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[4:], 7)
		at := uint16(offset / 8)
		if more {
			at |= 0x2000
		}
		binary.BigEndian.PutUint16(b[6:], at)
		copy(b[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
		return b
	}
	e := New(Config{}, &collector{})
	feed(e, someTime, piece(48, 8, true), piece(0, 8, true), piece(16, 16, false)) // 32 bytes, and an end at 32
	if e.Stats().Malformed["ip: fragment beyond the end of its datagram"] != 1 {
		t.Errorf("counted %v", e.Stats().Malformed)
	}
	rapid.Check(t, func(r *rapid.T) {
		e := New(Config{}, &collector{})
		for range rapid.IntRange(2, 8).Draw(r, "pieces") {
			feed(e, someTime, piece(8*rapid.IntRange(0, 6).Draw(r, "offset"), 8*rapid.IntRange(0, 4).Draw(r, "length"), rapid.Bool().Draw(r, "more")))
		}
		e.Close()
	})
}
