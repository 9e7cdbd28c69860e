package memory

// Overlay answers reads from copies taken earlier and passes all others on. A stack that is copied in one go and walked
// in the copy cannot change under the walk. It belongs to one goroutine.
type Overlay struct {
	Below  Reader
	copies []copied
}

type copied struct {
	addr uint64
	data []byte
}

// Copy takes n bytes at addr from the reader below.
func (o *Overlay) Copy(addr uint64, n int) error {
	buf := make([]byte, n)
	if err := o.Below.ReadAt(addr, buf); err != nil {
		return err
	}
	o.copies = append(o.copies, copied{addr, buf})
	return nil
}

// Covers says whether an address lies in a copy.
func (o *Overlay) Covers(addr uint64) bool {
	for _, c := range o.copies {
		if addr >= c.addr && addr-c.addr < uint64(len(c.data)) {
			return true
		}
	}
	return false
}

// ReadAt implements Reader.
func (o *Overlay) ReadAt(addr uint64, buf []byte) error {
	for _, c := range o.copies {
		if addr < c.addr {
			continue
		}
		off := addr - c.addr
		size := uint64(len(c.data))
		if off <= size && uint64(len(buf)) <= size-off {
			copy(buf, c.data[off:])
			return nil
		}
	}
	return o.Below.ReadAt(addr, buf)
}
