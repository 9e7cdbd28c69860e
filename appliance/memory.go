package appliance

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// betweenLooks is how often StaySmall looks at what is needed.
const betweenLooks = 2 * time.Second

// StaySmall lets the garbage collector work earlier when the memory of this process comes near so many bytes, until ctx ends. Without it the buffers that the store throws away wait for
// a heap of several times what is needed. Nothing is refused: when more is really needed the bound moves up, because collecting in vain would only cost processors. Whoever sets GOMEMLIMIT decides
// instead. What the kernel maps from files is not counted. One goroutine of a process runs it.
func StaySmall(ctx context.Context, bytes int64) {
	if os.Getenv("GOMEMLIMIT") != "" || bytes <= 0 {
		return
	}
	before := debug.SetMemoryLimit(bytes)
	defer debug.SetMemoryLimit(before)
	tick := time.NewTicker(betweenLooks)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			debug.SetMemoryLimit(memoryBound(bytes, neededBytes()))
		}
	}
}

// memoryBound leaves room for half as much garbage as there is live memory.
func memoryBound(wanted, needed int64) int64 { return max(wanted, needed+needed/2) }

// neededBytes is what the last collection found in use, and what the runtime needs besides the heap.
func neededBytes() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	needed := int64(s[0].Value.Uint64()) + int64(s[1].Value.Uint64())
	for _, heap := range s[2:] {
		needed -= int64(heap.Value.Uint64())
	}
	return needed
}
