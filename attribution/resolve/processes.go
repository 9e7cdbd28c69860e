package resolve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"netaudit/attribution/kernel"
)

// A new program is looked at again and again for a moment, because a Python's library is mapped some time after the program began. What does not look like one by its file's name is looked at once, a few a second: it may have Python inside (uwsgi), but
// a host that compiles starts thousands of others.
var looksAtPython = []time.Duration{0, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond}

const (
	lookAtOther   = 200 * time.Millisecond
	othersPerSec  = 20
	mostNewcomers = 256 // programs that are looked at at the same time
)

// followProcesses looks at the processes that are there and keeps what is known of them up to date by the kernel's own events, until ctx ends.
func (r *Resolver) followProcesses(ctx context.Context) error {
	events, err := kernel.WatchProcesses()
	if err != nil {
		r.config.Logger.Warn("processes are not followed: those that begin are met when they call", "error", err)
		r.announceAll(ctx)
		return nil
	}
	r.aside(func() { r.announceAll(ctx) })
	ended := context.AfterFunc(ctx, func() { _ = events.Close() }) // Next returns then
	defer ended()
	n := newcomers{r: r, room: make(chan struct{}, mostNewcomers), others: rate.NewLimiter(othersPerSec, othersPerSec)}
	for {
		e, err := events.Next()
		switch {
		case errors.Is(err, os.ErrClosed) || ctx.Err() != nil:
			return nil
		case errors.Is(err, kernel.ErrEventsLost):
			r.stats.eventsLost.Add(1)
			r.aside(func() { r.announceAll(ctx) })
		case err != nil:
			return fmt.Errorf("follow processes: %w", err)
		default:
			n.take(ctx, e)
		}
	}
}

// newcomers are processes that have just begun or run another program.
type newcomers struct {
	r      *Resolver
	room   chan struct{}
	others *rate.Limiter
}

func (n *newcomers) take(ctx context.Context, e kernel.ProcessEvent) {
	r := n.r
	switch e.Kind {
	case kernel.ProcessForked:
		if r.stacks.has(e.Parent) {
			if p, err := r.processes.Describe(e.PID); err == nil { // else it has ended
				r.stacks.forked(e.Parent, p)
			}
		}
	case kernel.ProcessExeced:
		r.stacks.forget(e.PID)
		r.processes.Forget(e.PID)
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", e.PID))
		looks := looksAtPython
		switch {
		case err != nil:
			return // it has ended
		case !strings.Contains(filepath.Base(exe), "python") && !n.others.Allow():
			return
		case !strings.Contains(filepath.Base(exe), "python"):
			looks = []time.Duration{lookAtOther}
		}
		select {
		case n.room <- struct{}{}:
			r.aside(func() {
				defer func() { <-n.room }()
				r.lookAt(ctx, e.PID, looks)
			})
		default: // it is met when it calls
		}
	case kernel.ProcessExited:
		r.stacks.forget(e.PID)
	}
}

// lookAt looks at a process after each of the pauses until it is known to be a Python.
func (r *Resolver) lookAt(ctx context.Context, pid int, pauses []time.Duration) {
	for _, d := range pauses {
		if !pause(ctx, d) {
			return
		}
		r.stacks.reconsider(pid)
		if r.meet(pid) {
			return
		}
	}
}
