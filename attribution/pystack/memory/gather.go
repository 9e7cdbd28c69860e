package memory

import "golang.org/x/sys/unix"

// Pieces are places in memory that are to be read together: addresses, each with the number of bytes.
type Pieces map[uint64]uint64

// Add asks for n bytes at addr.
func (p Pieces) Add(addr, n uint64) { p[addr] = max(p[addr], n) }

// span is a piece of memory and the room for it.
type span struct {
	addr uint64
	data []byte
	used bool
}

// spans makes room for the pieces.
func (p Pieces) spans() []span {
	if len(p) == 0 {
		return nil
	}
	total := uint64(0)
	for _, n := range p {
		total += n
	}
	room := make([]byte, total)
	spans := make([]span, 0, len(p))
	for addr, n := range p {
		spans = append(spans, span{addr: addr, data: room[:n:n]})
		room = room[n:]
	}
	return spans
}

// mostVectors is the kernel's bound on the pieces of one process_vm_readv(2) (UIO_MAXIOV).
const mostVectors = 1024

// gather fills in the spans with as few system calls as there can be, and returns those that could be read.
func gather(r Reader, spans []span) []span {
	p, ok := r.(Process)
	read := spans[:0:0]
	for i := 0; i < len(spans); {
		n := 0
		if ok {
			n = p.gather(spans[i:min(len(spans), i+mostVectors)])
			read = append(read, spans[i:i+n]...)
			i += n
		}
		if n == 0 { // the first one cannot be read, or this reader knows no vectors
			if r.ReadAt(spans[i].addr, spans[i].data) == nil {
				read = append(read, spans[i])
			}
			i++
		}
	}
	return read
}

// gather reads up to the first piece that cannot be read and returns how many it has read.
func (p Process) gather(spans []span) int {
	local, remote := make([]unix.Iovec, 0, len(spans)), make([]unix.RemoteIovec, 0, len(spans))
	for _, s := range spans {
		if len(s.data) == 0 {
			break
		}
		local = append(local, unix.Iovec{Base: &s.data[0], Len: uint64(len(s.data))})
		remote = append(remote, unix.RemoteIovec{Base: uintptr(s.addr), Len: len(s.data)})
	}
	if len(local) == 0 {
		return 0
	}
	total, err := unix.ProcessVMReadv(int(p), local, remote, 0)
	if err != nil {
		return 0
	}
	n := 0
	for _, s := range spans[:len(local)] {
		if total -= len(s.data); total < 0 {
			break
		}
		n++
	}
	return n
}
