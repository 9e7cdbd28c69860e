package resolve

import (
	"context"
	"errors"
	"os"
	"time"

	"netaudit/attribution"
	"netaudit/attribution/kernel"
	"netaudit/attribution/kernel/hook"
	"netaudit/attribution/odoo"
	"netaudit/attribution/pystack"
)

// recorded answers who opened a connection, or uses it now, from what the kernel recorded in the calling thread. ok is false when it recorded nothing of it: then the thread has to be searched for.
func (r *Resolver) recorded(ctx context.Context, q question) (o attribution.Owner, ok bool) {
	var call *hook.Call
	switch {
	case r.config.Hook == nil:
		return o, false
	case q.about == caller:
		call = r.call(q)
	case q.about == user:
		call = r.use(ctx, q)
	}
	if call == nil {
		return o, false
	}
	p, alive := r.processes.At(call.PID, call.Uptime)
	w := &witness{r: r, q: q, process: p}
	if !alive {
		return w.child(w.endedCaller(call)), true
	}
	return w.called(ctx, call), true
}

// call is what the kernel recorded: found by the first packet, else by the socket that sock_diag still knows.
func (r *Resolver) call(q question) *hook.Call {
	diag, err := r.diags.get(q.tuple.NetNS)
	if err != nil || diag.NetNSCookie() == 0 {
		return nil
	}
	if c, ok := r.config.Hook.Lookup(diag.NetNSCookie(), q.tuple.Proto, q.tuple.Local, q.tuple.Remote); ok {
		return c
	}
	s, err := diag.Lookup(q.tuple.Proto, q.tuple.Local, q.tuple.Remote)
	if err != nil {
		return nil
	}
	if c, ok := r.config.Hook.OfSocket(s.Cookie, q.tuple.Proto, q.tuple.Remote); ok {
		return c
	}
	return nil
}

// useNaps are the pauses after which the record of a use is looked for: it is made a moment after the packet that is asked about.
var useNaps = []time.Duration{0, 200 * time.Microsecond, time.Millisecond, 3 * time.Millisecond}

// use is what the kernel recorded of the thread that has just sent on a kept connection, nil when it did not.
func (r *Resolver) use(ctx context.Context, q question) *hook.Call {
	const tcp = 6
	if q.tuple.Proto != tcp || r.config.Hook.NoUses() != nil {
		return nil
	}
	cookie := uint64(0)
	if c := r.call(q); c != nil {
		cookie = c.Cookie
	} else if diag, err := r.diags.get(q.tuple.NetNS); err == nil {
		s, _ := diag.Lookup(q.tuple.Proto, q.tuple.Local, q.tuple.Remote) // 0 when there is none
		cookie = s.Cookie
	}
	if cookie == 0 {
		return nil
	}
	for _, nap := range useNaps {
		if nap > 0 && !pause(ctx, nap) {
			return nil
		}
		if u, ok := r.config.Hook.UseOf(cookie, q.used); ok {
			return &hook.Call{Caller: u.Caller, Cookie: u.Cookie, Proto: q.tuple.Proto, Remote: q.tuple.Remote, Native: u.Native}
		}
	}
	return nil
}

// endedCaller is what is known of a process that is gone: what it was when somebody looked, if anybody did.
func (w *witness) endedCaller(c *hook.Call) (o attribution.Owner) {
	o.Process = &attribution.Process{PID: c.PID, UID: c.UID, Name: c.Comm, Role: odoo.RoleOther}
	if w.process.PID != 0 {
		o.Process = w.describe(w.process, nil)
	}
	o.Evidence = attribution.Evidence{
		Source: attribution.SourceProcess, Confidence: attribution.ConfidenceUnknown, TID: c.TID, Reason: "the process ended before its stack could be named",
	}
	return o
}

