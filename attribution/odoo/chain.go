// Package odoo knows what Odoo looks like from outside: which addon a Python frame belongs to, who made a call and on whose behalf, what an
// addon's manifest says, what a process is for.
package odoo

import (
	"path/filepath"
	"slices"
	"strings"
)

// Frame is one Python stack frame, as the stack reader gives it.
type Frame struct {
	File     string
	Line     int
	Function string // qualified name where known
	Module   string
	Arg0Type string // type of the first argument; for methods of models the model's name
	Owner    string // module of the class that has the method, "" when unknown
	Forged   bool   // Module is not believed: these are not the globals of the module that has that name

	Spec string // module of the addon whose globals these are, when Module says something else

	Lost bool // its code was gone before it could be named: all else is empty

	Addon string // that it belongs to by its module or its file, "" for none; Locate fills it in
	Dir   string // of that addon, "" when the file does not tell

	EntryMethod string   // in the dispatcher's frame: the method that it calls
	EntryOwners []string // and the modules of the classes that have it, the one called first
}

// Step is one addon on the way from the call outwards.
type Step struct {
	Addon string
	Frame Frame  // the innermost frame of this step
	Outer Frame  // the outermost one: what the next step called
	Entry Frame  // the innermost one that is a method of a model, else Frame
	Path  string // directory of the addon, "" when the frame's file does not tell
	At    int    // index of Frame in the stack

	// Disguised says that only the class of a method told the addon, while the code presents itself as something else.
	Disguised bool
}

// OwnerAddon names the addon whose class has the frame's method, else the one whose module's globals it runs in whatever these call themselves; "" when that is not known or no addon.
func OwnerAddon(f Frame) string {
	if name := addonOfModule(f.Owner); name != "" {
		return name
	}
	return addonOfModule(f.Spec)
}

func addonOfModule(module string) string {
	rest, ok := cutAny(module, "odoo.addons.", "openerp.addons.")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, ".")
	return name
}

// Locate fills in the addon of each frame. What else this package says of frames it says of located ones.
func Locate(frames []Frame, addonsPaths []string) {
	for i := range frames {
		frames[i].Addon, frames[i].Dir = frames[i].addon(addonsPaths)
	}
}

// addon names the addon a frame belongs to: by its module (odoo.addons.X), then by its path under an addons directory. Code in forged globals may lie about its path as well: it belongs to none.
func (f *Frame) addon(addonsPaths []string) (name, dir string) {
	if f.Forged {
		return "", ""
	}
	name = addonOfModule(f.Module)
	byPath, dir := addonByPath(f.File, addonsPaths)
	if name == "" {
		return byPath, dir
	}
	if byPath != name {
		dir = "" // the file does not lie where the module says: do not read a manifest there
	}
	return name, dir
}

func cutAny(s string, prefixes ...string) (string, bool) {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(s, p); ok && rest != "" {
			return rest, true
		}
	}
	return "", false
}

// addonByPath reads …/addons/X/… or <addons path>/X/….
func addonByPath(file string, addonsPaths []string) (name, dir string) {
	if !filepath.IsAbs(file) {
		return "", ""
	}
	for _, base := range addonsPaths {
		if name, dir, ok := below(file, strings.TrimSuffix(base, "/")); ok {
			return name, dir
		}
	}
	if i := strings.LastIndex(file, "/odoo/addons/"); i >= 0 {
		name, dir, _ = below(file, file[:i+len("/odoo/addons")])
	}
	return name, dir
}

// below names the directory in base that a file lies in, and the path of that directory.
func below(file, base string) (name, dir string, ok bool) {
	rest, ok := strings.CutPrefix(file, base)
	if ok {
		rest, ok = strings.CutPrefix(rest, "/")
	}
	if !ok {
		return "", "", false
	}
	if name, _, ok = strings.Cut(rest, "/"); !ok {
		return "", "", false
	}
	return name, filepath.Clean(file[:len(base)+1+len(name)]), true
}

// Chain lists the addons on a stack (innermost frame first), one step for each run of frames of the same addon. A frame that names no addon but is a method of an
// addon's class is a step of its own (Disguised), unless the addon itself is right inside: then it is a decorator's wrapper around the method.
func Chain(frames []Frame) []Step {
	var steps []Step
	for i, f := range frames {
		name, dir := f.Addon, f.Dir
		disguised := false
		if name == "" {
			name = OwnerAddon(f)
			disguised = name != ""
		}
		if name == "" {
			continue
		}
		if n := len(steps); n > 0 && steps[n-1].Addon == name {
			steps[n-1].extend(f, dir)
			continue
		}
		steps = append(steps, Step{Addon: name, Frame: f, Outer: f, Entry: f, Path: dir, At: i, Disguised: disguised})
	}
	return steps
}

