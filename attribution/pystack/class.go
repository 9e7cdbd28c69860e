package pystack

import (
	"strings"

	"netaudit/attribution/pystack/memory"
)

// Offsets in PyTypeObject (cpython/object.h), PyDictObject and PyTupleObject that no version differs in; layoutgen checks them.
const (
	obType     = 8   // ob_type, of every object
	typeName   = 24  // tp_name
	typeDict   = 264 // tp_dict
	typeMRO    = 344 // tp_mro
	dictKeys   = 32  // ma_keys
	moduleDict = 16  // md_dict of a module
	tupleSize  = 16  // ob_size
	tupleData  = 24  // ob_item, to 3.13: see tupleItems
)

// objectHead is how much of a first argument is read, in bytes: its type, and what a cell refers to.
const objectHead = 24

// tupleItems is where the items of a tuple begin: 3.14 keeps the hash before them.
func (l *layout) tupleItems() uint64 {
	if l.minor >= 14 {
		return tupleData + 8
	}
	return tupleData
}

// Bounds on the search for a method's class.
const (
	maxClasses    = 256  // of one method resolution order
	maxAttributes = 2048 // of one class
	functionWords = 16   // of a function object that are searched for its code
	maxOwners     = 4096 // that are remembered
)

// owner is what is remembered of a method: the type of its first argument and its code.
type owner struct{ typ, code uint64 }

// ownerOf names the module of the class in which a frame's method stands: the first class in the method resolution order of the first argument's type that
// has this very code under the method's name. "" when there is none, or when it cannot be read: what a function calls its globals proves nothing, but its class had to be
// registered under a name.
func (p *Process) ownerOf(typ, code uint64, method string) string {
	key := owner{typ, code}
	if name, ok := p.owners[key]; ok {
		return name
	}
	name := p.searchOwner(typ, code, method[strings.LastIndexByte(method, '.')+1:])
	if len(p.owners) >= maxOwners {
		clear(p.owners)
	}
	p.owners[key] = name
	return name
}

func (p *Process) searchOwner(typ, code uint64, method string) string {
	for _, class := range p.classes(typ) {
		function := p.rt.layout.attribute(p.mem, class, method)
		if function != 0 && hasCode(p.mem, function, code) {
			return p.classModule(class)
		}
	}
	return ""
}

// classes is the method resolution order of a type, nil when it cannot be read.
func (p *Process) classes(typ uint64) []uint64 {
	mro, err := memory.Uint64(p.mem, typ+typeMRO)
	if err != nil || mro == 0 {
		return nil
	}
	size, err := memory.Uint64(p.mem, mro+tupleSize)
	if err != nil || size > maxClasses {
		return nil
	}
	items := make([]byte, 8*size)
	if len(items) == 0 || p.mem.ReadAt(mro+p.rt.layout.tupleItems(), items) != nil {
		return nil
	}
	list := make([]uint64, size)
	for i := range list {
		list[i] = le64(items, 8*i)
	}
	return list
}

// classModule is what a class calls its module, "" when that is no text.
func (p *Process) classModule(class uint64) string {
	module := p.rt.layout.attribute(p.mem, class, "__module__")
	if module == 0 {
		return ""
	}
	name, err := p.rt.layout.str(p.mem, module)
	if err != nil {
		return ""
	}
	return name
}

// attribute finds an entry of a class's own dictionary; 0 when there is none.
func (l *layout) attribute(r memory.Reader, class uint64, name string) uint64 {
	dict, err := memory.Uint64(r, class+typeDict)
	if err != nil || dict == 0 {
		return 0
	}
	keys, err := memory.Uint64(r, dict+dictKeys)
	if err != nil {
		return 0
	}
	_, value, err := l.dictFind(r, keys, name, maxAttributes)
	if err != nil {
		return 0
	}
	return value
}

// hasCode says whether a function object refers to a code object. The place of func_code differs between versions; no other field can have its value. What has no references is freed, and only looks like a function until its memory is
// used again.
func hasCode(r memory.Reader, function, code uint64) bool {
	var words [8 * functionWords]byte
	if r.ReadAt(function, words[:]) != nil || le32(words[:], 0) == 0 {
		return false
	}
	for off := 16; off < len(words); off += 8 {
		if le64(words[:], off) == code {
			return true
		}
	}
	return false
}
