package resolve

import (
	"fmt"

	"netaudit/attribution"
	"netaudit/attribution/kernel"
	"netaudit/attribution/odoo"
	"netaudit/attribution/pystack"
)

// describe turns what /proc says into the owner's process. frames are those of the calling thread, nil when it is not known.
func (w *witness) describe(p kernel.Process, frames []odoo.Frame) *attribution.Process {
	out := &attribution.Process{
		PID: p.PID, Start: p.Start, Exe: p.Exe, UID: p.UID, Name: p.Name, Container: p.Container, NetNS: p.NetNS, Role: odoo.RoleOther,
	}
	if !odoo.LooksLikeOdoo(p.Args) {
		return out
	}
	if out.Role = odoo.Role(p.Args, frames); out.Role == "" {
		out.Role = w.r.installs.role(p, func() [][]odoo.Frame { return w.allFrames(p) })
	}
	settings, version := w.r.installs.of(p, frames)
	out.Database, out.OdooVersion = settings.Database, version
	return out
}

// describeThread is describe with what only the calling thread tells: whose database it works on, and for which scheduled or server action.
func (w *witness) describeThread(t pystack.Thread) *attribution.Process {
	frames := framesOf(t)
	out := w.describe(w.process, frames)
	stacks, _, err := w.r.stacks.get(w.process)
	if err != nil || !odoo.LooksLikeOdoo(w.process.Args) {
		return out
	}
	if name := stacks.Database(t.Frames); name != "" {
		out.Database = name
	}
	out.Job = jobOf(stacks, t, frames)
	return out
}

// allFrames are the stacks of all threads of a process that can be read.
func (w *witness) allFrames(p kernel.Process) [][]odoo.Frame {
	stacks, _, err := w.r.stacks.get(p)
	if err != nil {
		return nil
	}
	threads, _ := stacks.Threads() // those that could not be read are left out
	list := make([][]odoo.Frame, len(threads))
	for i, t := range threads {
		list[i] = framesOf(t)
	}
	return list
}

// jobOf names the server action that a thread runs, and the scheduled action that it belongs to. A recorded stack has only the number; the name is read from the thread itself, if that still runs the action with this very number.
func jobOf(stacks *pystack.Process, t pystack.Thread, frames []odoo.Frame) string {
	if job := jobIn(t); job.Action != 0 {
		return fmt.Sprintf("%s (ir.actions.server %d)", job.Name, job.Action)
	}
	action, ok := odoo.ServerAction(frames)
	if !ok {
		return ""
	}
	if odoo.Scheduled(frames) {
		if now, err := stacks.Thread(t.TID); err == nil && jobIn(now).Action == action {
			return fmt.Sprintf("%s (ir.actions.server %d)", jobIn(now).Name, action)
		}
	}
	return fmt.Sprintf("ir.actions.server %d", action)
}

func jobIn(t pystack.Thread) pystack.Job {
	for _, f := range t.Frames {
		if f.Job.Action != 0 {
			return f.Job
		}
	}
	return pystack.Job{}
}
