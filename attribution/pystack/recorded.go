package pystack

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"netaudit/attribution/pystack/memory"
)

// A program in the kernel (attribution/kernel/hook) can record the stack of a thread while that thread calls connect(2): it cannot run meanwhile, so what is recorded is of one moment. WalkPlan tells
// the program where to read, Recorded gives names to what it read.

// Slot is what is recorded of one frame, innermost first: words of 8 bytes.
const (
	SlotCode    = 0
	SlotGlobals = 8
	SlotLasti   = 16
	SlotState   = 24 // its lowest byte: f_executing, f_state, or owner
	SlotLocal   = 32 // first local
	SlotType    = 40 // type of the first local, a cell looked through; 0 when it could not be read
	SlotHolder  = 48 // what refers to the code: the function (3.11+) or the frame
	SlotSecond  = 56 // second local
	SlotSize    = 64
	HeadSize    = 376 // bytes of a frame at most
)

// WalkPlan is where the threads and frames of a process lie: addresses and offsets in bytes, all of one interpreter version.
type WalkPlan struct {
	Interpreters uint64 // address of _PyRuntime.interpreters.head
	Cell         uint64 // address of PyCell_Type, 0 when it was not found
	Tags         uint64 // bits of a reference that are no address (3.14)

	InterpNext, ThreadsHead, ThreadNext uint32
	ThreadID                            uint32 // native_thread_id, or thread_id when PthreadTID is not 0
	PthreadTID                          uint32 // to 3.10: where struct pthread keeps the thread id
	Top                                 uint32 // current_frame, frame or cframe of the thread state
	CFrame                              uint32 // 3.11, 3.12: 1 + offset of current_frame in what Top leads to; else 0

	Head                                     uint32 // how many bytes of a frame to read; the following are offsets in them
	Back, Code, Globals, Lasti, State, Local uint32
	Holder                                   uint32 // 1 + offset of the function; 0: the frame is the holder
}

// errNoPlan says that a layout does not fit into slots.
var errNoPlan = errors.New("its frames cannot be recorded by the kernel")

// Plan describes the process for a recorder in the kernel. It fails when the interpreter describes itself in a way that does not fit.
func (p *Process) Plan() (WalkPlan, error) {
	l := &p.rt.layout
	w := WalkPlan{
		Interpreters: p.rt.addr + l.interpretersHead, Cell: p.rt.cell,
		InterpNext: uint32(l.interpNext), ThreadsHead: uint32(l.threadsHead), ThreadNext: uint32(l.tsNext), ThreadID: uint32(l.tsNativeID),
		Top: uint32(l.tsCurrentFrame), Head: uint32(l.fLocals) + 16, Back: uint32(l.fBack), Code: uint32(l.fCode), Globals: uint32(l.fGlobals),
		Lasti: uint32(l.fLasti), State: uint32(l.fOwner), Local: uint32(l.fLocals),
	}
	switch {
	case l.tsFrame != 0:
		w.Top = uint32(l.tsFrame)
	case l.tsCframe != 0:
		w.Top, w.CFrame = uint32(l.tsCframe), uint32(l.cframeCurrent)+1
	}
	switch {
	case l.minor <= 10:
		w.ThreadID, w.PthreadTID, w.State = uint32(l.tsThreadID), uint32(pthreadTID[runtime.GOARCH]), uint32(l.fState)
	case l.minor == 11:
		w.Holder = 1 // f_func is the first field
	default:
		w.Holder = 1 + 16 // f_funcobj
	}
	if l.minor >= 14 {
		w.Tags = 3
	}
	if w.Head > HeadSize || max(w.Back, w.Code, w.Globals, w.Lasti, w.State)+8 > w.Head {
		return w, fmt.Errorf("CPython %s: %w", p.rt.version, errNoPlan)
	}
	return w, nil
}

// slotFrame is one decoded slot.
type slotFrame struct {
	rawFrame
	holder, second uint64
}

