package resolve

import (
	"fmt"
	"slices"
	"strings"

	"netaudit/attribution"
	"netaudit/attribution/kernel"
	"netaudit/attribution/odoo"
	"netaudit/attribution/pystack"
)

// mostAncestors bounds how far up a child's parents are followed: sh -c "curl …" is two.
const mostAncestors = 3

// child joins a program that an Odoo process started (curl, wkhtmltopdf) to the thread that started it, as the kernel recorded it, or else to the one that waits for it. o is what is known of the program itself, which may have ended.
func (w *witness) child(o attribution.Owner) attribution.Owner {
	if o, ok := w.forked(o); ok {
		return o
	}
	at := w.process
	for range mostAncestors {
		if at.Parent <= 1 {
			return o
		}
		parent, err := w.r.processes.Describe(at.Parent)
		if err != nil {
			return o
		}
		stacks, _, err := w.r.stacks.get(parent)
		if err != nil {
			at = parent
			continue
		}
		return w.fromParent(o, parent, at, stacks)
	}
	return o
}

// forked names the thread that started the program by the stack which the kernel recorded while it did. ok is false when that was not recorded, or cannot be read any more.
func (w *witness) forked(o attribution.Owner) (attribution.Owner, bool) {
	if w.r.config.Hook == nil {
		return o, false
	}
	f, ok := w.r.config.Hook.ForkOf(o.Process.PID)
	if !ok {
		return o, false
	}
	parent, alive := w.r.processes.At(f.PID, f.Uptime)
	if !alive {
		return o, false
	}
	stacks, serial, err := w.r.stacks.get(parent)
	if err != nil || serial != f.Serial {
		return o, false
	}
	named := *w
	named.process = parent
	frames, err := named.recordedFrames(stacks, f.Slots)
	if err != nil {
		return o, false
	}
	if odoo.LooksLikeOdoo(parent.Args) {
		o.Process.Role = odoo.RoleChild
	}
	o.Evidence.Source, o.Evidence.At = attribution.SourceKernel, f.At
	o.Evidence.Reason = fmt.Sprintf("process %d was recorded while it started this program", f.PID)
	return w.orderedBy(o, parent, pystack.Thread{TID: f.TID, Frames: frames, Truncated: f.Deep}, attribution.ConfidenceExact), true
}

// fromParent names the thread of the parent that waits for the program: in the kernel for this very child, or as the only one that waits for any.
func (w *witness) fromParent(o attribution.Owner, parent, direct kernel.Process, stacks *pystack.Process) attribution.Owner {
	threads, err := stacks.Threads()
	var waiting, certain []pystack.Thread
	for _, t := range threads {
		if !slices.ContainsFunc(t.Frames, waitsForChild) {
			continue
		}
		waiting = append(waiting, t)
		if kernel.WaitsForChild(parent.PID, t.TID, direct.PID) {
			certain = append(certain, t)
		}
	}
	if odoo.LooksLikeOdoo(parent.Args) || len(waiting) > 0 {
		o.Process.Role = odoo.RoleChild
	}
	switch {
	case len(certain) == 1 && direct.Alive() && parent.Alive():
		o.Evidence.Source, o.Evidence.Reason = attribution.SourceThread, fmt.Sprintf("a thread of process %d waits for this very program", parent.PID)
		return w.orderedBy(o, parent, certain[0], attribution.ConfidenceExact)
	case len(waiting) == 1 && err == nil && direct.Alive():
		o.Evidence.Source, o.Evidence.Reason = attribution.SourceProcess, fmt.Sprintf("started by the only thread of process %d that waits for a child", parent.PID)
		return w.orderedBy(o, parent, waiting[0], attribution.ConfidenceHigh)
	default:
		o.Evidence.Reason = fmt.Sprintf("started by process %d; %d of its threads wait for a child", parent.PID, len(waiting))
		return o
	}
}

func (w *witness) orderedBy(o attribution.Owner, parent kernel.Process, t pystack.Thread, confidence string) attribution.Owner {
	o.Stack = nil
	named := *w
	named.process, named.compiled = parent, nil
	frames := named.framesOf(t)
	named.nameAddon(&o, frames)
	starter := named.describeThread(t, frames)
	o.Process.OdooVersion, o.Process.Database, o.Process.DatabaseBy, o.Process.Job = starter.OdooVersion, starter.Database, starter.DatabaseBy, starter.Job
	o.Evidence.Confidence, o.Evidence.TID = confidence, t.TID
	return o
}

// waitsForChild knows the functions of CPython's subprocess module that wait.
func waitsForChild(f pystack.Frame) bool {
	if f.Module != "subprocess" {
		return false
	}
	name := f.Function[strings.LastIndexByte(f.Function, '.')+1:]
	return name == "communicate" || name == "_communicate" || name == "wait" || name == "_wait" || name == "_try_wait"
}
