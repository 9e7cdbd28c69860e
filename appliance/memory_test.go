package appliance

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestStaySmallCollectsEarlierAndRefusesNothing makes garbage beside little and beside much that is needed.
func TestStaySmallCollectsEarlierAndRefusesNothing(t *testing.T) {
	const wanted = 64 << 20
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); StaySmall(ctx, wanted) }()
	for limit := int64(math.MaxInt64); limit != wanted; limit = debug.SetMemoryLimit(-1) {
		runtime.Gosched()
	}
	needed := make([][]byte, 0, 96)
	for range cap(needed) {
		needed = append(needed, make([]byte, 1<<20))
	}
	runtime.GC()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if limit := debug.SetMemoryLimit(-1); limit > int64(len(needed))<<20 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the bound stays below what is needed")
		}
	}
	runtime.KeepAlive(needed)
	stop()
	<-ended
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		t.Errorf("the bound %d outlives the watching", limit)
	}
}

func TestWhoeverSetsGOMEMLIMITDecides(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "1GiB")
	StaySmall(t.Context(), 64<<20) // it returns at once
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		t.Errorf("the bound is %d", limit)
	}
}

func TestCollectingThatCostsMuchGetsRoom(t *testing.T) {
	room := leastRoom
	for range 10 {
		room = nextRoom(room, 2*muchCollecting)
	}
	if room != mostRoom {
		t.Errorf("room %v while collecting costs much", room)
	}
	for range 100 {
		room = nextRoom(room, muchCollecting/2)
	}
	if room != leastRoom {
		t.Errorf("room %v while collecting costs little", room)
	}
	if got := memoryBound(100, 200, 0.25); got != 250 {
		t.Errorf("%d", got)
	}
	if got := memoryBound(300, 200, 0.25); got != 300 {
		t.Errorf("%d", got)
	}
}

func TestMemoryBoundThatCannotWorkIsRefused(t *testing.T) {
	for mb, ok := range map[int]bool{0: true, 32: true, 31: false, -1: false} {
		c := DefaultConfig()
		c.MemoryMB = mb
		if err := c.Check(); (err == nil) != ok {
			t.Errorf("memory_mb %d: %v", mb, err)
		}
	}
}
