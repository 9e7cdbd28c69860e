package pystack

import (
	"fmt"
	"slices"

	"netaudit/attribution/pystack/memory"
)

// Bounds on one walk.
const (
	maxFrames    = 4096
	usualFrames  = 64 // most stacks have fewer
	maxChunks    = 256
	maxChains    = 512     // threads whose frames are remembered
	mostExpected = 1 << 16 // pieces of memory that are remembered, of all threads together
	maxChunk     = 1 << 20 // bytes; CPython's is 16 KiB
	chunkPiece   = 512     // of the newest chunk so many bytes are copied, or a multiple
	maxCopy      = 8 << 20 // bytes copied of one data stack; the oldest frames beyond are read one by one
)

// rawFrame is a frame before its code object was looked at. typ, the type of its first argument, is known when all that frames refer to was gathered.
type rawFrame struct{ addr, code, globals, lasti, arg0, typ uint64 }

// top is the innermost frame of a thread.
func (p *Process) top(view *memory.Overlay, tstate uint64) (uint64, error) {
	l := &p.rt.layout
	switch {
	case l.tsFrame != 0:
		return word(view, tstate+l.tsFrame)
	case l.tsCframe != 0:
		cframe, err := word(view, tstate+l.tsCframe)
		if err != nil || cframe == 0 {
			return 0, err
		}
		return word(view, cframe+l.cframeCurrent)
	}
	return word(view, tstate+l.tsCurrentFrame)
}

// word reads one into the copies, where it is not there yet.
func word(view *memory.Overlay, addr uint64) (uint64, error) {
	if err := view.Fetch(addr, 8); err != nil {
		return 0, err
	}
	return memory.Uint64(view, addr)
}

// reading is a stack as it was copied: the frames, and all they refer to but the names, which are remembered.
type reading struct {
	view      *memory.Overlay
	raw       []rawFrame
	truncated bool
}

// copyStack reads a stack once. It is of one moment only if the thread did not run meanwhile.
func (p *Process) copyStack(view *memory.Overlay, tstate uint64) (reading, error) {
	r := reading{view: view}
	var err error
	if r.raw, r.truncated, err = p.rawStack(r.view, tstate); err == nil {
		p.gather(r.view, r.raw)
	}
	return r, err
}

// frames names the frames of a copy. What is not remembered is read from the process: then the moment has to last until the end, see Overlay.OneMoment.
func (p *Process) frames(r reading) ([]Frame, error) {
	p.reading++
	frames := make([]Frame, 0, len(r.raw))
	for _, f := range r.raw {
		frame, err := p.frame(r.view, f)
		if err != nil {
			return nil, err
		}
		frames = append(frames, frame)
	}
	return frames, nil
}

// rawStack copies the data stack and walks in the copy.
func (p *Process) rawStack(view *memory.Overlay, tstate uint64) ([]rawFrame, bool, error) {
	p.expect(view, tstate)
	top, err := p.top(view, tstate)
	if err != nil {
		return nil, false, fmt.Errorf("reading the current frame: %w", err)
	}
	if err := p.copyChunks(view, tstate); err != nil {
		return nil, false, err
	}
	raw, truncated, err := p.chain(view, top)
	if err == nil || len(raw) > len(p.chains[tstate]) {
		p.remember(tstate, raw)
	}
	return raw, truncated, err
}

// expect copies at once what was read of the thread when it was read last: it is often the same, and each system call that it takes piece by piece makes it likelier that the thread wakes meanwhile. To 3.10 the frames themselves are
// among it: CPython uses their memory again and again, and to follow five hundred one by one takes longer than many a thread sleeps. What is not there any more is copied in vain.
func (p *Process) expect(view *memory.Overlay, tstate uint64) {
	for _, piece := range p.expected[tstate] {
		view.Want(piece.Addr, piece.N)
	}
	for _, addr := range p.chains[tstate] {
		view.Want(addr, p.rt.layout.frameHead())
	}
	view.Gather()
}