// Entry is what the framework called: a method of a model, and the addons whose classes have it, or a server action's code (then all is empty).
type Entry struct {
	Model, Method string
	Addons        []string // the one whose class is called first
}

// Dispatched says that the framework called code between the frame at index i and the call: then what that code is stands on the frames in between, or nowhere.
func Dispatched(frames []Frame, i int) (e Entry, ok bool) {
	for _, f := range frames[:i] {
		name := methodOf(f)
		switch {
		case name == "call_kw" && strings.HasPrefix(f.Module, "odoo."):
			e = Entry{Model: Model(f), Method: f.EntryMethod}
			for _, module := range f.EntryOwners {
				if addon := addonOfModule(module); addon != "" && !slices.Contains(e.Addons, addon) {
					e.Addons = append(e.Addons, addon)
				}
			}
			return e, true
		case evaluates(f):
			return e, true
		}
	}
	return e, false
}

// Concealed says that a frame whose code is lost may be what made the call, or on whose behalf it was made. The code that safe_eval runs is not: it is a text out of the database, and what it called stands inside of it.
func Concealed(frames []Frame) bool {
	named := false
	for i, f := range frames {
		if !f.Lost {
			named = named || f.Addon != "" || OwnerAddon(f) != ""
			continue
		}
		if !named || i+1 == len(frames) || !evaluates(frames[i+1]) {
			return true
		}
	}
	return false
}

// evaluates knows the function that runs texts out of the database.
func evaluates(f Frame) bool { return methodOf(f) == "safe_eval" && f.Module == "odoo.tools.safe_eval" }

// AddonOfFile names the addon whose directory a file lies in, and that directory.
func AddonOfFile(path string, addonsPaths []string) (name, dir string) {
	return addonByPath(path, addonsPaths)
}

// Conflicts are what the innermost addon's frames say of themselves against the classes that own them. rivals are two addons that each have one witness: then neither is named.
func Conflicts(frames []Frame, steps []Step) (conflicts, rivals []string) {
	if len(steps) == 0 {
		return nil, nil
	}
	first := steps[0]
	if claimed := addonOfModule(first.Frame.Module); first.Frame.Forged && claimed == first.Addon {
		return []string{"code in globals that call themselves " + first.Frame.Module + " and are not that module's"}, []string{claimed}
	}
	if first.Disguised {
		return []string{"code of " + first.Addon + " presents itself as " + presented(first.Frame)}, nil
	}
	for _, f := range frames[first.At:] {
		if f.Addon != "" && f.Addon != first.Addon {
			break
		}
		if owner := OwnerAddon(f); f.Addon != "" && owner != "" && owner != f.Addon {
			return []string{"a method of a class of " + owner + " presents itself as code of " + f.Addon}, []string{f.Addon, owner}
		}
	}
	return nil, nil
}

// presented is what a frame says of itself.
func presented(f Frame) string {
	switch {
	case f.Module != "":
		return f.Module
	case f.File != "":
		return f.File
	default:
		return "nothing"
	}
}

// extend takes a further frame of the same addon, outwards.
func (s *Step) extend(f Frame, dir string) {
	s.Outer = f
	if Model(s.Entry) == "" && Model(f) != "" {
		s.Entry = f
	}
	if s.Path == "" {
		s.Path = dir
	}
}

// Names are the distinct addons of a chain, innermost first.
func Names(steps []Step) []string {
	var names []string
	for _, s := range steps {
		if !slices.Contains(names, s.Addon) {
			names = append(names, s.Addon)
		}
	}
	return names
}

// OnBehalfOf is the next addon outwards that is neither part of the framework nor an innocent override: a method of the same name on the same model as
// the one it calls only passes the call on.
func OnBehalfOf(steps []Step, framework func(Step) bool) string {
	if len(steps) == 0 {
		return ""
	}
	for i, s := range steps[1:] {
		inner := steps[i].Outer
		override := methodOf(s.Frame) == methodOf(inner) && s.Frame.Arg0Type != "" && s.Frame.Arg0Type == inner.Arg0Type
		if s.Addon != steps[0].Addon && !framework(s) && !override {
			return s.Addon
		}
	}
	return ""
}

// methodOf is the last part of a qualified name.
func methodOf(f Frame) string { return f.Function[strings.LastIndexByte(f.Function, '.')+1:] }

// Method is the method that made the call.
func Method(f Frame) string { return methodOf(f) }

// Model is the first argument's type when it looks like a model's name (sale.order), else "".
func Model(f Frame) string {
	if strings.Contains(f.Arg0Type, ".") && !strings.HasPrefix(f.Arg0Type, "odoo.") && f.Arg0Type == strings.ToLower(f.Arg0Type) {
		return f.Arg0Type
	}
	return ""
}