// called names the addon by the stack that was recorded. Where there is none the thread has to be caught as ever, but the process is certain.
func (w *witness) called(ctx context.Context, c *hook.Call) attribution.Owner {
	o, self := w.certain(c.TID)
	if self {
		return o
	}
	stacks, serial, o, ok := w.python(o)
	switch {
	case !ok && o.Evidence.Confidence == attribution.ConfidenceUnknown && !w.process.Alive():
		return w.child(w.endedCaller(c))
	case !ok:
		return o
	}
	reason := c.Reason
	if c.Slots != nil && c.Serial == serial {
		frames, err := w.recordedFrames(stacks, c.Slots)
		if err == nil {
			return w.besideRecord(ctx, w.fromRecord(o, c, frames), c.Native != nil)
		}
		if errors.Is(err, os.ErrProcessDone) || !w.process.Alive() {
			return w.child(w.endedCaller(c))
		}
		reason = err.Error()
	}
	return w.caughtInstead(ctx, o, reason)
}

func (w *witness) fromRecord(o attribution.Owner, c *hook.Call, frames []pystack.Frame) attribution.Owner {
	w.compiled = w.recordedCode(c.Native)
	o = w.fromThread(o, pystack.Thread{TID: c.TID, Frames: frames, Truncated: c.Deep})
	o.Evidence.Source, o.Evidence.At = attribution.SourceKernel, c.At
	if c.Deep && o.Addon != nil {
		o.Evidence.Reason = "the stack is deeper than what is recorded: who else is behind the call is not known"
	}
	if o.Addon == nil && o.Process.Role == odoo.RoleOther {
		return w.child(o) // a Python program may be somebody's child like any other
	}
	return o
}

// caughtInstead looks for the thread that waits on the socket. When that fails as well, the row says why the record did not do.
func (w *witness) caughtInstead(ctx context.Context, o attribution.Owner, reason string) attribution.Owner {
	w.r.config.Logger.Debug("the record of a call does not name its caller: its thread is looked for", "pid", w.process.PID, "reason", reason)
	unknown := o
	unknown.Evidence.Confidence, unknown.Evidence.Reason = attribution.ConfidenceUnknown, reason
	if w.find(ctx) != nil {
		return w.started(unknown)
	}
	if o = w.testify(ctx); o.Addon == nil {
		return w.started(o)
	}
	return o
}

// started joins a program of Python whose own stack could not be named to who started it, as one of another language. Where addons of its own may have called it stays unknown.
func (w *witness) started(o attribution.Owner) attribution.Owner {
	if odoo.LooksLikeOdoo(w.process.Args) || o.Process == nil || o.Process.Role != odoo.RoleOther || o.Evidence.Candidates != nil || o.Evidence.Conflicts != nil {
		return o
	}
	return w.child(o)
}

// find looks for the socket, and for the descriptor by which the process holds it.
func (w *witness) find(ctx context.Context) error {
	socket, err := w.r.socket(ctx, w.q)
	if err != nil {
		return err
	}
	fd, ok := kernel.Holding(w.process.PID, socket.Inode)
	if !ok {
		return errors.New("the process does not hold the socket")
	}
	w.socket, w.holder = socket, kernel.Holder{PID: w.process.PID, FD: fd}
	return nil
}

// announceAll looks at all processes that are there, so that the kernel can be told where the stacks of the Pythons among them are.
func (r *Resolver) announceAll(ctx context.Context) {
	pids, err := kernel.Processes()
	if err != nil {
		r.config.Logger.Warn("processes that run already cannot be listed: their first calls are found the slow way", "error", err)
		return
	}
	begun, found := time.Now(), 0
	for _, pid := range pids {
		if ctx.Err() != nil {
			return
		}
		if r.meet(pid) {
			found++
		}
	}
	r.config.Logger.Info("looked at the processes that run already", "python", found, "processes", len(pids), "took", time.Since(begun).Round(time.Millisecond))
}

// meet looks at a process for the first time; it says whether it is a Python.
func (r *Resolver) meet(pid int) bool {
	p, err := r.processes.Describe(pid)
	if err != nil {
		return false // ended meanwhile
	}
	_, _, err = r.stacks.get(p)
	return err == nil
}
