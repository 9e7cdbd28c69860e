package appliance

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// betweenLooks is how often StaySmall looks at what is needed and what collecting costs.
const betweenLooks = 500 * time.Millisecond

// StaySmall lets the garbage collector work earlier when the memory of this process comes near so many bytes, until ctx ends. Without it the buffers that the store throws away wait for
// a heap of several times what is needed. Nothing is refused: when more is really needed, or when collecting costs much of the processors, the bound moves up. Whoever sets GOMEMLIMIT decides
// instead. What the kernel maps from files is not counted. One goroutine of a process runs it.
func StaySmall(ctx context.Context, bytes int64) {
	if os.Getenv("GOMEMLIMIT") != "" || bytes <= 0 {
		return
	}
	before := debug.SetMemoryLimit(bytes)
	defer debug.SetMemoryLimit(before)
	tick := time.NewTicker(betweenLooks)
	defer tick.Stop()
	room, last := leastRoom, readUsage()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := readUsage()
			room = nextRoom(room, (now.collecting-last.collecting)/max(now.processors-last.processors, 1e-9))
			last = now
			debug.SetMemoryLimit(memoryBound(bytes, now.needed, room))
		}
	}
}

// Room for garbage, as a share of what is needed.
const (
	leastRoom = 0.25
	mostRoom  = 1.0 // as without a bound

	muchCollecting = 0.08 // of all processors' time
)

// nextRoom gives more room while collecting costs much, and takes it back slowly.
func nextRoom(room, collecting float64) float64 {
	if collecting > muchCollecting {
		return min(mostRoom, room*1.5)
	}
	return max(leastRoom, room*0.95)
}

func memoryBound(wanted, needed int64, room float64) int64 {
	return max(wanted, needed+int64(float64(needed)*room))
}

// usage is what this process uses.
type usage struct {
	needed                 int64   // bytes that the last collection found in use, and what the runtime needs besides the heap
	collecting, processors float64 // seconds since the start, of collecting and of everything, idling included
}

func readUsage() usage {
	s := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/total:cpu-seconds"},
	}
	metrics.Read(s)
	needed := int64(s[0].Value.Uint64()) + int64(s[1].Value.Uint64())
	for _, heap := range s[2:6] {
		needed -= int64(heap.Value.Uint64())
	}
	return usage{needed, s[6].Value.Float64(), s[7].Value.Float64()}
}
