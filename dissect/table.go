package dissect

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"

	"netaudit/tap/decode"
)

// key names a conversation, the same for both directions: endpoint a is the smaller one. The same addresses and ports on another
// VLAN or in another tunnel are another conversation. It holds no pointer: the garbage collector need not look at it.
type key struct {
	a, b decode.Bits // addresses
	path uint64      // hash of VLANs and tunnels, 0 for none
	rest uint64      // ports of a and b (for ICMP what pairs question and answer), protocol, and what tells ::ffff:192.0.2.1 from 192.0.2.1
}

// is compares field by field: that is done before the library's comparison of memory has begun.
func (k *key) is(o *key) bool {
	return k.a == o.a && k.b == o.b && k.rest == o.rest && k.path == o.path
}

// identity is what a packet's conversation is found by.
type identity struct {
	key   key
	hash  uint64 // of key
	fromA bool   // the packet goes from the key's smaller endpoint
}

// identify finds out which conversation a packet belongs to. It writes where the result stays: a copy of so much is waited for.
func (s *hashSeed) identify(h *decode.Headers, id *identity) {
	a, b, aPort, bPort := h.SrcBits, h.DstBits, h.SrcPort, h.DstPort
	if h.Proto == decode.ProtoICMP || h.Proto == decode.ProtoICMPv6 {
		aPort, bPort = communityPorts(h.Proto, uint8(h.SrcPort), uint8(h.DstPort))
	}
	id.fromA = ordered(a, b, aPort, bPort)
	if !id.fromA {
		a, b, aPort, bPort = b, a, bPort, aPort
	}
	k := &id.key
	k.a, k.b, k.path = a, b, 0
	k.rest = uint64(aPort)<<32 | uint64(bPort)<<16 | uint64(h.Proto)<<1
	if h.Src.Is6() {
		k.rest |= 1
	}
	if h.VLANCount > 0 || h.Tunnel.Count > 0 {
		k.path = pathHash(h)
	}
	id.hash = s.hash(k)
}

// ordered says that endpoint a is not the larger one.
func ordered(a, b decode.Bits, aPort, bPort uint16) bool {
	switch {
	case a.High != b.High:
		return a.High < b.High
	case a.Low != b.Low:
		return a.Low < b.Low
	default:
		return aPort <= bPort
	}
}

var pathSeed = maphash.MakeSeed()

// pathHash is 0 for packets in no VLAN and no tunnel. The tag with number 0 only tells a priority, which the other direction may have no tag for (IEEE 802.1Q §9.6).
func pathHash(h *decode.Headers) uint64 {
	var m maphash.Hash
	m.SetSeed(pathSeed)
	plain := h.Tunnel.Count == 0
	for _, v := range h.VLANs[:min(h.VLANCount, len(h.VLANs))] {
		if v != 0 {
			maphash.WriteComparable(&m, v)
			plain = false
		}
	}
	if plain {
		return 0
	}
	for _, l := range h.Tunnel.Layers[:h.Tunnel.Count] {
		a, b := l.Src, l.Dst
		if a.IsValid() && b.IsValid() && a.Compare(b) > 0 {
			a, b = b, a // both directions of a tunnel are one path
		}
		id := l.ID
		switch l.Kind {
		case decode.TunnelGTPU, decode.TunnelMPLS, decode.TunnelL2TP, decode.TunnelPPTP, decode.TunnelNSH:
			id = 0 // these identifiers differ between the directions: each end chooses what it is called by
		}
		maphash.WriteComparable(&m, decode.TunnelLayer{Kind: l.Kind, Src: a, Dst: b, ID: id})
	}
	return m.Sum64() | 1
}

// table finds conversations by their key: open addressing with linear probing (Knuth, TAOCP 3, §6.4, algorithms L and R). A map of Go's library does
// the same at twice the time, because it hashes the key byte by byte and keeps it a second time. One engine owns it.
type table struct {
	slots []slot // a power of two
	used  int
}

type slot struct {
	hash uint64
	c    *conn // nil: free
}

const firstSlots = 1024

func newTable() table { return table{slots: make([]slot, firstSlots)} }

// hashSeed is secret: nobody can choose addresses that meet in one place.
type hashSeed [5]uint64

func newHashSeed() (s hashSeed) {
	for i := range s {
		s[i] = rand.Uint64()
	}
	return s
}

// hash folds the key by multiplication (as wyhash does, https://github.com/wangyi-fudan/wyhash).
func (s *hashSeed) hash(k *key) uint64 { return fold(s.addresses(k.a, k.b)^k.path, k.rest^s[4]) }

func (s *hashSeed) addresses(a, b decode.Bits) uint64 {
	return fold(a.High^s[0], a.Low^s[1]) ^ fold(b.High^s[2], b.Low^s[3])
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// find returns the conversation, nil when there is none.
func (t *table) find(hash uint64, k *key) *conn {
	mask := uint64(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.c == nil {
			return nil
		}
		if s.hash == hash && s.c.key.is(k) {
			return s.c
		}
	}
}

// add puts a conversation in that is not there yet.
func (t *table) add(c *conn) {
	if t.used*4 >= len(t.slots)*3 {
		old := t.slots
		t.slots = make([]slot, 2*len(old))
		for _, s := range old {
			if s.c != nil {
				t.place(s)
			}
		}
	}
	t.place(slot{c.hash, c})
	t.used++
}

func (t *table) place(s slot) {
	mask := uint64(len(t.slots) - 1)
	i := s.hash & mask
	for t.slots[i].c != nil {
		i = (i + 1) & mask
	}
	t.slots[i] = s
}

// remove takes a conversation out and closes the hole, so that every search still ends at the first free slot.
func (t *table) remove(c *conn) {
	mask := uint64(len(t.slots) - 1)
	i := c.hash & mask
	for t.slots[i].c != c {
		if t.slots[i].c == nil {
			return
		}
		i = (i + 1) & mask
	}
	t.used--
	for j := i; ; {
		j = (j + 1) & mask
		s := t.slots[j]
		if s.c == nil {
			break
		}
		if home := s.hash & mask; (j-home)&mask >= (j-i)&mask { // it may move to the hole: that lies between its home and its place
			t.slots[i] = s
			i = j
		}
	}
	t.slots[i] = slot{}
}
