package memory

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"
)

// Piece is N bytes of memory at an address.
type Piece struct{ Addr, N uint64 }

// Pieces are places in memory that are to be read together, in any order; one may be named several times.
type Pieces []Piece

// Add asks for n bytes at addr.
func (p *Pieces) Add(addr, n uint64) { *p = append(*p, Piece{addr, n}) }

// span is a piece of memory and the room for it.
type span struct {
	addr uint64
	data []byte
	used bool
}

// vector is what is read in one go: pieces that lie close together, and what lies between them. To copy some bytes more takes the kernel less time than to find a page once more.
type vector struct {
	addr, size uint64
	data       []byte
	spans      []span // its pieces
}

// Pieces are joined when no page has to be read for the gap alone: one more page could be one that cannot be read.
const (
	page    = 4096
	mostGap = 512 // bytes
)

// vectors makes room for the pieces: by address, the longest of those that begin at the same. Those that end beyond the last address are left out. It changes
// the order of p.
func (p Pieces) vectors() []vector {
	slices.SortFunc(p, func(a, b Piece) int { return cmp.Or(cmp.Compare(a.Addr, b.Addr), cmp.Compare(b.N, a.N)) })
	p = slices.CompactFunc(p, func(longest, same Piece) bool { return longest.Addr == same.Addr })
	p = slices.DeleteFunc(p, func(x Piece) bool { return x.N == 0 || x.Addr+x.N < x.Addr })
	spans, vectors, first := make([]span, len(p)), make([]vector, 0, len(p)), 0
	total := uint64(0)
	for i, end := 0, uint64(0); i < len(p); i++ {
		spans[i].addr = p[i].Addr
		if end = max(end, p[i].Addr+p[i].N); i+1 < len(p) && joins(end, p[i+1].Addr) {
			continue
		}
		vectors = append(vectors, vector{addr: p[first].Addr, size: end - p[first].Addr, spans: spans[first : i+1]})
		total += end - p[first].Addr
		first, end = i+1, 0
	}
	room := make([]byte, total)
	for i := range vectors {
		v := &vectors[i]
		v.data, room = room[:v.size:v.size], room[v.size:]
		for k := range v.spans {
			off := v.spans[k].addr - v.addr
			v.spans[k].data = v.data[off : off+p[k].N]
		}
		p = p[len(v.spans):]
	}
	return vectors
}

// joins says whether a piece that begins at addr is read together with those that end before end.
func joins(end, addr uint64) bool {
	return addr <= end || addr-end <= mostGap && addr/page == (end-1)/page
}

// mostVectors is the kernel's bound on the pieces of one process_vm_readv(2) (UIO_MAXIOV).
const mostVectors = 1024

// gather reads the pieces with as few system calls as there can be, and returns those that could be read, by address.
func gather(r Reader, pieces Pieces) []span {
	p, ok := r.(Process)
	read := make([]span, 0, len(pieces))
	for vectors := pieces.vectors(); len(vectors) > 0; {
		n := 0
		if ok {
			n = p.gather(vectors[:min(len(vectors), mostVectors)])
		}
		for _, v := range vectors[:n] {
			read = append(read, v.spans...)
		}
		if vectors = vectors[n:]; n == 0 { // the first one cannot be read as a whole, or this reader knows no vectors
			read = append(read, vectors[0].oneByOne(r)...)
			vectors = vectors[1:]
		}
	}
	return read
}

// oneByOne reads each piece by itself and returns those that could be read.
func (v vector) oneByOne(r Reader) []span {
	return slices.DeleteFunc(v.spans, func(s span) bool { return r.ReadAt(s.addr, s.data) != nil })
}

// gather reads up to the first vector that cannot be read and returns how many it has read.
func (p Process) gather(vectors []vector) int {
	local, remote := make([]unix.Iovec, len(vectors)), make([]unix.RemoteIovec, len(vectors))
	for i, v := range vectors {
		local[i] = unix.Iovec{Base: &v.data[0], Len: uint64(len(v.data))}
		remote[i] = unix.RemoteIovec{Base: uintptr(v.addr), Len: len(v.data)}
	}
	total, err := unix.ProcessVMReadv(int(p), local, remote, 0)
	if err != nil {
		return 0
	}
	for n, v := range vectors {
		if total -= len(v.data); total < 0 {
			return n
		}
	}
	return len(vectors)
}
