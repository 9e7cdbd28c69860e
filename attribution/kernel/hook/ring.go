package hook

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ring reads the records of a BPF ring buffer (kernel/bpf/ringbuf.c) where the kernel put them: without system calls, and without a copy. A question is answered by what is in the ring, and each system call is a fiftieth of the time
// to the answer. It is not safe for concurrent use.
type ring struct {
	consumer, producer []byte
	data               []byte  // of twice the size, mapped one after the other: a record never wraps around
	taken, filled      *uint64 // positions in bytes since the beginning, shared with the kernel
	mask               uint64
}

// A record begins with its length and two flags.
const (
	ringHeader  = 8
	ringBusy    = 1 << 31 // BPF_RINGBUF_BUSY_BIT: it is being written
	ringDiscard = 1 << 30 // BPF_RINGBUF_DISCARD_BIT
)

// mapRing maps a ring of size bytes, a power of two.
func mapRing(m *ebpf.Map, size int) (*ring, error) {
	page := os.Getpagesize()
	consumer, err := unix.Mmap(m.FD(), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the position in the ring: %w", err)
	}
	producer, err := unix.Mmap(m.FD(), int64(page), page+2*size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map the ring: %w", err), unix.Munmap(consumer))
	}
	return &ring{
		consumer: consumer, producer: producer, data: producer[page:], mask: uint64(size) - 1,
		taken: (*uint64)(unsafe.Pointer(&consumer[0])), filled: (*uint64)(unsafe.Pointer(&producer[0])),
	}, nil
}

func (r *ring) close() error { return errors.Join(unix.Munmap(r.producer), unix.Munmap(r.consumer)) }

// empty says whether there is nothing to take.
func (r *ring) empty() bool { return atomic.LoadUint64(r.taken) == atomic.LoadUint64(r.filled) }

// each hands all records over, the oldest first; a record is only valid during its call. One that is being written is waited for: those behind it have been written. It returns false when what is in the ring cannot be taken apart, which the
// kernel does not do; that is passed over.
func (r *ring) each(take func(record []byte)) bool {
	for !r.empty() {
		at := atomic.LoadUint64(r.taken)
		header := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.data[at&r.mask])))
		if header&ringBusy != 0 {
			runtime.Gosched()
			continue
		}
		length := uint64(header &^ (ringBusy | ringDiscard))
		end := at + ringHeader + (length+7)&^7
		if filled := atomic.LoadUint64(r.filled); end > filled {
			atomic.StoreUint64(r.taken, filled)
			return false
		}
		if header&ringDiscard == 0 {
			start := at&r.mask + ringHeader
			take(r.data[start : start+length : start+length])
		}
		atomic.StoreUint64(r.taken, end)
	}
	return true
}

// mapCounter maps an array of numbers that was made with BPF_F_MMAPABLE, to be read without a system call.
func mapCounter(m *ebpf.Map) (counter *atomic.Uint64, unmap func() error, err error) {
	b, err := unix.Mmap(m.FD(), 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("map a counter: %w", err)
	}
	return (*atomic.Uint64)(unsafe.Pointer(&b[0])), func() error { return unix.Munmap(b) }, nil
}
