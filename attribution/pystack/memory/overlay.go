package memory

import (
	"cmp"
	"slices"
)

// Overlay answers reads from copies taken earlier and passes all others on: what is copied in one go is walked without further system calls. It belongs to one goroutine.
type Overlay struct {
	Below  Reader
	Passed bool // whether a read was passed on, since it was last set to false

	copies []span // by address, one of each
	turns  int    // in which they were copied
}

// Fetch copies n bytes at addr from the reader below, if they are not there yet.
func (o *Overlay) Fetch(addr uint64, n int) error {
	if o.find(addr, uint64(n)) != nil {
		return nil
	}
	s := span{addr: addr, data: make([]byte, n)}
	if err := o.Below.ReadAt(addr, s.data); err != nil {
		return err
	}
	o.add([]span{s})
	return nil
}

// Gather copies many small pieces at once, those that are not there yet. A piece that cannot be read is left out: whoever asks for it later gets the error.
func (o *Overlay) Gather(pieces Pieces) {
	if len(o.copies) == 0 {
		o.add(gather(o.Below, slices.Clone(pieces)))
	} else if missing := o.missing(pieces); len(missing) > 0 {
		o.add(gather(o.Below, missing))
	}
}

func (o *Overlay) missing(pieces Pieces) (out Pieces) {
	for _, p := range pieces {
		if o.find(p.Addr, p.N) == nil {
			out = append(out, p)
		}
	}
	return out
}

// Used are the pieces that were read from copies. same says that these are all that was copied, and that it was copied at once.
func (o *Overlay) Used() (pieces Pieces, same bool) {
	same = o.turns == 1 && !slices.ContainsFunc(o.copies, func(s span) bool { return !s.used })
	if same {
		return nil, true
	}
	for _, s := range o.copies {
		if s.used {
			pieces.Add(s.addr, uint64(len(s.data)))
		}
	}
	return pieces, false
}

func (o *Overlay) add(spans []span) {
	if len(spans) == 0 {
		return
	}
	if o.turns++; len(o.copies) == 0 {
		o.copies = spans // they come by address, one of each
		return
	}
	o.copies = append(o.copies, spans...)
	slices.SortFunc(o.copies, func(a, b span) int { return cmp.Or(cmp.Compare(a.addr, b.addr), cmp.Compare(len(b.data), len(a.data))) })
	o.copies = slices.CompactFunc(o.copies, func(longest, s span) bool { return longest.addr == s.addr })
}

// find is the copy in which n bytes at addr are; nil when there is none.
func (o *Overlay) find(addr, n uint64) *span {
	i, after := -1, len(o.copies) // the last one that begins at addr or before, and those behind it
	for i+1 < after {
		if middle := int(uint(i+1+after) / 2); o.copies[middle].addr <= addr {
			i = middle
		} else {
			after = middle
		}
	}
	if i < 0 {
		return nil
	}
	s := &o.copies[i]
	if off, size := addr-s.addr, uint64(len(s.data)); off > size || n > size-off {
		return nil
	}
	return s
}

// ReadAt implements Reader.
func (o *Overlay) ReadAt(addr uint64, buf []byte) error {
	if s := o.find(addr, uint64(len(buf))); s != nil {
		s.used = true
		copy(buf, s.data[addr-s.addr:])
		return nil
	}
	o.Passed = true
	return o.Below.ReadAt(addr, buf)
}
