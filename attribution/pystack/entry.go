package pystack

import (
	"strings"

	"netaudit/attribution/pystack/memory"
)

// Entry is what Odoo's dispatcher was asked to call: call_kw(model, name, args, kwargs), in odoo.api to Odoo 18 and in odoo.service.model since.
type Entry struct {
	Method string
	Owners []string // modules of the model's classes that have the method, the one that is called first; compiled classes too
}

// maxEntryOwners bounds the overrides of one method that are listed.
const maxEntryOwners = 8

// entryOf reads the entry of a dispatcher's frame; the zero value for all other frames, and when it cannot be read.
func (p *Process) entryOf(r memory.Reader, f rawFrame, function, module string, arguments int32) Entry {
	if !dispatches(function, module, arguments) {
		return Entry{}
	}
	name := p.local(r, f, 1)
	if name == 0 || p.argument(f) == 0 {
		return Entry{}
	}
	return p.entry(f.typ, name)
}

// local is the object in a frame's local with this number, 0 when it cannot be read.
func (p *Process) local(r memory.Reader, f rawFrame, n uint64) uint64 {
	obj, err := memory.Uint64(r, f.addr+p.rt.layout.fLocals+8*n)
	if err != nil {
		return 0
	}
	if p.rt.layout.minor >= 14 {
		obj &^= 3
	}
	return obj
}

// Job is what Odoo's scheduler was asked to run: ir.cron's _callback(self, cron_name, server_action_id).
type Job struct {
	Name   string // of the scheduled action
	Action int    // number of its server action
}

// jobOf reads the job of the scheduler's frame; the zero value for all other frames, and when it cannot be read.
func (p *Process) jobOf(r memory.Reader, f rawFrame, function, module string, arguments int32) Job {
	if arguments < 3 || function[strings.LastIndexByte(function, '.')+1:] != "_callback" || module != "odoo.addons.base.models.ir_cron" {
		return Job{}
	}
	name, err := p.rt.layout.str(p.mem, p.local(r, f, 1))
	if err != nil {
		return Job{}
	}
	action, err := p.rt.layout.smallInt(p.mem, p.local(r, f, 2))
	if err != nil {
		return Job{}
	}
	return Job{name, int(action)}
}

// dispatches says whether a function is Odoo's dispatcher.
func dispatches(function, module string, arguments int32) bool {
	return arguments >= 2 && function == "call_kw" && strings.HasPrefix(module, "odoo.")
}

// entry describes the call of a method, given by its name's object, of a type; 0 when that could not be read.
func (p *Process) entry(typ, name uint64) Entry {
	method, err := p.rt.layout.str(p.mem, name)
	if err != nil {
		return Entry{}
	}
	e := Entry{Method: method}
	if typ == 0 {
		return e
	}
	for _, class := range p.classes(typ) {
		dict, err := memory.Uint64(p.mem, class+typeDict)
		if err != nil || dict == 0 {
			continue
		}
		keys, err := memory.Uint64(p.mem, dict+dictKeys)
		if err != nil {
			continue
		}
		if value, err := p.rt.layout.lookup(p.mem, keys, name); err != nil || value == 0 {
			continue
		}
		if owner := p.classModule(class); owner != "" && len(e.Owners) < maxEntryOwners {
			e.Owners = append(e.Owners, owner)
		}
	}
	return e
}

// forged says that globals which call themselves a module of an addon are not the globals of that module: sys.modules has another one under the name, or none. Globals of other names
// are never called forged.
func (p *Process) forged(globals, name uint64, module string) bool {
	if !ofAddon(module) {
		return false
	}
	l := &p.rt.layout
	dict, err := p.follow(p.rt.addr+l.interpretersHead+8, l.modules) // interpreters.main
	if err != nil {
		return false
	}
	keys, err := memory.Uint64(p.mem, dict+dictKeys)
	if err != nil {
		return false
	}
	object, err := l.lookup(p.mem, keys, name)
	if err == nil && object == 0 { // the name is another string object without a hash
		_, object, err = l.dictFind(p.mem, keys, module, maxModules)
	}
	if err != nil {
		return false
	}
	if object == 0 {
		return true
	}
	theirs, err := memory.Uint64(p.mem, object+moduleDict)
	return err == nil && theirs != globals
}

// ofAddon says whether a name is that of a module of an Odoo addon.
func ofAddon(module string) bool {
	return strings.HasPrefix(module, "odoo.addons.") || strings.HasPrefix(module, "openerp.addons.")
}

// specOf names the module of an addon by what its loader wrote into its globals (__spec__.name), "" when that is no addon's, or when sys.modules has other globals under the name.
func (p *Process) specOf(globals, keys uint64) string {
	l := &p.rt.layout
	_, spec, err := l.dictFind(p.mem, keys, "__spec__", maxEntries)
	if err != nil || spec == 0 {
		return ""
	}
	object, err := l.instanceAttribute(p.mem, spec, "name")
	if err != nil || object == 0 {
		return ""
	}
	name, err := l.str(p.mem, object)
	if err != nil || !ofAddon(name) || p.forged(globals, object, name) {
		return ""
	}
	return name
}

// maxModules bounds the search in sys.modules.
const maxModules = 16384

// follow reads a pointer, and the one at an offset in what it points to.
func (p *Process) follow(addr, offset uint64) (uint64, error) {
	to, err := memory.Uint64(p.mem, addr)
	if err != nil {
		return 0, err
	}
	return memory.Uint64(p.mem, to+offset)
}
