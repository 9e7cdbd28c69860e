package resolve

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"netaudit/attribution"
	"netaudit/attribution/kernel"
	"netaudit/attribution/native"
	"netaudit/attribution/odoo"
)

// compiledCode lists the shared objects of addons on the machine stack of a thread, where the process has loaded any: then the thread must wait in a system call until after this returned.
func (w *witness) compiledCode(tid int) (loaded bool) {
	w.compiled = nil
	if len(w.r.loaded.of(w.process, w.ofAddon())) == 0 {
		return false
	}
	files, err := native.Objects(w.holder.PID, tid, w.ofAddon())
	if err != nil { // the thread does not wait any more: its stack is not believed either
		w.r.config.Logger.Debug("reading a machine stack", "error", err)
	}
	w.compiled = files
	return true
}

// recordedCode lists the shared objects of addons on the part of a machine stack that was recorded with a call.
func (w *witness) recordedCode(stack []byte) []string {
	if stack == nil {
		return nil
	}
	files, err := native.ObjectsIn(w.process.PID, stack, w.ofAddon())
	if err != nil { // the process has ended: without this witness
		w.r.config.Logger.Debug("reading a recorded machine stack", "error", err)
	}
	return files
}

// nameEntry is for code that leaves no frame of an addon between the framework and the call. Two witnesses together name it: the class that has the method which was called, and compiled code of
// the same addon, and of no other, on the machine stack. The class alone only tells the entry: what its method called is not known.
func (w *witness) nameEntry(o *attribution.Owner, entry odoo.Entry, steps, compiled []odoo.Step) {
	if len(compiled) == 1 && slices.Contains(entry.Addons, compiled[0].Addon) {
		o.Addon = w.addon(append(compiled, steps...))
		o.Addon.Model, o.Addon.Method = entry.Model, entry.Method
		o.Evidence.Confidence = attribution.ConfidenceHigh
		o.Evidence.Reason = "compiled code: its class has the method that was called, and its shared object is on the machine stack"
		return
	}
	for _, name := range slices.Concat(entry.Addons, odoo.Names(compiled)) {
		if !slices.Contains(o.Evidence.Candidates, name) {
			o.Evidence.Candidates = append(o.Evidence.Candidates, name)
		}
	}
	switch {
	case len(entry.Addons) > 0:
		o.Evidence.Reason = fmt.Sprintf("only the entry point is known: method %s of %s, which %s has", entry.Method, entry.Model, strings.Join(entry.Addons, " and "))
	case entry.Model != "":
		o.Evidence.Reason = fmt.Sprintf("the code that %s called shows no addon; it was called as a method of %s", steps[0].Addon, entry.Model)
	default:
		o.Evidence.Reason = fmt.Sprintf("the code that %s called shows no addon", steps[0].Addon)
	}
	if o.Evidence.Candidates == nil {
		o.Evidence.Candidates = odoo.Names(steps)
	}
}

// compiledAddons are the addons whose compiled code lies on the machine stack.
func (w *witness) compiledAddons() []odoo.Step {
	var steps []odoo.Step
	for _, file := range w.compiled {
		name, dir := odoo.AddonOfFile(file, w.addonsPaths())
		if name != "" && !slices.ContainsFunc(steps, func(s odoo.Step) bool { return s.Addon == name }) {
			steps = append(steps, odoo.Step{Addon: name, Path: dir})
		}
	}
	return steps
}

// strangers are the compiled addons that are not on the chain.
func strangers(compiled, steps []odoo.Step) []string {
	var names []string
	for _, name := range odoo.Names(compiled) {
		if !slices.Contains(odoo.Names(steps), name) {
			names = append(names, name)
		}
	}
	return names
}

