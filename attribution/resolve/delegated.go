package resolve

import (
	"context"
	"slices"
	"time"

	"netaudit/attribution"
	"netaudit/attribution/odoo"
	"netaudit/attribution/pystack"
)

// forWhom is a thread that works for another one, with the frames of the one that waits for its work behind its own, if that names an addon; else the thread as it is. The thread must wait in a system call until after this returned: then
// the two stacks belong together. alone says that it works for somebody who is not seen waiting: that may be about to begin.
func (w *witness) forWhom(stacks *pystack.Process, t pystack.Thread) (_ pystack.Thread, alone bool) {
	w.own = 0
	if frames := w.framesOf(t); odoo.Delegated(frames) == "" || len(odoo.Chain(frames)) > 0 {
		return t, false
	}
	waiting, err := stacks.Waiter(t)
	if err != nil || len(odoo.Chain(w.framesOf(waiting))) == 0 {
		return t, true
	}
	w.own = len(t.Frames)
	t.Frames = slices.Concat(t.Frames, waiting.Frames)
	return t, false
}

// untilSomebodyWaits gives whoever gave a thread its work the time to begin waiting for it, while the thread sleeps on: when it has run, it may have other work.
func (w *witness) untilSomebodyWaits(ctx context.Context, stacks *pystack.Process, t pystack.Thread, rest pystack.Rest, deadline time.Time) pystack.Thread {
	for nap := firstNap; time.Now().Before(deadline) && pause(ctx, nap) && rest.Lasts(); nap = nap * longerNap / 2 {
		seen, alone := w.forWhom(stacks, t)
		if !alone && w.holder.Holds(w.socket.Inode) && rest.Lasts() {
			return seen
		}
	}
	w.own = 0
	return t
}

// caughtDelegated asks the thread of a record for whom it works, while it waits on the socket: a recorded stack has no arguments that could be compared with those of others. The thread may have gone on to another's work with the same
// connection; so that must still be the one that is being opened. A socket of UDP is taken to serve one piece of work.
func (w *witness) caughtDelegated(ctx context.Context, recorded attribution.Owner) attribution.Owner {
	caught := *w
	caught.brief = true
	o, ok := caught.caughtToo(ctx, recorded)
	if !ok || o.Addon == nil {
		return recorded
	}
	const tcp, synSent = 6, 2 // include/net/tcp_states.h
	if s, err := w.r.socket(ctx, w.q); err != nil || s.Inode != caught.socket.Inode || w.q.tuple.Proto == tcp && s.State != synSent {
		return recorded
	}
	return o
}
