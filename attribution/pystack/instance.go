package pystack

import (
	"fmt"

	"netaudit/attribution/pystack/memory"
)

// Offsets in PyTypeObject, PyDictObject and PyHeapTypeObject; layoutgen checks them.
const (
	typeBasicSize  = 32  // tp_basicsize
	typeFlags      = 168 // tp_flags
	typeDictOffset = 288 // tp_dictoffset
	dictValues     = 40  // ma_values
)

// Flags of a type (object.h): where its instances have their attributes, from 3.11 and 3.13.
const (
	flagInlineValues = 1 << 2
	flagManagedDict  = 1 << 4
)

// cachedKeys is PyHeapTypeObject.ht_cached_keys: the names of attributes that the instances of a class share. The structures before it have grown.
func (l *layout) cachedKeys() uint64 {
	switch {
	case l.minor == 9:
		return 864
	case l.minor <= 11:
		return 872
	default:
		return 880
	}
}

// valuesAt is where the values begin in the structure that a split dict or an object refers to.
func (l *layout) valuesAt() uint64 {
	if l.minor >= 13 {
		return 8 // after capacity, size and flags
	}
	return 0
}

// instanceAttribute finds an attribute in an object's own dictionary, however that is kept (Objects/dictobject.c, Objects/typeobject.c); 0 when it is not there.
func (l *layout) instanceAttribute(r memory.Reader, obj uint64, name string) (uint64, error) {
	typ, err := memory.Uint64(r, obj+obType)
	if err != nil {
		return 0, err
	}
	flags, err := memory.Uint64(r, typ+typeFlags)
	if err != nil {
		return 0, err
	}
	if l.minor < 11 || flags&flagManagedDict == 0 {
		return l.attributeAtOffset(r, obj, typ, name)
	}
	at, err := memory.Uint64(r, obj-24)
	if err != nil {
		return 0, err
	}
	values := uint64(0)
	switch {
	case l.minor == 11 && at == 0:
		values, err = memory.Uint64(r, obj-32)
	case l.minor == 12 && at&1 == 1:
		values, at = at+1, 0
	case l.minor >= 13 && at == 0 && flags&flagInlineValues != 0:
		var size uint64
		size, err = memory.Uint64(r, typ+typeBasicSize)
		values = obj + size
	}
	if err != nil {
		return 0, err
	}
	if at != 0 {
		return l.dictValue(r, at, name, maxAttributes)
	}
	keys, err := memory.Uint64(r, typ+l.cachedKeys())
	if err != nil || values == 0 {
		return 0, err
	}
	return l.splitValue(r, keys, values, name)
}

// attributeAtOffset is for a class that says where its instances keep their dictionary.
func (l *layout) attributeAtOffset(r memory.Reader, obj, typ uint64, name string) (uint64, error) {
	offset, err := memory.Uint64(r, typ+typeDictOffset)
	if err != nil || offset == 0 {
		return 0, err
	}
	const largest = 1 << 16
	if offset > largest { // negative, in objects of variable size
		return 0, fmt.Errorf("an object whose attributes are not found: %w", errImplausible)
	}
	dict, err := memory.Uint64(r, obj+offset)
	if err != nil || dict == 0 {
		return 0, err
	}
	return l.dictValue(r, dict, name, maxAttributes)
}

// dictValue finds a value in a dict, among its first most entries; 0 when it is not there.
func (l *layout) dictValue(r memory.Reader, dict uint64, name string, most uint64) (uint64, error) {
	keys, err := memory.Uint64(r, dict+dictKeys)
	if err != nil {
		return 0, err
	}
	values, err := memory.Uint64(r, dict+dictValues)
	if err != nil {
		return 0, err
	}
	if values != 0 {
		return l.splitValue(r, keys, values, name)
	}
	_, value, err := l.dictFind(r, keys, name, most)
	return value, err
}

// splitValue finds a value whose name stands in shared keys and which stands itself among an object's values, at the same place.
func (l *layout) splitValue(r memory.Reader, keys, values uint64, name string) (uint64, error) {
	entries, count, stride, keyAt, err := l.dictEntries(r, keys)
	if err != nil {
		return 0, err
	}
	table := make([]byte, min(count, maxAttributes)*stride)
	if err := r.ReadAt(entries, table); err != nil {
		return 0, fmt.Errorf("reading shared keys: %w", err)
	}
	for n := uint64(0); n*stride < uint64(len(table)); n++ {
		if key := le64(table, int(n*stride+keyAt)); key != 0 && l.is(r, key, name) {
			return memory.Uint64(r, values+l.valuesAt()+8*n)
		}
	}
	return 0, nil
}

// maxModels bounds how many classes of models are asked for their database.
const maxModels = 16

// Database names the database whose models are on a stack: every class of an Odoo model belongs to the registry of one database. "" when there is no model, or when they are of several.
func (p *Process) Database(frames []Frame) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked, found := map[uint64]bool{}, ""
	for _, f := range frames {
		if f.typ == 0 || asked[f.typ] || len(asked) == maxModels {
			continue
		}
		asked[f.typ] = true
		switch name := p.databaseOf(f.typ); {
		case name == "" || name == found:
		case found != "":
			return ""
		default:
			found = name
		}
	}
	return found
}

// pool is where the class of a model refers to its registry. The dictionary of such a class has hundreds of entries, which are searched once: what stands in this place is always read anew.
type pool struct {
	dict, keys uint64 // the class's dictionary and the keys object that the place is in
	at         uint64 // address of the reference
}

// maxPools bounds how many classes are remembered.
const maxPools = 4096

// databaseOf reads pool.db_name of a model's class.
func (p *Process) databaseOf(typ uint64) string {
	l := &p.rt.layout
	registry := p.registryOf(typ)
	if registry == 0 {
		return ""
	}
	if kind, err := l.nameOfType(p.mem, registry); err != nil || kind != "Registry" {
		return ""
	}
	object, err := l.instanceAttribute(p.mem, registry, "db_name")
	if err != nil || object == 0 {
		return ""
	}
	name, err := l.str(p.mem, object)
	if err != nil {
		return ""
	}
	return name
}

// registryOf is what the class of a model has under "pool"; 0 when it has nothing there.
func (p *Process) registryOf(typ uint64) uint64 {
	l := &p.rt.layout
	dict, err := memory.Uint64(p.mem, typ+typeDict)
	if err != nil || dict == 0 {
		return 0
	}
	keys, err := memory.Uint64(p.mem, dict+dictKeys)
	if err != nil {
		return 0
	}
	if known, ok := p.pools[typ]; ok && known.dict == dict && known.keys == keys {
		var entry [16]byte // of a dict whose keys are strings: the key stands before the value
		if p.mem.ReadAt(known.at-8, entry[:]) == nil && l.is(p.mem, le64(entry[:], 0), "pool") {
			return le64(entry[:], 8)
		}
	}
	at, registry, err := l.dictFind(p.mem, keys, "pool", maxAttributes)
	if err != nil || registry == 0 {
		return 0
	}
	if len(p.pools) >= maxPools {
		clear(p.pools)
	}
	p.pools[typ] = pool{dict, keys, at}
	return registry
}