// expectAgain remembers what was of use of a copy.
func (p *Process) expectAgain(tstate uint64, view *memory.Overlay) {
	if !slices.ContainsFunc(p.chains[tstate], func(frame uint64) bool { return view.Copied(frame, p.rt.layout.frameHead()) == nil }) {
		delete(p.chains, tstate) // they are among it from now on
	}
	pieces, same := view.Used()
	if same {
		return
	}
	if p.expecting += len(pieces) - len(p.expected[tstate]); p.expecting > mostExpected {
		clear(p.expected)
		p.expecting = len(pieces)
	}
	p.expected[tstate] = pieces
}

func (p *Process) remember(tstate uint64, raw []rawFrame) {
	if p.rt.layout.tsChunk != 0 {
		return
	}
	if len(p.chains) >= maxChains {
		clear(p.chains)
	}
	chain := make([]uint64, len(raw))
	for i, f := range raw {
		chain[i] = f.addr
	}
	p.chains[tstate] = chain
}

// gather copies what the frames refer to, all objects of a kind at once: code objects, dicts of globals and first arguments; then the types of those; then the types' names. A stack
// of forty frames would else take some hundred and fifty system calls.
func (p *Process) gather(view *memory.Overlay, raw []rawFrame) {
	for _, f := range raw {
		p.wantCode(view, f.code)
		view.Want(f.globals+dictKeys, 8)
		if m, ok := p.modules[f.globals]; ok {
			view.Want(m.witness, 8)
		}
		if obj := p.argument(f); obj != 0 {
			view.Want(obj, objectHead)
		}
	}
	view.Gather()
	for i := range raw {
		f := &raw[i]
		if obj := p.argument(*f); obj != 0 {
			if typ, err := memory.Uint64(view, obj+obType); err == nil {
				if f.typ = typ; !p.takesNothing(*f) {
					view.Want(typ+typeName, 8)
				}
			}
		}
	}
	view.Gather()
	for _, f := range raw {
		if f.typ == 0 || p.takesNothing(f) {
			continue
		}
		if name, err := memory.Uint64(view, f.typ+typeName); err == nil {
			wantName(view, name)
		}
	}
	view.Gather()
}

// takesNothing says that the frame's code is known to have no argument: what stands in its first local is not named then.
func (p *Process) takesNothing(f rawFrame) bool {
	c := p.codes[f.code]
	return c != nil && c.head.argcount == 0
}

// copyChunks takes the thread's data stack (3.11+), newest chunk first, so that frames are walked in one snapshot.
func (p *Process) copyChunks(view *memory.Overlay, tstate uint64) error {
	if p.rt.layout.tsChunk == 0 {
		return nil
	}
	at := tstate + p.rt.layout.tsChunk
	if err := view.Fetch(at, 16); err != nil {
		return fmt.Errorf("finding the data stack: %w", err)
	}
	chunk, err := memory.Uint64(view, at)
	top, topErr := memory.Uint64(view, at+8) // datastack_top: what is above is free
	copied := uint64(0)
	for n := 0; err == nil && chunk != 0 && n < maxChunks; n++ {
		if err = view.Fetch(chunk, 16); err != nil {
			break
		}
		var head [16]byte
		if err = view.ReadAt(chunk, head[:]); err != nil {
			break
		}
		size := le64(head[:], 8)
		if size > maxChunk {
			return fmt.Errorf("a stack chunk of %d bytes: %w", size, errImplausible)
		}
		if used := (top - chunk + chunkPiece) &^ (chunkPiece - 1); n == 0 && topErr == nil && top > chunk && used < size {
			size = used
		}
		if copied += size; copied > maxCopy {
			return nil
		}
		if err = view.Fetch(chunk, int(size)); err == nil {
			chunk = le64(head[:], 0)
		}
	}
	if err != nil {
		return fmt.Errorf("copying the data stack: %w", err)
	}
	return nil
}

// frameHead is how much of a frame is read, in bytes: up to its first local.
func (l *layout) frameHead() uint64 {
	return min(max(l.fLocals, l.fState, l.fOwner, l.fLasti, l.fGlobals, l.fBack, l.fCode)+8, 512)
}

