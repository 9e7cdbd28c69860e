package pystack

import (
	"fmt"
	"strings"

	"netaudit/attribution/pystack/memory"
)

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
	reading        uint64 // of which stack it was first read
}

// fleeting says that the code was no file's: texts out of Odoo's database are compiled for one call, and the next one can have all its parts at the addresses of the last. It is read anew for each stack.
func (c *code) fleeting() bool {
	return !strings.HasPrefix(c.file, "/") && !strings.HasPrefix(c.file, "<frozen ")
}

// wantCode asks for a code object, and for the texts of one that is read anew for each stack, as long as they were the last time.
func (p *Process) wantCode(view *memory.Overlay, addr uint64) {
	l := &p.rt.layout
	view.Want(addr, l.codeSize())
	if c := p.codes[addr]; c != nil && c.fleeting() {
		view.Want(c.head.filename, l.asciiSize+uint64(len(c.file)))
		view.Want(c.head.name, l.asciiSize+uint64(len(c.function)))
		view.Want(c.head.lines, bytesItems+uint64(len(c.table)))
	}
}

// maxCode bounds what is read of a code object, in bytes.
const maxCode = 256

// codeSize is how much of a code object is read, in bytes.
func (l *layout) codeSize() uint64 {
	return min(max(l.coLines, l.coName, l.coQualname, l.coFilename)+8, maxCode)
}

func (l *layout) codeHead(r memory.Reader, addr uint64) (codeHead, error) {
	b, err := memory.Bytes(r, addr, int(l.codeSize()))
	if err != nil {
		return codeHead{}, err
	}
	var none [8]byte // for what this version has not, or has beyond the bound
	at := func(off uint64) []byte {
		if off > uint64(len(b)-len(none)) {
			return none[:]
		}
		return b[off:]
	}
	name := l.coName
	if l.coQualname != 0 {
		name = l.coQualname
	}
	return codeHead{
		filename: le64(at(l.coFilename), 0), name: le64(at(name), 0), lines: le64(at(l.coLines), 0),
		first: int32(le32(at(l.coFirstline), 0)), argcount: int32(le32(at(l.coArgcount), 0)),
	}, nil
}

// code describes a code object. The remembered description counts if it still is the same object; r may be a copy of a moment, and what is not remembered is read from the process.
func (p *Process) code(r memory.Reader, addr uint64) (*code, error) {
	l := &p.rt.layout
	h, err := l.codeHead(r, addr)
	if err != nil {
		return nil, err
	}
	if c := p.codes[addr]; c != nil && c.head == h && (c.reading == p.reading || !c.fleeting()) {
		return c, nil
	}
	c := &code{head: h, reading: p.reading}
	if c.file, err = l.str(r, h.filename); err != nil {
		return nil, err
	}
	if c.function, err = l.str(r, h.name); err != nil {
		return nil, err
	}
	if c.table, err = bytesObject(r, h.lines); err != nil {
		return nil, err
	}
	if !ofOneMoment(r) {
		if now, err := l.codeHead(p.mem, addr); err != nil || now != h {
			return nil, fmt.Errorf("a code object that is another one by now: %w", errImplausible)
		}
	}
	p.reserve(len(c.file) + len(c.function) + len(c.table))
	p.codes[addr] = c
	return c, nil
}

// ofOneMoment says that all that was read belongs together, see Process.inOneMoment.
func ofOneMoment(r memory.Reader) bool {
	view, ok := r.(*memory.Overlay)
	return ok && view.OneMoment
}

// moduleName is what a dict of globals calls its module. A dict may be freed and another begin at the same address: witness is a word of it that tells them apart.
type moduleName struct {
	keys           uint64 // ma_keys
	witness, value uint64 // the address of the word, and what it was: the reference to the name, or the number of entries when there is none
	name           string
	forged         bool
	spec           string // module of an addon whose globals these are, when the name says something else
}

// module is the name under "__name__" in a dict of globals, "" when it has none, and whether that name is forged.
func (p *Process) module(r memory.Reader, globals uint64) (moduleName, error) {
	keys, err := memory.Uint64(r, globals+dictKeys)
	if err != nil {
		return moduleName{}, err
	}
	if m, ok := p.modules[globals]; ok && m.keys == keys {
		if value, err := memory.Uint64(r, m.witness); err == nil && value == m.value {
			return m, nil
		}
	}
	m := moduleName{keys: keys}
	l := &p.rt.layout
	if m.witness, m.value, err = l.dictFind(r, keys, "__name__", maxEntries); err != nil {
		return m, err
	}
	if m.value == 0 {
		m.witness = keys + l.dictCount()
		if m.value, err = memory.Uint64(r, m.witness); err != nil {
			return m, err
		}
	} else if m.name, err = l.str(r, m.value); err != nil {
		return m, err
	}
	m.forged = p.forged(globals, m.value, m.name)
	if m.value != 0 && !ofAddon(m.name) {
		m.spec = p.specOf(globals, keys)
	}
	p.reserve(len(m.name))
	p.modules[globals] = m
	return m, nil
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
