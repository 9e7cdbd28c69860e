package main

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// collection reads how far the heap grows until it is collected, in percent.
func collection() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// TestCollectLateIsOverAfterTheFirst: a replay whose flows take much memory is collected as any other program.
func TestCollectLateIsOverAfterTheFirst(t *testing.T) {
	t.Setenv("GOGC", "")
	usual := collection()
	collectLate()
	if got := collection(); got != lateCollection {
		t.Fatalf("the first collection comes at %d %%, want %d", got, lateCollection)
	}
	runtime.GC()
	for collection() != usual { // the cleanup runs on another goroutine, some time after the collection; without it the test never ends
		runtime.Gosched()
	}
}

func TestCollectLateLeavesTheChoiceToTheUser(t *testing.T) {
	t.Setenv("GOGC", "50")
	before := collection()
	collectLate()
	if got := collection(); got != before {
		t.Errorf("collection at %d %%, want %d as before", got, before)
	}
}
