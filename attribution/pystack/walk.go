package pystack

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"netaudit/attribution/pystack/memory"
)

// Bounds on one walk.
const (
	maxFrames = 4096
	maxChunks = 256
	maxChunk  = 1 << 20                // bytes; CPython's is 16 KiB
	maxCopy   = 8 << 20                // bytes copied of one data stack; the oldest frames beyond are read one by one
	attempts  = 512                    // readings of a stack before it is given up as torn: a thread that calls all the time is caught at rest once in fifty
	patience  = 100 * time.Millisecond // for all of them
)

// rawFrame is a frame before its code object was looked at.
type rawFrame struct{ addr, code, globals, lasti, arg0 uint64 }

func (p *Process) stack(tstate uint64, tid int) (frames []Frame, truncated bool, err error) {
	var last error
	began := time.Now()
	for n := 0; n < attempts && time.Since(began) < patience; n++ {
		if frames, truncated, last = p.tryStack(tstate, tid, n > 0); last == nil {
			return frames, truncated, nil
		}
		if gone(last) {
			return nil, false, last
		}
	}
	return nil, false, fmt.Errorf("%w (the last of several readings: %w)", ErrTorn, last)
}

func (p *Process) top(tstate uint64) (uint64, error) {
	l := &p.rt.layout
	switch {
	case l.tsFrame != 0:
		return memory.Uint64(p.mem, tstate+l.tsFrame)
	case l.tsCframe != 0:
		cframe, err := memory.Uint64(p.mem, tstate+l.tsCframe)
		if err != nil || cframe == 0 {
			return 0, err
		}
		return memory.Uint64(p.mem, cframe+l.cframeCurrent)
	}
	return memory.Uint64(p.mem, tstate+l.tsCurrentFrame)
}

// tryStack reads the stack once. With watch it also notes whether the thread slept throughout, which makes a stack without a known root believable; that costs two more system calls.
func (p *Process) tryStack(tstate uint64, tid int, watch bool) ([]Frame, bool, error) {
	var before rest
	if watch {
		before = restOf(p.pid, tid)
	}
	top, err := p.top(tstate)
	if err != nil {
		return nil, false, fmt.Errorf("reading the current frame: %w", err)
	}
	view := &memory.Overlay{Below: p.mem}
	if err := p.copyChunks(view, tstate); err != nil {
		return nil, false, err
	}
	raw, truncated, err := p.chain(view, top)
	if err != nil {
		return nil, false, err
	}
	frames := make([]Frame, 0, len(raw))
	for _, f := range raw {
		frame, err := p.frame(view, f)
		if err != nil {
			return nil, false, err
		}
		frames = append(frames, frame)
	}
	// A copy of a running thread's chunks is not one moment either: frames of two moments can fit together.
	second := &memory.Overlay{Below: p.mem}
	if err := p.copyChunks(second, tstate); err != nil {
		return nil, false, err
	}
	again, _, err := p.chain(second, top)
	if err != nil || !sameChain(raw, again) {
		return nil, false, fmt.Errorf("the chain of frames changed: %w", errImplausible)
	}
	now, err := p.top(tstate)
	if err != nil || now != top {
		return nil, false, fmt.Errorf("the current frame changed: %w", errImplausible)
	}
	if p.doubtful(view, raw, frames, truncated) && !before.lasts(p.pid, tid) {
		return nil, false, fmt.Errorf("the stack is not of one moment for certain: %w", errImplausible)
	}
	return frames, truncated, nil
}

// doubtful says whether a stack is believed only when the thread slept throughout: when it does not end in a root, and when frames of it lie outside the copy of the data stack, as those of generators do. A program
// that does the same again and again can show the same wrong mixture twice.
func (p *Process) doubtful(view *memory.Overlay, raw []rawFrame, frames []Frame, truncated bool) bool {
	if !truncated && !rooted(frames) {
		return true
	}
	return p.rt.layout.tsChunk != 0 && slices.ContainsFunc(raw, func(f rawFrame) bool { return !view.Covers(f.addr) })
}

// rooted tells a whole stack by its outermost frame. A frame that is popped while it is read loses its link to the one outside: all frames to 3.10, and those of generators, which lie outside the data
// stack, in every version; the stack would end there without any error. No frames at all, and other roots (greenlets, callbacks from C, threading._shutdown), are believed when the thread slept throughout.
func rooted(frames []Frame) bool {
	if len(frames) == 0 {
		return false
	}
	f := frames[len(frames)-1]
	return f.Function == "<module>" || f.Module == "threading" && (f.Function == "_bootstrap" || f.Function == "Thread._bootstrap")
}

// sameChain compares two readings. A frame that waits for the one inside stands still: if its instruction moved, the readings are of two moments, and frames of generators, which are not part of the
// copy of the data stack, may be of either.
func sameChain(a, b []rawFrame) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].addr != b[i].addr || a[i].code != b[i].code || i > 0 && a[i].lasti != b[i].lasti {
			return false
		}
	}
	return true
}

