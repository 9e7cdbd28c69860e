package pystack

import (
	"fmt"
	"runtime"

	"netaudit/attribution/pystack/memory"
)

// states lists the thread states of all interpreters.
func (p *Process) states() ([]threadState, error) {
	view := memory.Over(p.mem)
	defer view.Close()
	if around := p.around.Load(); around != nil {
		for _, piece := range *around { // what was read the last time, at once
			view.Want(piece.Addr, piece.N)
		}
		view.Gather()
	}
	states, err := p.statesIn(view)
	if used, same := view.Used(); err == nil && !same && len(used) <= mostAround {
		p.around.Store(&used)
	}
	return states, err
}

// mostAround bounds the pieces of memory that states remembers.
const mostAround = 1024

func (p *Process) statesIn(view *memory.Overlay) ([]threadState, error) {
	l := &p.rt.layout
	interp, err := word(view, p.rt.addr+l.interpretersHead)
	if err != nil {
		return nil, fmt.Errorf("reading the interpreters: %w", err)
	}
	var out []threadState
	seen := map[uint64]bool{}
	for n := 0; interp != 0 && n < maxInterpreters; n++ {
		if seen[interp] {
			return nil, fmt.Errorf("the interpreters form a circle: %w", errImplausible)
		}
		seen[interp] = true
		holder, err := p.gilHolder(view, interp)
		if err != nil {
			return nil, fmt.Errorf("reading the GIL: %w", err)
		}
		ts, err := word(view, interp+l.threadsHead)
		for err == nil && ts != 0 && len(out) < maxThreads {
			if seen[ts] {
				return nil, fmt.Errorf("the thread states form a circle: %w", errImplausible)
			}
			seen[ts] = true
			var s threadState
			if s, ts, err = p.state(view, ts); err != nil {
				break
			}
			s.gil = s.addr == holder
			out = append(out, s)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the thread states: %w", err)
		}
		if interp, err = word(view, interp+l.interpNext); err != nil {
			return nil, fmt.Errorf("reading the interpreters: %w", err)
		}
	}
	return out, nil
}

// state reads a thread state and where the next one is.
func (p *Process) state(view *memory.Overlay, ts uint64) (s threadState, next uint64, err error) {
	l := &p.rt.layout
	buf := make([]byte, min(max(l.tsNext, l.tsNativeID, l.tsThreadID)+8, maxState))
	if err := view.Fetch(ts, len(buf)); err != nil {
		return s, 0, err
	}
	if err := view.ReadAt(ts, buf); err != nil {
		return s, 0, err
	}
	s.addr, next = ts, le64(buf, int(l.tsNext))
	if l.tsNativeID != 0 {
		s.native = int(le32(buf, int(l.tsNativeID)))
		return s, next, nil
	}
	at := le64(buf, int(l.tsThreadID)) + pthreadTID[runtime.GOARCH]
	if err := view.Fetch(at, 4); err != nil {
		if gone(err) {
			return s, next, err
		}
		return s, next, nil // a thread that ended: its stack is unmapped, its state not yet freed
	}
	id, err := memory.Uint32(view, at)
	s.native = int(id)
	return s, next, err
}

// gilHolder is the thread state that holds the interpreter's lock, 0 when nobody does (struct _gil_runtime_state).
func (p *Process) gilHolder(view *memory.Overlay, interp uint64) (uint64, error) {
	l := &p.rt.layout
	if l.minor <= 11 {
		return word(view, p.rt.addr+l.tstateCurrent)
	}
	gil, err := word(view, interp+l.gil)
	if err != nil || gil == 0 {
		return 0, err
	}
	if err := view.Fetch(gil+8, 12); err != nil {
		return 0, err
	}
	locked, err := memory.Uint32(view, gil+16)
	if err != nil || locked != 1 {
		return 0, err
	}
	return memory.Uint64(view, gil+8)
}
