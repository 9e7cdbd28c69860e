package pystack

import (
	"bytes"
	"fmt"
	"slices"

	"netaudit/attribution/pystack/memory"
)

// registryModule has the class Registry, since Odoo 19 by import. Its attribute registries, an odoo.tools.lru.LRU, is a dict behind a lock: names of databases and their registries.
const registryModule = "odoo.modules.registry"

// lruValues are the attributes under which the LRU keeps its dict, in older Odoos and since.
var lruValues = []string{"d", "_values"}

// Offsets in PyMemberDescrObject (cpython/descrobject.h), PyMemberDef (structmember.h) and the RLock of Modules/_threadmodule.c; no version differs in them.
const (
	descriptorMember = 40 // d_member
	memberOffset     = 16 // offset
	lockOwner        = 24 // rlock_owner, or thread of _PyRecursiveMutex: 0 when nobody holds the lock
)

// Bounds on what is read of the registries.
const (
	maxRegistries   = 64
	registryEntries = 4 * maxRegistries // places of the dict, most of which are of entries that were deleted
	registryLooks   = 8
)

// Registries names the databases that an Odoo process has loaded, sorted; none is a process that has loaded none, or is no Odoo. What changes while it is read is read again: a list is whole. Errors wrap ErrTorn when it never
// stood still, else are those of Thread.
func (p *Process) Registries() ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	class, err := p.registryClass()
	if err != nil || class == 0 {
		return nil, asPermission(p.pid, err)
	}
	lru := p.rt.layout.attribute(p.mem, class, "registries")
	if kind, err := p.rt.layout.nameOfType(p.mem, lru); err != nil || kind != "LRU" { // not made before it is first asked for
		return nil, asPermission(p.pid, err)
	}
	locks := []uint64{p.rt.layout.attribute(p.mem, class, "_lock")} // a registry that is loaded anew is not there for a moment
	var lastErr error
	for range registryLooks {
		var names []string
		if names, lastErr = p.registriesOf(lru, locks); lastErr == nil || gone(lastErr) {
			return names, asPermission(p.pid, lastErr)
		}
	}
	return nil, fmt.Errorf("reading the registries of process %d: %w (the last of several readings: %w)", p.pid, ErrTorn, lastErr)
}

// registryClass finds the class odoo.modules.registry.Registry, and remembers where it is; 0 when the module is not loaded.
func (p *Process) registryClass() (uint64, error) {
	l := &p.rt.layout
	if p.registry != 0 && l.typeIs(p.mem, p.registry, "Registry") {
		return p.registry, nil
	}
	modules, err := p.follow(p.rt.addr+l.interpretersHead+8, l.modules) // interpreters.main
	if err != nil {
		return 0, err
	}
	module, err := l.dictValue(p.mem, modules, registryModule, maxModules)
	if err != nil || module == 0 {
		return 0, err
	}
	globals, err := memory.Uint64(p.mem, module+moduleDict)
	if err != nil {
		return 0, err
	}
	class, err := l.dictValue(p.mem, globals, "Registry", maxAttributes)
	if err != nil || class == 0 || !l.typeIs(p.mem, class, "Registry") {
		return 0, err
	}
	p.registry = class
	return class, nil
}

func (l *layout) typeIs(r memory.Reader, typ uint64, name string) bool {
	text, err := typeText(r, typ)
	return err == nil && text == name
}

// registriesOf reads the keys. Odoo may take a registry out of the dict for a moment while it is used or loaded anew: nobody may hold the LRU's lock or one of the others before, between and after the readings, and these must be the same.
// What was taken out and put back meanwhile shows, for each time uses up a place of the dict.
func (p *Process) registriesOf(lru uint64, locks []uint64) ([]string, error) {
	lock, err := p.memberOf(lru, "_lock")
	if err != nil {
		return nil, err
	}
	dict := uint64(0)
	for _, name := range lruValues {
		if dict, err = p.memberOf(lru, name); err != nil || dict != 0 {
			break
		}
	}
	if err != nil || dict == 0 || lock == 0 {
		return nil, fmt.Errorf("reading an LRU: %w", errImplausible)
	}
	locks = append(locks, lock)
	before, err := p.stateUnlocked(dict, locks)
	if err != nil {
		return nil, err
	}
	names, err := p.rt.layout.dictNames(p.mem, dict)
	if err != nil {
		return nil, err
	}
	after, err := p.stateUnlocked(dict, locks)
	if err == nil && !bytes.Equal(before, after) {
		err = fmt.Errorf("the registries change: %w", errImplausible)
	}
	return names, err
}

