package resolve

import (
	"fmt"
	"time"

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
	if out.Database, out.OdooVersion = settings.Database, version; out.Database != "" {
		out.DatabaseBy = attribution.DatabaseBySettings
	}
	return out
}

// describeThread is describe with what only the calling thread tells, whose frames are w.framesOf(t): whose database it works on, and for which scheduled or server action.
func (w *witness) describeThread(t pystack.Thread, frames []odoo.Frame) *attribution.Process {
	out := w.describe(w.process, frames)
	stacks, _, err := w.r.stacks.get(w.process)
	if err != nil || !odoo.LooksLikeOdoo(w.process.Args) {
		return out
	}
	if name := stacks.Database(t.Frames); name != "" {
		w.r.installs.works(w.process, name)
		out.Database, out.DatabaseBy = name, attribution.DatabaseByModel
	} else if name := w.onlyDatabase(stacks); name != "" {
		out.Database, out.DatabaseBy = name, attribution.DatabaseByRegistry
	}
	out.Job = w.jobOf(stacks, t, frames, out.Database)
	return out
}

// onlyDatabase is the one whose registry a process has loaded, if none of another was seen in it so far.
func (w *witness) onlyDatabase(stacks *pystack.Process) string {
	names, err := stacks.Registries()
	if err != nil || len(names) == 0 {
		return ""
	}
	return w.r.installs.works(w.process, names...)
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

// jobOf names the server action that a thread runs, and the scheduled action that it belongs to. A recorded stack has only the number; the name is read from the thread itself, if that still runs the action with this very number, or
// remembered from when it did.
func (w *witness) jobOf(stacks *pystack.Process, t pystack.Thread, frames []odoo.Frame, database string) string {
	key := job{w.process.PID, w.process.StartTick, database, jobIn(t).Action}
	if key.action != 0 {
		w.r.jobs.put(key, jobIn(t).Name, time.Now())
		return fmt.Sprintf("%s (ir.actions.server %d)", jobIn(t).Name, key.action)
	}
	var ok bool
	if key.action, ok = odoo.ServerAction(frames); !ok {
		return ""
	}
	if odoo.Scheduled(frames) {
		if now, err := stacks.Thread(t.TID); err == nil && jobIn(now).Action == key.action {
			w.r.jobs.put(key, jobIn(now).Name, time.Now())
		}
		if name := w.r.jobs.get(key, time.Now()); name != "" {
			return fmt.Sprintf("%s (ir.actions.server %d)", name, key.action)
		}
	}
	return fmt.Sprintf("ir.actions.server %d", key.action)
}

func jobIn(t pystack.Thread) pystack.Job {
	for _, f := range t.Frames {
		if f.Job.Action != 0 {
			return f.Job
		}
	}
	return pystack.Job{}
}