// copyChunks takes the thread's data stack (3.11+), newest chunk first, so that frames are walked in one snapshot.
func (p *Process) copyChunks(view *memory.Overlay, tstate uint64) error {
	if p.rt.layout.tsChunk == 0 {
		return nil
	}
	chunk, err := memory.Uint64(p.mem, tstate+p.rt.layout.tsChunk)
	copied := uint64(0)
	for n := 0; err == nil && chunk != 0 && n < maxChunks; n++ {
		var head [16]byte
		if err = p.mem.ReadAt(chunk, head[:]); err != nil {
			break
		}
		size := le64(head[:], 8)
		if size > maxChunk {
			return fmt.Errorf("a stack chunk of %d bytes: %w", size, errImplausible)
		}
		if copied += size; copied > maxCopy {
			return nil
		}
		if err = view.Copy(chunk, int(size)); err == nil {
			chunk = le64(head[:], 0)
		}
	}
	if err != nil {
		return fmt.Errorf("copying the data stack: %w", err)
	}
	return nil
}

func (p *Process) chain(r memory.Reader, addr uint64) ([]rawFrame, bool, error) {
	l := &p.rt.layout
	var out []rawFrame
	seen := map[uint64]bool{}
	buf := make([]byte, min(max(l.fLocals, l.fState, l.fOwner, l.fLasti, l.fGlobals, l.fBack, l.fCode)+8, 512))
	for steps := 0; addr != 0; steps++ {
		if steps >= maxFrames {
			return out, true, nil
		}
		if seen[addr] {
			return nil, false, fmt.Errorf("the frames form a circle: %w", errImplausible)
		}
		seen[addr] = true
		n := len(buf)
		if l.minor >= 12 { // a shim on the C stack ends before localsplus
			n = int(min(l.fLocals, uint64(len(buf))))
		}
		if err := r.ReadAt(addr, buf[:n]); err != nil {
			return nil, false, fmt.Errorf("reading a frame: %w", err)
		}
		f := rawFrame{addr: addr, code: le64(buf, int(l.fCode)), globals: le64(buf, int(l.fGlobals))}
		shim := false
		if l.minor <= 10 {
			f.lasti, f.arg0 = uint64(le32(buf, int(l.fLasti))), le64(buf, int(l.fLocals))
			if !executing(l.minor, buf[l.fState]) {
				return nil, false, fmt.Errorf("a frame that does not execute: %w", errImplausible)
			}
		} else {
			f.lasti = le64(buf, int(l.fLasti))
			shim = buf[l.fOwner] >= 3
		}
		if l.minor >= 14 {
			f.code &^= 3
			if f.code == 0 && !shim {
				if len(out) > 0 { // only the innermost frame may be about to begin or just cleared
					return nil, false, fmt.Errorf("a cleared frame has called another: %w", errImplausible)
				}
				shim = true
			}
		}
		if !shim {
			out = append(out, f)
		}
		addr = le64(buf, int(l.fBack))
	}
	return out, false, nil
}

// executing: f_executing to 3.9, f_state FRAME_EXECUTING == 0 in 3.10.
func executing(minor int, state byte) bool {
	if minor <= 9 {
		return state == 1
	}
	return state == 0
}

func (p *Process) frame(r memory.Reader, f rawFrame) (Frame, error) {
	c, err := p.code(p.mem, f.code)
	if err != nil {
		return Frame{}, fmt.Errorf("reading a code object: %w", err)
	}
	out := Frame{File: c.file, Function: c.function}
	if out.Line, err = p.line(f, c); err != nil {
		return Frame{}, err
	}
	if out.Module, err = p.module(p.mem, f.globals); err != nil {
		return Frame{}, fmt.Errorf("reading a module name: %w", err)
	}
	out.Client = p.clientOf(r, f, c.function, c.head.argcount)
	if c.head.argcount > 0 {
		out.Arg0Type = p.arg0(r, f)
		if strings.Contains(out.Arg0Type, ".") {
			out.OwnerModule = p.ownerModule(r, f, out.Function)
		}
	}
	return out, nil
}

// line is where in its code a frame is.
func (p *Process) line(f rawFrame, c *code) (int, error) {
	l := &p.rt.layout
	off := 0
	switch {
	case l.minor <= 9:
		off = int(int32(f.lasti))
	case l.minor == 10:
		off = int(int32(f.lasti)) * 2
	default:
		off = int(int64(f.lasti - f.code - l.coAdaptive))
		if off < -2 || off > 16<<20 {
			return 0, fmt.Errorf("an instruction outside its code: %w", errImplausible)
		}
	}
	return lineAt(l.minor, c.table, int(c.head.first), off), nil
}

// arg0 is "" when unreadable: it may be deleted or rebound at any time, which makes no stack wrong.
func (p *Process) arg0(r memory.Reader, f rawFrame) string {
	l := &p.rt.layout
	if l.minor >= 14 && p.tagged(r, f)&3 == 3 {
		return "int"
	}
	name, err := l.typeName(p.mem, p.firstArgument(r, f))
	if err != nil {
		return ""
	}
	return name
}

// firstArgument is the object in the frame's first local; 0 when it cannot be read.
func (p *Process) firstArgument(r memory.Reader, f rawFrame) uint64 {
	if p.rt.layout.minor <= 10 {
		return f.arg0
	}
	obj := p.tagged(r, f)
	if p.rt.layout.minor >= 14 {
		obj &^= 3
	}
	return obj
}

// tagged is the first local as it stands in the frame; from 3.14 its lowest bits are a tag.
func (p *Process) tagged(r memory.Reader, f rawFrame) uint64 {
	obj, err := memory.Uint64(r, f.addr+p.rt.layout.fLocals)
	if err != nil {
		return 0
	}
	return obj
}
