package resolve

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"netaudit/attribution"
	"netaudit/attribution/kernel"
	"netaudit/attribution/odoo"
	"netaudit/attribution/pystack"
)

// witness looks for the caller of one socket whose process is known.
type witness struct {
	r       *Resolver
	q       question
	socket  kernel.Socket
	holder  kernel.Holder
	process kernel.Process

	compiled    []string // shared objects below the addons paths on the machine stack of the thread that was caught
	brief       bool     // the thread is not waited for as long as patience
	own         int      // how many frames of the thread that was caught are its own, where those of the one that waits for its work follow; 0: all
	early       *lone    // the only thread there was when it was not found waiting; nil: there were more, or it had no addon code
	lookedEarly bool     // early was looked for, and the thread did not run
}

// lone is the only thread of a process, and whose code it runs.
type lone struct {
	tid   int
	addon string
}

// testify says who made the call, with the best evidence there is.
func (w *witness) testify(ctx context.Context) attribution.Owner {
	o, self := w.certain(0)
	if self {
		return o
	}
	switch w.q.about {
	case acceptor:
		o.Evidence.Reason = "inbound: the process that accepted the connection"
		return o
	case server:
		return w.serving(ctx, o)
	}
	stacks, _, o, ok := w.python(o)
	if !ok {
		return o
	}
	thread, ok, gone := w.blockedThread(ctx, stacks)
	if ok {
		o = w.fromThread(o, thread)
		if o.Addon == nil && o.Process.Role == odoo.RoleOther {
			return w.child(o) // a Python program may be somebody's child like any other
		}
		return o
	}
	return w.fromAll(o, stacks, gone)
}

// certain is what is known of the process whatever its threads do. self says that it is netaudit: then there is nothing else to find out.
func (w *witness) certain(tid int) (o attribution.Owner, self bool) {
	o = attribution.Owner{Process: w.describe(w.process, nil)}
	o.Evidence = attribution.Evidence{Source: attribution.SourceProcess, Confidence: attribution.ConfidenceExact, TID: tid}
	if self = w.process.PID == ownPID; self {
		o.Process.Role = odoo.RoleSelf
	}
	return o, self
}

// python gives access to the stacks of the process. Where there are none, ok is false and the owner is all that can be said.
func (w *witness) python(o attribution.Owner) (stacks *pystack.Process, serial uint64, _ attribution.Owner, ok bool) {
	stacks, serial, err := w.r.stacks.get(w.process)
	switch {
	case errors.Is(err, pystack.ErrNotPython):
		return nil, 0, w.child(o), false
	case err != nil:
		o.Evidence.Confidence, o.Evidence.Reason = attribution.ConfidenceUnknown, "stack not readable: "+err.Error()
		return nil, 0, o, false
	}
	return stacks, serial, o, true
}

// blockedThread finds the thread that waits on the socket and reads its stack. The thread sleeps in one and the same system call on the descriptor while that is read, and the descriptor is the same socket before and afterwards:
// then the stack is the stack of this call, not of the next one.
func (w *witness) blockedThread(ctx context.Context, stacks *pystack.Process) (t pystack.Thread, ok, gone bool) {
	begun := time.Now()
	deadline, waiterDeadline := begun.Add(patience), begun.Add(waiterPatience)
	if w.brief {
		deadline, waiterDeadline = begun.Add(briefly), begun.Add(briefly)
	}
	for nap := firstNap; ; nap = nap * longerNap / 2 {
		var rest pystack.Rest
		if _, found := kernel.Waiting(w.holder.PID, w.holder.FD, func(tid int) string { rest = pystack.Resting(w.holder.PID, tid); return rest.Call() }); found {
			t, err := stacks.Asleep(rest) // one that runs has left the system call, or is about to
			alone := false
			if err == nil {
				t, alone = w.forWhom(stacks, t)
			}
			compiled := w.compiledCode(rest.TID())
			if err == nil && w.holder.Holds(w.socket.Inode) && (!compiled && w.own == 0 || rest.Lasts()) {
				if alone {
					t = w.untilSomebodyWaits(ctx, stacks, t, rest, waiterDeadline)
				}
				return t, true, false
			}
		}
		if !w.holder.Holds(w.socket.Inode) {
			return t, false, true
		}
		if w.q.about == caller && !w.brief {
			w.lookEarly(stacks)
		}
		if time.Now().After(deadline) || !pause(ctx, nap) {
			return t, false, false
		}
	}
}

