package resolve

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"netaudit/attribution"
	"netaudit/attribution/kernel"
	"netaudit/attribution/odoo"
	"netaudit/attribution/pystack"
)

// lookRate is how many requests a second are looked at, and lookBurst how many at once after quiet: a look costs a third of a millisecond of CPU time, and a watcher must not cost Odoo
// more than can be measured. Beyond that, a route that was seen a moment ago is named from memory, and so is one that is settled.
const (
	lookRate  = 20
	lookBurst = 100
)

// A worker may wait long for its database before its controller begins: servingPatience is how long it is looked for, and how long a queue of requests may be before one is accepted. Between two looks pass at most longestLook,
// or a twentieth of the time that has passed already.
const (
	servingPatience = 5 * time.Second
	longestLook     = 5 * time.Millisecond
)

// serving names the addon whose controller answers the request on an accepted connection. The thread is known for certain: a frame of its server has the client's address as its
// argument, and no two connections that one process holds come from the same address and port.
func (w *witness) serving(ctx context.Context, o attribution.Owner) attribution.Owner {
	o.Evidence.Reason = "inbound: the process that accepted the connection"
	if !odoo.LooksLikeOdoo(w.process.Args) {
		return o
	}
	route := route{w.process.PID, w.process.StartTick, w.q.request}
	if w.r.routes.settled(route, time.Now()) {
		return w.remembered(o, route, "this route is looked at once a second")
	}
	if !w.r.looks.Allow() {
		return w.remembered(o, route, "more requests at a time than are looked at")
	}
	stacks, _, err := w.r.stacks.get(w.process)
	switch {
	case errors.Is(err, pystack.ErrNotPython):
		return o
	case err != nil:
		o.Evidence.Reason = "stack not readable: " + err.Error()
		return o
	}
	o = w.controller(ctx, o, stacks)
	w.r.routes.put(route, o.Addon, time.Now())
	if o.Addon == nil {
		return w.remembered(o, route, o.Evidence.Reason)
	}
	return o
}

// controller looks until the thread is in a controller, or has been in it, or the response has ended, or patience ends. Before its controller a worker may wait long, as for a connection to its database: while it sleeps where it
// was seen nobody looks again.
func (w *witness) controller(ctx context.Context, o attribution.Owner, stacks *pystack.Process) attribution.Owner {
	client := netip.AddrPortFrom(w.q.tuple.Remote.Addr().Unmap(), w.q.tuple.Remote.Port())
	begun := time.Now()
	o.Evidence.Reason = "no thread was seen answering this request"
	var rest pystack.Rest
	for nap, tid := firstNap, 0; !w.q.over(); nap = min(nap*longerNap/2, max(longestLook, time.Since(begun)/20)) {
		if !rest.Lasts() {
			rest = w.restOf(tid)
			t, err := stacks.Serving(client)
			if err == nil {
				at, frames := time.Now(), w.framesOf(t)
				o.Process, tid = w.describeThread(t, frames), t.TID
				if c, ok := odoo.Controller(frames); ok && w.holder.Holds(w.socket.Inode) {
					return w.answeredBy(o, t, c, at)
				}
				o.Evidence.Reason = "no controller was seen: a static file, or answered before one could be"
				if odoo.Answered(frames) {
					o.Evidence.Reason = "the controller had returned before it could be seen"
					return o
				}
			} else {
				rest, tid = pystack.Rest{}, 0
			}
		}
		if !w.holder.Holds(w.socket.Inode) || time.Since(begun) > servingPatience || !pause(ctx, nap) {
			return o
		}
	}
	return o
}

// restOf begins to watch whether a thread sleeps on, before its stack is read. Of none, 0, nothing is known.
func (w *witness) restOf(tid int) pystack.Rest {
	if tid == 0 {
		return pystack.Rest{}
	}
	return pystack.Resting(w.process.PID, tid)
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

// remembered names the controller that answered the same route of the same process a moment ago, if there is one.
func (w *witness) remembered(o attribution.Owner, route route, reason string) attribution.Owner {
	o.Evidence.Reason = reason
	if addon, ok := w.r.routes.get(route, time.Now()); ok {
		o.Addon = &addon
		o.Evidence.Source, o.Evidence.Confidence = attribution.SourceHistory, attribution.ConfidenceHigh
		o.Evidence.Reason += "; this controller answered the route a moment ago"
	}
	return o
}

// acceptedBy remembers who holds an accepted connection, so that each of its requests need not search for it. Safe for concurrent use.
type acceptedBy struct {
	mu    sync.Mutex
	known map[attribution.Tuple]acceptance
}

type acceptance struct {
	socket  kernel.Socket
	holder  kernel.Holder
	process kernel.Process
}

// mostAccepted bounds the memory; when it is full it begins anew.
const mostAccepted = 4096

// get returns the holder if it still has the very socket.
func (c *acceptedBy) get(t attribution.Tuple) (acceptance, bool) {
	c.mu.Lock()
	a, ok := c.known[t]
	c.mu.Unlock()
	return a, ok && a.holder.Holds(a.socket.Inode)
}

func (c *acceptedBy) put(t attribution.Tuple, a acceptance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= mostAccepted {
		c.known = map[attribution.Tuple]acceptance{}
	}
	c.known[t] = a
}