// decode takes a slot apart. skip says that it is no frame of Python code.
func (l *layout) decode(slot []byte, innermost bool) (f slotFrame, skip bool, err error) {
	f.code, f.globals, f.lasti = le64(slot, SlotCode), le64(slot, SlotGlobals), le64(slot, SlotLasti)
	f.arg0, f.second, f.typ, f.holder = le64(slot, SlotLocal), le64(slot, SlotSecond), le64(slot, SlotType), le64(slot, SlotHolder)
	state := slot[SlotState]
	if l.minor <= 10 {
		if f.lasti &= 0xffffffff; !executing(l.minor, state) {
			return f, false, fmt.Errorf("a frame that does not execute: %w", errImplausible)
		}
		return f, false, nil
	}
	skip = state >= 3
	if l.minor >= 14 {
		f.code, f.holder, f.second = f.code&^3, f.holder&^3, f.second&^3
		if f.code == 0 && !skip {
			if !innermost {
				return f, false, fmt.Errorf("a cleared frame has called another: %w", errImplausible)
			}
			skip = true
		}
	}
	return f, skip, nil
}

// errLost says that the code object of a frame is not there any more.
var errLost = fmt.Errorf("a code object that may be another one by now: %w", errImplausible)

// Recorded names the frames of a recorded stack. What it needs and does not remember it reads from the process, which runs on: a frame whose code object is no more the recorded one is Lost, never
// a guess. What cannot be read at all is an error that wraps ErrTorn. The slots are those of a thread of this very process, recorded after Plan was called.
func (p *Process) Recorded(slots []byte) ([]Frame, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list, err := p.rt.layout.decodeAll(slots)
	if err != nil {
		return nil, fmt.Errorf("naming a recorded stack of process %d: %w: %w", p.pid, ErrTorn, err)
	}
	p.reading++
	view := memory.Over(p.mem)
	defer view.Close()
	p.gatherRecorded(view, list)
	frames := make([]Frame, len(list))
	var named []slotFrame
	for i, f := range slices.Backward(list) { // outermost first: what a function was defined in must have its own name first
		switch frames[i], err = p.recordedFrame(view, f, named); {
		case err == nil:
			named = append(named, f)
		case gone(err):
			return nil, asPermission(p.pid, err)
		case errors.Is(err, errLost):
			frames[i] = Frame{Lost: true}
		default:
			return nil, fmt.Errorf("naming a recorded stack of process %d: %w: %w", p.pid, ErrTorn, err)
		}
	}
	return frames, nil
}

func (l *layout) decodeAll(slots []byte) ([]slotFrame, error) {
	var list []slotFrame
	for ; len(slots) >= SlotSize; slots = slots[SlotSize:] {
		f, skip, err := l.decode(slots, len(list) == 0)
		if err != nil {
			return nil, err
		}
		if !skip {
			list = append(list, f)
		}
	}
	return list, nil
}

// gatherRecorded copies at once what the frames refer to. Where the name of a type was last is remembered, so that it comes along; names that are elsewhere now take a second turn.
func (p *Process) gatherRecorded(view *memory.Overlay, list []slotFrame) {
	for _, f := range list {
		p.wantCode(view, f.code)
		view.Want(f.globals+dictKeys, 8)
		if m, ok := p.modules[f.globals]; ok {
			view.Want(m.witness, 8)
		}
		if f.typ != 0 {
			view.Want(f.typ+typeName, 8)
			if name, ok := p.typeNames[f.typ]; ok {
				wantName(view, name)
			}
		}
	}
	view.Gather()
	for _, f := range list {
		if f.typ == 0 {
			continue
		}
		if name, err := memory.Uint64(view, f.typ+typeName); err == nil && p.typeNames[f.typ] != name {
			p.rememberName(f.typ, name)
			wantName(view, name)
		}
	}
	view.Gather()
}

// wantName asks for the beginning of a name, as far as it is not known to end before; most end in the second piece.
func wantName(view *memory.Overlay, name uint64) {
	first := namePiece - name%namePiece
	if bytes.IndexByte(view.Copied(name, first), 0) >= 0 {
		return
	}
	view.Want(name, first)
	view.Want(name+first, namePiece)
}

// mostTypeNames bounds the memory; when it is full it begins anew.
const mostTypeNames = 4096

// rememberName notes where the name of a type is. What stands there is read each time.
func (p *Process) rememberName(typ, name uint64) {
	if len(p.typeNames) >= mostTypeNames {
		clear(p.typeNames)
	}
	p.typeNames[typ] = name
}