// lookEarly keeps whose code the only thread of a process runs, when that can be read for the first time.
func (w *witness) lookEarly(stacks *pystack.Process) {
	if w.lookedEarly {
		return
	}
	t, err := stacks.Only()
	if w.lookedEarly = !errors.Is(err, pystack.ErrTorn); err == nil {
		w.early = w.loneOf(t)
	}
}

// same says that the only thread runs code of the same addon as at the first look.
func (w *witness) same(t pystack.Thread) bool {
	now := w.loneOf(t)
	return now != nil && *now == *w.early
}

func (w *witness) loneOf(t pystack.Thread) *lone {
	steps := odoo.Chain(w.framesOf(t))
	if len(steps) == 0 {
		return nil
	}
	return &lone{t.TID, steps[0].Addon}
}

// fromThread names the addon by the stack of the thread that was caught.
func (w *witness) fromThread(o attribution.Owner, t pystack.Thread) attribution.Owner {
	frames := w.framesOf(t)
	o.Evidence = attribution.Evidence{Source: attribution.SourceThread, Confidence: attribution.ConfidenceExact, TID: t.TID, At: time.Now()}
	o.Process = w.describeThread(t, frames)
	w.nameAddon(&o, frames)
	if w.own > 0 {
		o.Process.Role = w.describe(w.process, frames[:w.own]).Role
		if o.Addon != nil {
			o.Evidence.Confidence, o.Evidence.Reason = attribution.ConfidenceHigh, odoo.ForWaiting
		}
	}
	if o.Addon == nil && o.Evidence.Reason == "" {
		o.Evidence.Reason = odoo.Delegated(frames)
	}
	if o.Addon == nil && o.Evidence.Reason == "" {
		o.Evidence.Reason = "no addon on the stack of the calling thread"
	}
	return o
}

// fromAll is for a call whose thread could not be caught. If the process has no other thread, and that ran code of the same addon at the first look and at the last, it probably was that code; else the addons of all threads are
// candidates: that one thread happens to run an addon's code says nothing of calls that others make.
func (w *witness) fromAll(o attribution.Owner, stacks *pystack.Process, gone bool) attribution.Owner {
	reason := "the calling thread could not be caught waiting on the socket"
	switch {
	case gone:
		reason = "the socket was closed before its thread could be caught"
	case w.q.about == user:
		reason = "no thread was seen waiting on the socket"
	}
	read := stacks.ThreadsBriefly
	if w.early != nil && !gone { // it is named if it can be read, though it may never sleep
		read = stacks.Threads
	}
	threads, err := read()
	// The socket must still be there: a closed call's thread may have moved on. The user of a kept connection may have gone and left it open.
	if alone := len(threads) == 1 && err == nil; alone && !gone && w.early != nil && w.same(threads[0]) {
		w.compiled, w.own = nil, 0 // of another moment
		o = w.fromThread(o, threads[0])
		o.Evidence.Source, o.Evidence.Confidence = attribution.SourceProcess, attribution.ConfidenceLow
		if o.Addon != nil {
			o.Evidence.Reason = "the only thread, but not caught calling"
		}
		return o
	}
	for _, t := range threads {
		steps := odoo.Chain(w.framesOf(t))
		if len(steps) > 0 && !slices.Contains(o.Evidence.Candidates, steps[0].Addon) {
			o.Evidence.Candidates = append(o.Evidence.Candidates, steps[0].Addon)
		}
	}
	slices.Sort(o.Evidence.Candidates)
	o.Evidence.Confidence, o.Evidence.Reason = attribution.ConfidenceUnknown, reason
	return o
}

