package pystack

import (
	"fmt"
	"runtime"
	"time"
)

// How long a thread that runs is waited for: first that it sleeps by itself, then for turns on its processor, as long as patience and at least a few times, since a busy host may let
// the reader wait for a turn longer than that.
const (
	looks    = 8
	firstNap = 50 * time.Microsecond // and half as much more after each look
	turns    = 32
	patience = 100 * time.Millisecond
)

// stack reads the stack of a thread in a moment in which it does not run.
func (p *Process) stack(tstate uint64, tid int) (frames []Frame, truncated bool, err error) {
	nap := firstNap
	for range looks {
		if frames, truncated, err = p.inOneMoment(tstate, tid, turn{}); err == nil || gone(err) {
			return frames, truncated, err
		}
		time.Sleep(nap)
		nap += nap / 2
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread is bound to a processor and ends with this goroutine
		frames, truncated, err = p.inTurn(tstate, tid)
	}()
	<-done
	if err == nil || gone(err) {
		return frames, truncated, err
	}
	return nil, false, fmt.Errorf("%w (the last of several readings: %w)", ErrTorn, err)
}

// inTurn reads the stack of a thread that never sleeps, from the processor on which it runs: the scheduler lets the two take turns as it lets any two programs.
func (p *Process) inTurn(tstate uint64, tid int) (frames []Frame, truncated bool, err error) {
	began := time.Now()
	for n := 0; n < turns || time.Since(began) < patience; n++ {
		t, ok := takeTurn(p.pid, tid)
		if !ok {
			return nil, false, fmt.Errorf("the thread runs on a processor that cannot be shared: %w", errImplausible)
		}
		if frames, truncated, err = p.inOneMoment(tstate, tid, t); err == nil || gone(err) {
			return frames, truncated, err
		}
		if n >= turns/2 {
			time.Sleep(firstNap) // let it go on: it may be caught between two frames
		}
	}
	return nil, false, err
}

// inOneMoment reads the stack once, and believes it if the thread did not run meanwhile.
func (p *Process) inOneMoment(tstate uint64, tid int, t turn) ([]Frame, bool, error) {
	m, ok := begin(p.pid, tid, t)
	if !ok {
		return nil, false, fmt.Errorf("the thread runs: %w", errImplausible)
	}
	r, err := p.copyStack(tstate)
	if err != nil {
		return nil, false, err
	}
	if !m.lasted() {
		return nil, false, errRan
	}
	frames, err := p.frames(r)
	if err != nil {
		return nil, false, err
	}
	if r.view.Passed && !m.lasted() {
		return nil, false, errRan
	}
	if !m.asleep && !r.truncated && !rooted(frames) {
		return nil, false, fmt.Errorf("the thread was interrupted between two frames: %w", errImplausible)
	}
	return frames, r.truncated, nil
}

var errRan = fmt.Errorf("the thread ran while its stack was read: %w", errImplausible)

// rooted tells a whole stack by its outermost frame. A thread that is interrupted while it enters or leaves a function may stand on a frame that has no link outwards, and the stack
// would end there. One that sleeps does so in a system call, with all its frames in place: it may have another root (greenlets, callbacks from C, threading._shutdown), or no frames.
func rooted(frames []Frame) bool {
	if len(frames) == 0 {
		return false
	}
	f := frames[len(frames)-1]
	return f.Function == "<module>" || f.Module == "threading" && (f.Function == "_bootstrap" || f.Function == "Thread._bootstrap")
}