func (p *Process) recordedFrame(view *memory.Overlay, f slotFrame, outer []slotFrame) (Frame, error) {
	c, err := p.recordedCode(view, f, outer)
	if err != nil {
		return Frame{}, err
	}
	out := Frame{File: c.file, Function: c.function}
	if out.Line, err = p.line(f.rawFrame, c); err != nil {
		return Frame{}, err
	}
	module, err := p.module(view, f.globals)
	if err != nil {
		return Frame{}, fmt.Errorf("reading a module name: %w", err)
	}
	out.Module, out.Forged, out.Spec = module.name, module.forged, module.spec
	if c.head.argcount > 0 {
		p.nameArgument(view, &out, f.rawFrame)
	}
	if dispatches(c.function, out.Module, c.head.argcount) {
		out.Entry = p.entry(f.typ, f.second)
	}
	return out, nil
}

// recordedCode is the code object of a slot. One that is remembered was there before the call, and what stands at its address now is compared with it. One that is seen for the first time counts only while something still has
// it that must have had it during the call: else it could be another one that took the place of the recorded one.
func (p *Process) recordedCode(view *memory.Overlay, f slotFrame, outer []slotFrame) (*code, error) {
	before := p.codes[f.code]
	c, err := p.code(view, f.code)
	switch {
	case err != nil && gone(err):
		return nil, fmt.Errorf("reading a code object: %w", err)
	case err != nil:
		return nil, errLost // what stands there is no code object
	}
	if c != before && !p.stillHeld(f, c.function, outer) {
		delete(p.codes, f.code)
		return nil, errLost
	}
	return c, nil
}

// stillHeld looks for what has the code of a frame: the frame's function (to 3.10 the frame), the function of this name in the frame's module, the class of the first argument, or the code of another function of the stack, in
// which it was defined.
func (p *Process) stillHeld(f slotFrame, function string, outer []slotFrame) bool {
	l := &p.rt.layout
	if hasCode(p.mem, f.holder, f.code) {
		return true
	}
	if keys, err := memory.Uint64(p.mem, f.globals+dictKeys); err == nil {
		if _, global, err := l.dictFind(p.mem, keys, function, maxAttributes); err == nil && global != 0 && hasCode(p.mem, global, f.code) {
			return true
		}
	}
	if f.typ != 0 && p.ownerOf(f.typ, f.code, function) != "" {
		return true
	}
	return slices.ContainsFunc(outer, func(o slotFrame) bool { return l.hasConstant(p.mem, o.code, f.code) })
}

// maxConstants bounds the constants of a code object that are searched.
const maxConstants = 4096

// hasConstant says whether an object is among the constants of a code object (co_consts).
func (l *layout) hasConstant(r memory.Reader, code, object uint64) bool {
	at := uint64(24)
	if l.minor <= 10 {
		at = 56
	}
	tuple, err := memory.Uint64(r, code+at)
	if err != nil {
		return false
	}
	size, err := memory.Uint64(r, tuple+tupleSize)
	if err != nil || size > maxConstants {
		return false
	}
	items := make([]byte, 8*size)
	if r.ReadAt(tuple+l.tupleItems(), items) != nil {
		return false
	}
	for off := 0; off < len(items); off += 8 {
		if le64(items, off) == object {
			return true
		}
	}
	return false
}

// nameArgument fills in the first argument's type and the class that has the method. Types live longer than the objects: one that cannot be read leaves both empty.
func (p *Process) nameArgument(r memory.Reader, out *Frame, f rawFrame) {
	if p.rt.layout.minor >= 14 && f.arg0&3 == 3 {
		out.Arg0Type = "int"
		return
	}
	if f.typ == 0 {
		return
	}
	name, err := typeText(r, f.typ)
	if err != nil {
		return
	}
	if out.Arg0Type = name; strings.Contains(name, ".") {
		out.typ = f.typ
		out.OwnerModule = p.ownerOf(f.typ, f.code, out.Function)
	}
}

// typeText is tp_name of a type.
func typeText(r memory.Reader, typ uint64) (string, error) {
	ptr, err := memory.Uint64(r, typ+typeName)
	if err != nil {
		return "", err
	}
	return cString(r, ptr)
}

// Forked is the reader of a child that the process has just forked: it has the same memory, with the runtime at the same place, until it runs another program.
func (p *Process) Forked(child int) *Process {
	f := newProcess(child, memory.Process(child))
	f.rt = p.rt
	return f
}
