package pystack

import "netaudit/attribution/pystack/memory"

// The caches of one process are emptied when one of these bounds is reached.
const (
	codeMax   = 16384    // entries of each cache
	cacheSize = 64 << 20 // bytes of line tables and names
)

// codeHead is the part of a PyCodeObject that tells it from another at the same address.
type codeHead struct {
	filename, name, lines uint64
	first, argcount       int32
}

type code struct {
	head           codeHead
	file, function string
	table          []byte
}

// maxCode bounds what is read of a code object, in bytes.
const maxCode = 256

// codeHead is how much of a code object is read, in bytes.
func (l *layout) codeHead() uint64 {
	return min(max(l.coLines, l.coName, l.coQualname, l.coFilename)+8, maxCode)
}

func (p *Process) code(r memory.Reader, addr uint64) (*code, error) {
	l := &p.rt.layout
	var b [maxCode]byte
	buf := b[:l.codeHead()]
	if err := r.ReadAt(addr, buf); err != nil {
		return nil, err
	}
	at := func(off uint64, n int) []byte {
		if off+uint64(n) > uint64(len(buf)) {
			return make([]byte, n)
		}
		return buf[off:]
	}
	name := l.coName
	if l.coQualname != 0 {
		name = l.coQualname
	}
	h := codeHead{
		filename: le64(at(l.coFilename, 8), 0), name: le64(at(name, 8), 0), lines: le64(at(l.coLines, 8), 0),
		first: int32(le32(at(l.coFirstline, 4), 0)), argcount: int32(le32(at(l.coArgcount, 4), 0)),
	}
	if c := p.codes[addr]; c != nil && c.head == h {
		return c, nil
	}
	c := &code{head: h}
	var err error
	if c.file, err = l.str(r, h.filename); err != nil {
		return nil, err
	}
	if c.function, err = l.str(r, h.name); err != nil {
		return nil, err
	}
	if c.table, err = bytesObject(r, h.lines); err != nil {
		return nil, err
	}
	p.reserve(len(c.file) + len(c.function) + len(c.table))
	p.codes[addr] = c
	return c, nil
}

type globalsKey struct{ globals, keys uint64 }

func (p *Process) module(r memory.Reader, globals uint64) (string, error) {
	keys, err := memory.Uint64(r, globals+dictKeys)
	if err != nil {
		return "", err
	}
	key := globalsKey{globals, keys}
	if name, ok := p.modules[key]; ok {
		return name, nil
	}
	name, err := p.rt.layout.dictName(r, keys)
	if err != nil {
		return "", err
	}
	p.reserve(len(name))
	p.modules[key] = name
	return name, nil
}

// reserve makes room for n bytes in the caches.
func (p *Process) reserve(n int) {
	if len(p.codes) >= codeMax || len(p.modules) >= codeMax || p.cached+n > cacheSize {
		clear(p.codes)
		clear(p.modules)
		p.cached = 0
	}
	p.cached += n
}