// chain follows the frames outwards. Together with an error it returns those before it.
func (p *Process) chain(r memory.Reader, addr uint64) ([]rawFrame, bool, error) {
	l := &p.rt.layout
	out := make([]rawFrame, 0, usualFrames)
	buf := make([]byte, l.frameHead())
	var mark circle
	for steps := 0; addr != 0; steps++ {
		if steps >= maxFrames {
			return out, true, nil
		}
		if mark.closed(addr, steps) {
			return out, false, fmt.Errorf("the frames form a circle: %w", errImplausible)
		}
		n := len(buf)
		if l.minor >= 12 { // a shim on the C stack ends before localsplus
			n = int(min(l.fLocals, uint64(len(buf))))
		}
		if err := r.ReadAt(addr, buf[:n]); err != nil {
			return out, false, fmt.Errorf("reading a frame: %w", err)
		}
		f := rawFrame{addr: addr, code: le64(buf, int(l.fCode)), globals: le64(buf, int(l.fGlobals))}
		shim := false
		if l.minor <= 10 {
			f.lasti, f.arg0 = uint64(le32(buf, int(l.fLasti))), le64(buf, int(l.fLocals))
			if !executing(l.minor, buf[l.fState]) {
				return out, false, fmt.Errorf("a frame that does not execute: %w", errImplausible)
			}
		} else {
			f.lasti = le64(buf, int(l.fLasti))
			shim = buf[l.fOwner] >= 3
		}
		if l.minor >= 14 {
			f.code &^= 3
			if f.code == 0 && !shim {
				if len(out) > 0 { // only the innermost frame may be about to begin or just cleared
					return out, false, fmt.Errorf("a cleared frame has called another: %w", errImplausible)
				}
				shim = true
			}
		}
		if !shim {
			if l.minor >= 11 {
				f.arg0, _ = memory.Uint64(r, addr+l.fLocals) // 0: it may be deleted or rebound at any time, which makes no stack wrong
			}
			out = append(out, f)
		}
		addr = le64(buf, int(l.fBack))
	}
	return out, false, nil
}

// circle finds that a walk comes back to where it was: it remembers one place, and another each time the way has become twice as long (R. P. Brent, An improved Monte Carlo factorization algorithm, 1980).
type circle struct{ mark uint64 }

// closed says that the walk has been at this address, which it reaches after so many steps. Of a circle it knows after three times as many steps as lead around it and to it.
func (c *circle) closed(addr uint64, steps int) bool {
	if addr == c.mark {
		return true
	}
	if steps&(steps-1) == 0 {
		c.mark = addr
	}
	return false
}

// executing: f_executing to 3.9, f_state FRAME_EXECUTING == 0 in 3.10.
func executing(minor int, state byte) bool {
	if minor <= 9 {
		return state == 1
	}
	return state == 0
}

func (p *Process) frame(r memory.Reader, f rawFrame) (Frame, error) {
	c, err := p.code(r, f.code)
	if err != nil {
		return Frame{}, fmt.Errorf("reading a code object: %w", err)
	}
	out := Frame{File: c.file, Function: c.function}
	if out.Line, err = p.line(f, c); err != nil {
		return Frame{}, err
	}
	module, err := p.module(r, f.globals)
	if err != nil {
		return Frame{}, fmt.Errorf("reading a module name: %w", err)
	}
	out.Module, out.Forged, out.Spec = module.name, module.forged, module.spec
	out.Client = p.clientOf(r, f, c.function, c.head.argcount)
	out.Entry = p.entryOf(r, f, c.function, out.Module, c.head.argcount)
	out.Job = p.jobOf(r, f, c.function, out.Module, c.head.argcount)
	if c.head.argcount > 0 {
		out.does, out.awaits = p.workOf(f, c.function, out.Module)
		p.nameArgument(r, &out, f)
		if out.Arg0Type == cellType {
			out.Arg0Type, _ = p.rt.layout.nameOfType(r, p.argument(f)) // "" when unreadable
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

// argument is the object in the frame's first local; 0 when there is none, or it could not be read. From 3.14 the lowest bits in the frame are a tag, 3 for a number that is no object.
func (p *Process) argument(f rawFrame) uint64 {
	switch {
	case p.rt.layout.minor < 14:
		return f.arg0
	case f.arg0&3 == 3:
		return 0
	}
	return f.arg0 &^ 3
}
