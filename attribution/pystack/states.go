package pystack

import (
	"fmt"
	"runtime"

	"netaudit/attribution/pystack/memory"
)

// states lists the thread states of all interpreters.
func (p *Process) states() ([]threadState, error) {
	l := &p.rt.layout
	interp, err := memory.Uint64(p.mem, p.rt.addr+l.interpretersHead)
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
		holder, err := p.gilHolder(interp)
		if err != nil {
			return nil, fmt.Errorf("reading the GIL: %w", err)
		}
		ts, err := memory.Uint64(p.mem, interp+l.threadsHead)
		for err == nil && ts != 0 && len(out) < maxThreads {
			if seen[ts] {
				return nil, fmt.Errorf("the thread states form a circle: %w", errImplausible)
			}
			seen[ts] = true
			var s threadState
			if s, ts, err = p.state(ts); err != nil {
				break
			}
			s.gil = s.addr == holder
			out = append(out, s)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the thread states: %w", err)
		}
		if interp, err = memory.Uint64(p.mem, interp+l.interpNext); err != nil {
			return nil, fmt.Errorf("reading the interpreters: %w", err)
		}
	}
	return out, nil
}

// state reads a thread state and where the next one is.
func (p *Process) state(ts uint64) (s threadState, next uint64, err error) {
	l := &p.rt.layout
	buf := make([]byte, min(max(l.tsNext, l.tsNativeID, l.tsThreadID)+8, maxState))
	if err := p.mem.ReadAt(ts, buf); err != nil {
		return s, 0, err
	}
	s.addr, next = ts, le64(buf, int(l.tsNext))
	if l.tsNativeID != 0 {
		s.native = int(le32(buf, int(l.tsNativeID)))
		return s, next, nil
	}
	id, err := memory.Uint32(p.mem, le64(buf, int(l.tsThreadID))+pthreadTID[runtime.GOARCH])
	if err != nil && !gone(err) {
		return s, next, nil // a thread that ended: its stack is unmapped, its state not yet freed
	}
	s.native = int(id)
	return s, next, err
}

// gilHolder is the thread state that holds the interpreter's lock, 0 when nobody does (struct _gil_runtime_state).
func (p *Process) gilHolder(interp uint64) (uint64, error) {
	l := &p.rt.layout
	if l.minor <= 11 {
		return memory.Uint64(p.mem, p.rt.addr+l.tstateCurrent)
	}
	gil, err := memory.Uint64(p.mem, interp+l.gil)
	if err != nil || gil == 0 {
		return 0, err
	}
	locked, err := memory.Uint32(p.mem, gil+16)
	if err != nil || locked != 1 {
		return 0, err
	}
	return memory.Uint64(p.mem, gil+8)
}
