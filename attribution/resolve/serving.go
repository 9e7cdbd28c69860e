package resolve

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"netaudit/attribution"
	"netaudit/attribution/odoo"
	"netaudit/attribution/pystack"
)

// serving names the addon whose controller answers the request on an accepted connection. The thread is known for certain: a frame of its server has the client's address as its
// argument, and no two connections that one process holds come from the same address and port.
func (w *witness) serving(ctx context.Context, o attribution.Owner) attribution.Owner {
	o.Evidence.Reason = "inbound: the process that accepted the connection"
	stacks, err := w.r.stacks.get(w.process)
	switch {
	case errors.Is(err, pystack.ErrNotPython):
		return o
	case err != nil:
		o.Evidence.Reason = "stack not readable: " + err.Error()
		return o
	}
	if !odoo.LooksLikeOdoo(w.process.Args) {
		return o
	}
	return w.controller(ctx, o, stacks)
}

// controller looks until the thread is in a controller, the connection is gone, or patience ends.
func (w *witness) controller(ctx context.Context, o attribution.Owner, stacks *pystack.Process) attribution.Owner {
	client := netip.AddrPortFrom(w.q.tuple.Remote.Addr().Unmap(), w.q.tuple.Remote.Port())
	deadline := time.Now().Add(patience)
	o.Evidence.Reason = "no thread was seen answering this request"
	for nap := firstNap; ; nap = nap * longerNap / 2 {
		if w.q.over() {
			return o
		}
		if t, ok := servingThread(stacks, client); ok {
			at := time.Now()
			frames := framesOf(t)
			o.Process = w.describe(w.process, frames)
			if c, ok := odoo.Controller(frames, w.addonsPaths()); ok && w.holder.Holds(w.socket.Inode) {
				return w.answeredBy(o, t, c, at)
			}
			o.Evidence.Reason = "no controller was seen: a static file, or answered before one could be"
		}
		if !w.holder.Holds(w.socket.Inode) || time.Now().After(deadline) || !pause(ctx, nap) {
			return o
		}
	}
}

// servingThread finds the thread whose server frame was given this client's address. Threads that cannot be read at the moment are passed over.
func servingThread(stacks *pystack.Process, client netip.AddrPort) (pystack.Thread, bool) {
	threads, err := stacks.Threads()
	if err != nil && len(threads) == 0 {
		return pystack.Thread{}, false
	}
	for _, t := range threads {
		for _, f := range t.Frames {
			if f.Client == client {
				return t, true
			}
		}
	}
	return pystack.Thread{}, false
}

func (w *witness) answeredBy(o attribution.Owner, t pystack.Thread, c odoo.Step, at time.Time) attribution.Owner {
	m := w.r.manifests.Read(rootOf(w.process), c.Path)
	o.Evidence = attribution.Evidence{Source: attribution.SourceThread, Confidence: attribution.ConfidenceExact, TID: t.TID, At: at}
	o.Addon = &attribution.Addon{
		Name: c.Addon, Version: m.Version, Author: m.Author, License: m.License, Chain: []string{c.Addon},
		CallSite: callSite(c), Method: odoo.Method(c.Frame),
	}
	return o
}
