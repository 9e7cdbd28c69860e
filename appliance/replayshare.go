package appliance

import (
	"context"
	"os"
	"runtime"
	"slices"

	"netaudit/dissect"
	"netaudit/tap"
)

const (
	sampleFrames = 16384 // are looked at before a file is shared: what is shorter is not worth it
	worthwhile   = 0.75  // of the frames: when one worker has more to follow than this, the others would only heat the room
)

// share says how many workers follow the flows of a file, and which of them each shard.
func (r *Replay) share(ctx context.Context, path string) (workers int, owner [dissect.Shards]int) {
	workers = min(r.Workers, dissect.Shards)
	if r.Line == nil {
		workers = 1
	}
	if workers == 1 {
		return workers, owner
	}
	load := sample(ctx, path)
	if workers < 1 {
		workers = min(runtime.GOMAXPROCS(0), dissect.Shards)
		if _, most := divide(load, workers); most > worthwhile {
			workers = 1
		}
	}
	owner, _ = divide(load, workers)
	return workers, owner
}

// sample counts the frames of each shard at the beginning of a file. Those that every worker must read to know whose they are count for shard 0, and so does all of what cannot be read twice, or is soon over.
func sample(ctx context.Context, path string) (load [dissect.Shards]int) {
	load[0] = 1
	if path == "-" {
		return load
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return load // whoever opens it says why
	}
	source, err := tap.OpenFile(path)
	if err != nil {
		return load
	}
	defer func() { _ = source.Close() }() // nothing was written
	var seen [dissect.Shards]int
	var p tap.Packet
	for range sampleFrames {
		if source.Next(ctx, &p) != nil {
			return load
		}
		shard, _ := dissect.ShardOf(&p)
		seen[shard]++
	}
	return seen
}

// divide gives each shard to the worker that has least to follow so far, the first one to the first. most is the part that one of them has.
func divide(load [dissect.Shards]int, workers int) (owner [dissect.Shards]int, most float64) {
	of, all := make([]int, workers), 0
	for shard, frames := range load {
		to := 0
		for i := range of {
			if shard > 0 && of[i] < of[to] {
				to = i
			}
		}
		owner[shard] = to
		of[to] += frames
		all += frames
	}
	return owner, float64(slices.Max(of)) / float64(max(all, 1))
}
