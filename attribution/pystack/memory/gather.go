package memory

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"
)

// Piece is N bytes of memory at an address.
type Piece struct{ Addr, N uint64 }

// vector is what is read in one go: pieces that lie close together, and what lies between them. To copy some bytes more takes the kernel less time than to find a page once more.
type vector struct {
	addr, size   uint64
	at           int // where in the room
	first, after int // its pieces
}

// Pieces are joined when no page has to be read for the gap alone: one more page could be one that cannot be read.
const (
	page    = 4096
	mostGap = 512 // bytes
)

// joins says whether a piece that begins at addr is read together with those that end before end.
func joins(end, addr uint64) bool {
	return addr <= end || addr-end <= mostGap && addr/page == (end-1)/page
}

// gathering is one turn of copying: the pieces, how they are joined, and the copies. It is used again, so that a turn takes no new memory.
type gathering struct {
	wanted  []Piece
	vectors []vector
	copies  []span // one for each piece
	local   []unix.Iovec
	remote  []unix.RemoteIovec
}

// sort orders the pieces by address, and leaves only the longest of those that begin at the same.
func (g *gathering) sort() {
	slices.SortFunc(g.wanted, func(a, b Piece) int {
		if a.Addr == b.Addr {
			return cmp.Compare(b.N, a.N)
		}
		return cmp.Compare(a.Addr, b.Addr)
	})
	g.wanted = slices.CompactFunc(g.wanted, func(longest, same Piece) bool { return longest.Addr == same.Addr })
}

// join makes vectors of the sorted pieces, and says how much room they need behind what is in use.
func (g *gathering) join(inUse int) (need int) {
	g.vectors, g.copies = g.vectors[:0], g.copies[:0]
	for first := 0; first < len(g.wanted); {
		v := vector{addr: g.wanted[first].Addr, at: inUse + need, first: first, after: first}
		for end := v.addr; v.after < len(g.wanted) && (v.after == first || joins(end, g.wanted[v.after].Addr)); v.after++ {
			piece := g.wanted[v.after]
			g.copies = append(g.copies, span{addr: piece.Addr, at: uint32(v.at + int(piece.Addr-v.addr)), n: uint32(piece.N)})
			end = max(end, piece.Addr+piece.N)
			v.size = end - v.addr
		}
		g.vectors = append(g.vectors, v)
		need += int(v.size)
		first = v.after
	}
	return need
}

// mostVectors is the kernel's bound on the pieces of one process_vm_readv(2) (UIO_MAXIOV).
const mostVectors = 1024

// read fills the room with as few system calls as there can be. Copies of what could not be read are left out.
func (g *gathering) read(r Reader, room []byte) {
	p, ok := r.(Process)
	for rest := g.vectors; len(rest) > 0; {
		n := 0
		if ok {
			n = g.readAtOnce(p, rest[:min(len(rest), mostVectors)], room)
		}
		if rest = rest[n:]; n == 0 { // the first one cannot be read as a whole, or this reader knows no vectors
			g.readOneByOne(r, rest[0], room)
			rest = rest[1:]
		}
	}
	g.copies = slices.DeleteFunc(g.copies, func(s span) bool { return s.n == 0 })
}

// readOneByOne reads each piece of a vector by itself.
func (g *gathering) readOneByOne(r Reader, v vector, room []byte) {
	for i := v.first; i < v.after; i++ {
		if s := &g.copies[i]; r.ReadAt(s.addr, s.in(room)) != nil {
			s.n = 0
		}
	}
}

// readAtOnce reads up to the first vector that cannot be read and returns how many it has read.
func (g *gathering) readAtOnce(p Process, vectors []vector, room []byte) int {
	g.local, g.remote = g.local[:0], g.remote[:0]
	for _, v := range vectors {
		g.local = append(g.local, unix.Iovec{Base: &room[v.at], Len: v.size})
		g.remote = append(g.remote, unix.RemoteIovec{Base: uintptr(v.addr), Len: int(v.size)})
	}
	total, err := unix.ProcessVMReadv(int(p), g.local, g.remote, 0)
	if err != nil {
		return 0
	}
	for n, v := range vectors {
		if total -= int(v.size); total < 0 {
			return n
		}
	}
	return len(vectors)
}
