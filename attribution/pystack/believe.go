package pystack

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"netaudit/attribution/pystack/memory"
)

// How long a thread that runs is waited for: first that it sleeps by itself, then for turns on its processor, as long as patience and at least a few times, since a busy host may let
// the reader wait for a turn longer than that.
const (
	looks    = 8
	firstNap = 50 * time.Microsecond // and half as much more after each look
	turns    = 32
	patience = 100 * time.Millisecond
)

// persistence is how hard it is tried to read the stack of a thread that runs.
type persistence int

const (
	once    persistence = iota // not at all: one look
	napping                    // it is waited for that it sleeps by itself
	inTurns                    // and then it is read in turns on its processor
)

// stack is what was read of a thread.
type stack struct {
	frames    []Frame
	truncated bool
}

// stack reads the stack of a thread in a moment in which it does not run. The caches are locked while it looks, and not while it waits: others read the threads of the same process meanwhile.
func (p *Process) stack(tstate uint64, tid int, how persistence) (s stack, err error) {
	nap := firstNap
	for range looks {
		if s, err = p.look(tstate, tid, turn{}); err == nil || final(err) {
			return s, err
		}
		if how == once {
			return stack{}, fmt.Errorf("%w (%w)", ErrTorn, err)
		}
		time.Sleep(nap)
		nap += nap / 2
	}
	if how == inTurns {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // never unlocked: the thread is bound to a processor and ends with this goroutine
			s, err = p.inTurn(tstate, tid)
		}()
		<-done
		if err == nil || final(err) {
			return s, err
		}
	}
	return stack{}, fmt.Errorf("%w (the last of several readings: %w)", ErrTorn, err)
}

// final says that no other look will do better: the thread is gone, or its process, or it must not be read.
func final(err error) bool { return gone(err) || errors.Is(err, os.ErrNotExist) }

// look is inOneMoment, beginning now, with the caches locked.
func (p *Process) look(tstate uint64, tid int, t turn) (stack, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, err := begin(p.pid, tid, t)
	if err != nil {
		return stack{}, err
	}
	return p.inOneMoment(tstate, m)
}

// inTurn reads the stack of a thread that never sleeps, from the processor on which it runs: the scheduler lets the two take turns as it lets any two programs.
func (p *Process) inTurn(tstate uint64, tid int) (s stack, err error) {
	began := time.Now()
	for n := 0; n < turns || time.Since(began) < patience; n++ {
		t, ok := takeTurn(p.pid, tid)
		if !ok {
			return stack{}, fmt.Errorf("the thread runs on a processor that cannot be shared: %w", errImplausible)
		}
		if s, err = p.look(tstate, tid, t); err == nil || final(err) {
			return s, err
		}
		if n >= turns/2 {
			time.Sleep(firstNap) // let it go on: it may be caught between two frames
		}
	}
	return stack{}, err
}

// during is inOneMoment with the caches locked.
func (p *Process) during(tstate uint64, m moment) (stack, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inOneMoment(tstate, m)
}

// inOneMoment reads the stack once, and believes it if the thread did not run since the moment began. The caller holds the lock.
func (p *Process) inOneMoment(tstate uint64, m moment) (stack, error) {
	view := memory.Over(p.mem)
	defer view.Close()
	r, err := p.copyStack(view, tstate)
	if err != nil {
		return stack{}, err
	}
	if view.OneMoment = m.lasted(); !view.OneMoment {
		return stack{}, errRan
	}
	frames, err := p.frames(r)
	p.expectAgain(tstate, view)
	if err != nil {
		return stack{}, err
	}
	if !view.OneMoment && !m.lasted() {
		return stack{}, errRan
	}
	if !m.asleep() && !r.truncated && !rooted(frames) {
		return stack{}, fmt.Errorf("the thread was interrupted between two frames: %w", errImplausible)
	}
	return stack{frames, r.truncated}, nil
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
