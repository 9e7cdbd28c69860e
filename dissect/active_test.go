package dissect

import (
	"slices"
	"testing"
)

// uses collects what is said of flows that are used again: bytes of the initiator before, and in the packet.
type uses struct {
	collector
	list [][2]uint64
}

func (u *uses) FlowActive(f *Flow, sent uint64) {
	u.list = append(u.list, [2]uint64{f.SrcBytes - sent, sent})
}

func TestRequestAfterAPauseIsANewUse(t *testing.T) {
	w := newWire(t)
	list := dialogue(w, "cS sSA cA cPA:hello sPA:hi cA cPA:again! sPA:yes cPA:thrice sPA:no cPA:fin")
	for i := range list[6:] { // before "again!"
		list[6+i].Time += 60_000_000
	}
	list[len(list)-1].Time += 60_000_000
	u := &uses{}
	e := New(Config{}, u)
	for i := range list {
		e.Packet(&list[i])
	}
	e.Close()
	if want := [][2]uint64{{5, 6}, {17, 3}}; !slices.Equal(u.list, want) {
		t.Errorf("%v, want %v", u.list, want)
	}
}
