package hook

import (
	"net/netip"
	"testing"
	"time"

	"netaudit/attribution/pystack"
)

func TestSenderWithManyDestinationsIsOnlyNamedForItsOwn(t *testing.T) {
	s := newStore()
	one, two, three := netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("192.0.2.2:53"), netip.MustParseAddrPort("192.0.2.3:53")
	first, second := &Call{Cookie: 7, Proto: 17, Remote: one}, &Call{Cookie: 7, Proto: 17, Remote: two}
	s.addCall(first)
	if s.of(7, 17, three) != first { // translated: it has no other
		t.Error("the only call of a socket was not taken")
	}
	s.addCall(second)
	if s.of(7, 17, one) != first || s.of(7, 17, two) != second || s.of(7, 17, three) != nil || s.of(7, 6, one) != nil || s.of(8, 17, one) != nil {
		t.Errorf("%v %v %v %v", s.of(7, 17, one), s.of(7, 17, two), s.of(7, 17, three), s.of(7, 6, one))
	}
}

func TestStoreForgetsTheOldestWhenItIsFull(t *testing.T) {
	s := newStore()
	remote := netip.MustParseAddrPort("192.0.2.1:443")
	local := func(i int) netip.AddrPort { return netip.AddrPortFrom(remote.Addr(), uint16(i)) }
	slots := make([]byte, 64*pystack.SlotSize)
	const n = 3 * mostCalls
	for i := range n {
		s.addCall(&Call{Caller: Caller{Slots: slots}, Cookie: uint64(i), Proto: 6, Remote: remote})
		s.addPacket(packet{cookie: uint64(i), proto: 6, local: local(i), remote: remote, at: time.Unix(int64(i), 0)})
	}
	if len(s.byCookie) > mostCalls || s.calls.len() != len(s.byCookie) || s.slots > mostSlots || s.slots != s.calls.len()*len(slots) || len(s.byEnds) > mostPackets {
		t.Errorf("%d calls, %d queued, %d bytes, %d packets", len(s.byCookie), s.calls.len(), s.slots, len(s.byEnds))
	}
	if s.of(0, 6, remote) != nil || s.of(n-1, 6, remote) == nil {
		t.Error("not the oldest was forgotten")
	}
}