// besideRecord asks the thread itself as well where the recorded Python stack cannot tell the whole: when the framework called code that leaves no frame, and when the process has loaded compiled
// code of an addon, which leaves none either. The machine stack can only be looked at while the thread waits, unless machineStack says that its innermost part was recorded.
func (w *witness) besideRecord(ctx context.Context, recorded attribution.Owner, machineStack bool) attribution.Owner {
	loaded := w.r.loaded.of(w.process, w.ofAddon())
	if len(loaded) > 0 {
		w.r.stacks.withNative(w.process)
	}
	unexplained := recorded.Addon == nil && recorded.Evidence.Candidates != nil
	strange := recorded.Addon != nil && slices.ContainsFunc(loaded, func(path string) bool {
		name, _ := odoo.AddonOfFile(path, w.addonsPaths())
		return !slices.Contains(recorded.Addon.Chain, name)
	})
	switch {
	case recorded.Addon == nil && (recorded.Evidence.Reason == odoo.ByPool || recorded.Evidence.Reason == odoo.ByThread):
		return w.caughtDelegated(ctx, recorded)
	case unexplained:
		caught := *w
		if o := caught.caughtInstead(ctx, recorded, recorded.Evidence.Reason); o.Evidence.Source == attribution.SourceThread && o.Evidence.TID == recorded.Evidence.TID {
			return o
		}
	case strange:
		return w.besideStrangers(ctx, recorded, machineStack)
	}
	return recorded
}

// besideStrangers looks for compiled code of other addons on the machine stack of the thread that waits. When there is none, the record stands as it is: it is of the call, and the look is of a moment later. Where the innermost part of
// that stack was recorded with the call, and shows none, the thread is waited for briefly: a worker that waits is missed by all other calls.
func (w *witness) besideStrangers(ctx context.Context, recorded attribution.Owner, machineStack bool) attribution.Owner {
	caught := *w
	caught.brief = machineStack
	o, ok := caught.caughtToo(ctx, recorded)
	switch {
	case ok && o.Addon == nil && o.Evidence.Candidates != nil:
		return o
	case ok && o.Addon != nil && slices.Equal(o.Addon.Chain, recorded.Addon.Chain):
		return recorded
	}
	recorded.Evidence.Confidence = attribution.ConfidenceHigh
	recorded.Evidence.Reason = "the process has loaded compiled code of another addon, and whether that was on the machine stack could not be seen"
	return recorded
}

// caughtToo is what the thread of a record shows while it waits on the socket. ok is false when it is not seen waiting.
func (w *witness) caughtToo(ctx context.Context, recorded attribution.Owner) (o attribution.Owner, ok bool) {
	stacks, _, o, ok := w.python(attribution.Owner{Process: recorded.Process})
	if !ok || w.find(ctx) != nil {
		return o, false
	}
	t, ok, _ := w.blockedThread(ctx, stacks)
	if !ok || t.TID != recorded.Evidence.TID {
		return o, false
	}
	return w.fromThread(o, t), true
}

// ofAddon wants the files that lie in an addon.
func (w *witness) ofAddon() func(path string) bool {
	paths := w.addonsPaths()
	return func(path string) bool {
		name, _ := odoo.AddonOfFile(path, paths)
		return name != ""
	}
}

// loadedCode remembers for a moment which compiled code of addons a process has loaded. Safe for concurrent use.
type loadedCode struct {
	mu    sync.Mutex
	known map[int]loadedFiles
}

type loadedFiles struct {
	start uint64
	until time.Time
	files []string
}

// mostLoaded bounds the memory; when it is full it begins anew.
const (
	loadedLife = 2 * time.Second
	mostLoaded = 4096
)

// of lists the wanted files that the process has loaded; nil also when it is gone.
func (c *loadedCode) of(p kernel.Process, wanted func(path string) bool) []string {
	c.mu.Lock()
	l, ok := c.known[p.PID]
	c.mu.Unlock()
	if ok && l.start == p.StartTick && time.Now().Before(l.until) {
		return l.files
	}
	files, err := native.Loaded(p.PID, wanted)
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= mostLoaded {
		c.known = map[int]loadedFiles{}
	}
	c.known[p.PID] = loadedFiles{p.StartTick, time.Now().Add(loadedLife), files}
	return files
}
