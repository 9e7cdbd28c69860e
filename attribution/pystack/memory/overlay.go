package memory

import (
	"slices"
	"sync"
)

// Overlay answers reads from copies taken earlier and passes all others on: what is copied in one go is walked without further system calls. It belongs to one goroutine.
type Overlay struct {
	OneMoment bool // for its owner to say of the copies; a read that is passed on ends it

	below  Reader
	copies []span // by address, one of each
	last   int    // the copy that was read last
	room   []byte // what they are copies of
	turns  int    // in which they were copied

	turn  gathering
	spare []span
}

// span is a copy of a piece of memory.
type span struct {
	addr uint64
	at   uint32 // where in the room
	n    uint32 // bytes
	used bool
}

// in is the copy.
func (s span) in(room []byte) []byte { return room[s.at : s.at+s.n : s.at+s.n] }

// part is what the copy, which has it, holds of n bytes at addr.
func (s *span) part(room []byte, addr, n uint64) []byte {
	off := addr - s.addr
	return s.in(room)[off : off+n : off+n]
}

// has says whether n bytes at addr are part of it.
func (s *span) has(addr, n uint64) bool {
	off, size := addr-s.addr, uint64(s.n)
	return off <= size && n <= size-off
}

// mostRoom is what an overlay may keep when it is closed, in bytes: some stacks with all they refer to.
const mostRoom = 256 << 10

var closed = sync.Pool{New: func() any { return new(Overlay) }}

// Over makes an overlay without copies.
func Over(below Reader) *Overlay {
	o := closed.Get().(*Overlay)
	o.below = below
	return o
}

// Close lets another overlay use the room. What was read from this one by Bytes, and the overlay itself, must not be used any more.
func (o *Overlay) Close() {
	if cap(o.room) > mostRoom {
		return
	}
	o.turn.wanted = o.turn.wanted[:0]
	*o = Overlay{copies: o.copies[:0], room: o.room[:0], turn: o.turn, spare: o.spare[:0]}
	closed.Put(o)
}

// Fetch copies n bytes at addr from the reader below, if they are not there yet.
func (o *Overlay) Fetch(addr uint64, n int) error {
	if o.find(addr, uint64(n)) != nil {
		return nil
	}
	s := span{addr: addr, at: uint32(len(o.room)), n: uint32(n)}
	o.room = slices.Grow(o.room, n)[:len(o.room)+n]
	if err := o.below.ReadAt(addr, s.in(o.room)); err != nil {
		return err
	}
	o.add(append(o.turn.copies[:0], s))
	return nil
}

// Want asks for n bytes at addr, to be copied by Gather together with others; in any order, and one may be named several times.
func (o *Overlay) Want(addr, n uint64) {
	if beyondTheEnd := addr+n < addr; n != 0 && !beyondTheEnd && o.find(addr, n) == nil {
		o.turn.wanted = append(o.turn.wanted, Piece{addr, n})
	}
}

// Copied are n bytes at addr, which must not be changed; nil when they are not copied. They do not count as used.
func (o *Overlay) Copied(addr, n uint64) []byte {
	if s := o.find(addr, n); s != nil {
		return s.part(o.room, addr, n)
	}
	return nil
}

// Gather copies at once what is wanted and not there yet. A piece that cannot be read is left out: whoever asks for it later gets the error.
func (o *Overlay) Gather() {
	g := &o.turn
	if len(g.wanted) == 0 {
		return
	}
	g.sort()
	need := g.join(len(o.room))
	o.room = slices.Grow(o.room, need)[:len(o.room)+need]
	g.read(o.below, o.room)
	o.add(g.copies)
	g.wanted = g.wanted[:0]
}

// Used are the pieces that were read from copies. same says that these are all that was copied, and that it was copied at once.
func (o *Overlay) Used() (pieces []Piece, same bool) {
	same = o.turns == 1 && !slices.ContainsFunc(o.copies, func(s span) bool { return !s.used })
	if same {
		return nil, true
	}
	for _, s := range o.copies {
		if s.used {
			pieces = append(pieces, Piece{s.addr, uint64(s.n)})
		}
	}
	return pieces, false
}

// add merges the copies of a turn, which come by address, one of each. Of two that begin at the same address the longer one stays.
func (o *Overlay) add(turn []span) {
	if len(turn) == 0 {
		return
	}
	o.turns++
	all, old := o.spare[:0], o.copies
	for len(old) > 0 && len(turn) > 0 {
		switch a, b := old[0], turn[0]; {
		case a.addr < b.addr:
			all, old = append(all, a), old[1:]
		case a.addr > b.addr:
			all, turn = append(all, b), turn[1:]
		case a.n < b.n:
			old = old[1:]
		default:
			turn = turn[1:]
		}
	}
	o.copies, o.spare = append(append(all, old...), turn...), o.copies
}

// find is the copy in which n bytes at addr are; nil when there is none.
func (o *Overlay) find(addr, n uint64) *span {
	if o.last < len(o.copies) && o.copies[o.last].has(addr, n) {
		return &o.copies[o.last]
	}
	i, after := -1, len(o.copies) // the last one that begins at addr or before, and those behind it
	for i+1 < after {
		if middle := int(uint(i+1+after) / 2); o.copies[middle].addr <= addr {
			i = middle
		} else {
			after = middle
		}
	}
	if i < 0 || !o.copies[i].has(addr, n) {
		return nil
	}
	o.last = i
	return &o.copies[i]
}

// ReadAt implements Reader.
func (o *Overlay) ReadAt(addr uint64, buf []byte) error {
	if s := o.find(addr, uint64(len(buf))); s != nil {
		s.used = true
		copy(buf, s.part(o.room, addr, uint64(len(buf))))
		return nil
	}
	o.OneMoment = false
	return o.below.ReadAt(addr, buf)
}
