package memory

import (
	"cmp"
	"slices"
)

// Overlay answers reads from copies taken earlier and passes all others on: what is copied in one go is walked without further system calls. It belongs to one goroutine.
type Overlay struct {
	Below  Reader
	Passed bool // whether a read was passed on, since it was last set to false

	copies []span // by address
}

// Copy takes n bytes at addr from the reader below.
func (o *Overlay) Copy(addr uint64, n int) error {
	s := span{addr, make([]byte, n)}
	if err := o.Below.ReadAt(addr, s.data); err != nil {
		return err
	}
	o.add(s)
	return nil
}

// Gather copies many small pieces at once. A piece that cannot be read is left out: whoever asks for it later gets the error.
func (o *Overlay) Gather(pieces Pieces) {
	o.add(gather(o.Below, pieces.spans())...)
}

func (o *Overlay) add(spans ...span) {
	o.copies = append(o.copies, spans...)
	slices.SortFunc(o.copies, func(a, b span) int { return cmp.Compare(a.addr, b.addr) })
}

// ReadAt implements Reader.
func (o *Overlay) ReadAt(addr uint64, buf []byte) error {
	i, found := slices.BinarySearchFunc(o.copies, addr, func(s span, addr uint64) int { return cmp.Compare(s.addr, addr) })
	if !found {
		i--
	}
	if i >= 0 {
		s := o.copies[i]
		off, size := addr-s.addr, uint64(len(s.data))
		if off <= size && uint64(len(buf)) <= size-off {
			copy(buf, s.data[off:])
			return nil
		}
	}
	o.Passed = true
	return o.Below.ReadAt(addr, buf)
}