// nameAddon fills in the addon, its manifest and the stack.
func (w *witness) nameAddon(o *attribution.Owner, frames []odoo.Frame) {
	o.Stack = slices.Grow(o.Stack, len(frames))
	for _, f := range frames {
		name := f.Addon
		if name == "" {
			name = odoo.OwnerAddon(f)
		}
		o.Stack = append(o.Stack, attribution.Frame{File: f.File, Line: f.Line, Function: f.Function, Module: f.Module, Addon: name})
	}
	steps := odoo.Chain(frames)
	compiled := w.compiledAddons()
	if len(steps) == 0 {
		if len(compiled) > 0 {
			o.Evidence.Reason, o.Evidence.Candidates = "no addon on the Python stack; compiled code of an addon on the machine stack", odoo.Names(compiled)
		}
		return
	}
	if entry, ok := odoo.Dispatched(frames, steps[0].At); ok {
		w.nameEntry(o, entry, steps, compiled)
		return
	}
	if beside := strangers(compiled, steps); len(beside) > 0 {
		o.Evidence.Reason = "compiled code of an addon that is not on the Python stack lies on the machine stack"
		o.Evidence.Candidates = append([]string{steps[0].Addon}, beside...)
		return
	}
	var rivals []string
	if o.Evidence.Conflicts, rivals = odoo.Conflicts(frames, steps); rivals != nil {
		slices.Sort(rivals)
		o.Evidence.Reason, o.Evidence.Candidates = "what the code says of itself contradicts its class", rivals
		return
	}
	first := steps[0]
	o.Addon = w.addon(steps)
	o.Addon.CallSite, o.Addon.Model, o.Addon.Method = callSite(first), odoo.Model(first.Entry), odoo.Method(first.Entry)
}

// addon describes the innermost addon of a chain.
func (w *witness) addon(steps []odoo.Step) *attribution.Addon {
	root := rootOf(w.process)
	manifest := func(s odoo.Step) odoo.Manifest { return w.r.manifests.Read(root, s.Path) }
	m := manifest(steps[0])
	return &attribution.Addon{
		Name: steps[0].Addon, Version: m.Version, Author: m.Author, License: m.License, Chain: odoo.Names(steps),
		OnBehalfOf: odoo.OnBehalfOf(steps, func(s odoo.Step) bool { return manifest(s).Framework(s.Addon) }),
	}
}

// callSite is file:line function, the file relative to the addons directory.
func callSite(s odoo.Step) string {
	file := s.Frame.File
	if s.Path != "" {
		file = strings.TrimPrefix(file, filepath.Dir(s.Path)+"/")
	}
	return file + ":" + strconv.Itoa(s.Frame.Line) + " " + s.Frame.Function
}

// framesOf are the frames of a thread of the witness's process, located.
func (w *witness) framesOf(t pystack.Thread) []odoo.Frame {
	frames := framesOf(t)
	odoo.Locate(frames, w.addonsPaths())
	return frames
}

func framesOf(t pystack.Thread) []odoo.Frame {
	frames := make([]odoo.Frame, len(t.Frames))
	for i, f := range t.Frames {
		frames[i] = odoo.Frame{
			File: f.File, Line: f.Line, Function: f.Function, Module: f.Module, Arg0Type: f.Arg0Type, Owner: f.OwnerModule,
			Forged: f.Forged, Lost: f.Lost, Spec: f.Spec, EntryMethod: f.Entry.Method, EntryOwners: f.Entry.Owners,
		}
	}
	return frames
}

// recordedFrames names a recorded stack. It fails when a frame is gone that may have to be named.
func (w *witness) recordedFrames(stacks *pystack.Process, slots []byte) ([]pystack.Frame, error) {
	frames, err := stacks.Recorded(slots)
	if err != nil {
		return nil, err
	}
	lost := slices.ContainsFunc(frames, func(f pystack.Frame) bool { return f.Lost })
	if lost && odoo.Concealed(w.framesOf(pystack.Thread{Frames: frames})) {
		return nil, errors.New("the code of a recorded function was gone before it could be named")
	}
	return frames, nil
}

func (w *witness) addonsPaths() []string {
	if !odoo.LooksLikeOdoo(w.process.Args) {
		return w.r.config.AddonsPaths
	}
	s, _ := w.r.installs.of(w.process, nil)
	return append(slices.Clone(w.r.config.AddonsPaths), s.AddonsPaths...)
}
