package hook

import (
	"encoding/binary"
	"slices"
	"testing"
)

// inMemory is a ring of 64 bytes that no kernel writes.
func inMemory() *ring {
	return &ring{data: make([]byte, 128), mask: 63, taken: new(uint64), filled: new(uint64)}
}

// put writes a record as kernel/bpf/ringbuf.c does; its data may lie behind the end of the ring, where the second mapping shows the beginning.
func (r *ring) put(header uint32, data string) {
	at := *r.filled & r.mask
	binary.NativeEndian.PutUint32(r.data[at:], header)
	copy(r.data[at+ringHeader:], data)
	*r.filled += ringHeader + (uint64(len(data))+7)&^7
}

func (r *ring) all() (list []string, ok bool) {
	ok = r.each(func(record []byte) { list = append(list, string(record)) })
	return list, ok
}

func TestRingHandsOverWhatWasNotDiscarded(t *testing.T) {
	r := inMemory()
	for round := range 5 { // three quarters of the ring each: records begin everywhere
		r.put(3, "one")
		r.put(3|ringDiscard, "two")
		r.put(12, "three, three")
		if list, ok := r.all(); !ok || !slices.Equal(list, []string{"one", "three, three"}) || !r.empty() {
			t.Fatalf("round %d: %q, %v", round, list, ok)
		}
	}
}

func TestRingThatCannotBeTakenApartIsPassedOver(t *testing.T) {
	r := inMemory()
	r.put(3, "one")
	r.put(1000, "two")
	if list, ok := r.all(); ok || len(list) != 1 || !r.empty() {
		t.Errorf("%q, %v", list, ok)
	}
	r.put(5, "three")
	if list, ok := r.all(); !ok || !slices.Equal(list, []string{"three"}) {
		t.Errorf("afterwards %q, %v", list, ok)
	}
}