// stateUnlocked is the state of a dict. It fails while a thread holds one of the locks.
func (p *Process) stateUnlocked(dict uint64, locks []uint64) (state []byte, err error) {
	for n := range 2 {
		if n == 1 {
			if state, err = p.rt.layout.dictState(p.mem, dict); err != nil {
				return nil, err
			}
		}
		for _, lock := range locks {
			if lock == 0 { // the class has none
				continue
			}
			if kind, err := p.rt.layout.nameOfType(p.mem, lock); err != nil || kind != "_thread.RLock" { // Odoo's own tests replace it
				return nil, fmt.Errorf("a lock of another kind: %w", errImplausible)
			}
			owner, err := memory.Uint64(p.mem, lock+lockOwner)
			if err != nil {
				return nil, err
			}
			if owner != 0 {
				return nil, fmt.Errorf("a thread works with the registries: %w", errImplausible)
			}
		}
	}
	return state, nil
}

// memberOf finds an attribute of an object, in its dictionary or in a slot of its class; 0 when there is none.
func (p *Process) memberOf(obj uint64, name string) (uint64, error) {
	l, r := &p.rt.layout, p.mem
	value, err := l.instanceAttribute(r, obj, name)
	if err != nil || value != 0 {
		return value, err
	}
	typ, err := memory.Uint64(r, obj+obType)
	if err != nil {
		return 0, err
	}
	descriptor := uint64(0)
	for _, class := range p.classes(typ) {
		if descriptor = l.attribute(r, class, name); descriptor != 0 {
			break
		}
	}
	if descriptor == 0 {
		return 0, nil
	}
	if kind, err := l.nameOfType(r, descriptor); err != nil || kind != "member_descriptor" {
		return 0, err
	}
	member, err := memory.Uint64(r, descriptor+descriptorMember)
	if err != nil {
		return 0, err
	}
	offset, err := memory.Uint64(r, member+memberOffset)
	if err != nil || offset > maxState {
		return 0, fmt.Errorf("a slot at offset %d: %w", offset, errImplausible)
	}
	return memory.Uint64(r, obj+offset)
}

// dictState is a dict's head and table of entries as they stand.
func (l *layout) dictState(r memory.Reader, dict uint64) ([]byte, error) {
	var head [dictValues + 8]byte
	if err := r.ReadAt(dict, head[:]); err != nil {
		return nil, fmt.Errorf("reading a dict: %w", err)
	}
	entries, count, stride, _, err := l.dictEntries(r, le64(head[:], dictKeys))
	if err != nil {
		return nil, err
	}
	if count > registryEntries || count > 0 && le64(head[:], dictValues) != 0 { // to 3.10 an empty dict has values, and none in them
		return nil, fmt.Errorf("a dict of %d entries: %w", count, errImplausible)
	}
	table := make([]byte, count*stride)
	if err := r.ReadAt(entries, table); err != nil {
		return nil, fmt.Errorf("reading a dict: %w", err)
	}
	return slices.Concat(head[16:], table), nil
}

// dictNames lists the keys of a dict whose keys are strings, sorted.
func (l *layout) dictNames(r memory.Reader, dict uint64) ([]string, error) {
	keys, err := memory.Uint64(r, dict+dictKeys)
	if err != nil {
		return nil, err
	}
	entries, count, stride, keyAt, err := l.dictEntries(r, keys)
	if err != nil {
		return nil, err
	}
	table := make([]byte, min(count, registryEntries)*stride)
	if err := r.ReadAt(entries, table); err != nil {
		return nil, fmt.Errorf("reading a dict: %w", err)
	}
	var names []string
	for off := uint64(0); off < uint64(len(table)); off += stride {
		key, value := le64(table, int(off+keyAt)), le64(table, int(off+keyAt+8))
		if key == 0 || value == 0 {
			continue
		}
		name, err := l.str(r, key)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}
