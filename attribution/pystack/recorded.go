package pystack

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"netaudit/attribution/pystack/memory"
)

// A program in the kernel (attribution/kernel/hook) can record the stack of a thread while that thread calls connect(2): it cannot run meanwhile, so what is recorded is of one moment. WalkPlan tells
// the program where to read, Recorded gives names to what it read.

// Slot is what is recorded of one frame, innermost first.
const (
	SlotSize   = 136 // bytes of a slot
	SlotHead   = 8   // after the frame's address: its first bytes
	SlotWords  = 96  // the code object's co_filename, co_name, then co_qualname and co_linetable (3.11+) or co_lnotab
	SlotType   = 128 // type of the first argument, a cell looked through; 0 when it could not be read
	HeadSize   = 88  // bytes of a frame at most
	WordsSize  = 32  // bytes of a code object
	oldHead    = 56  // to 3.10: f_back to f_globals
	oldMore    = 24  // f_lasti to f_state
	oldLocalAt = 80  // where the first local is put in the head
)

// WalkPlan is where the threads and frames of a process lie: addresses and offsets in bytes, all of one interpreter version. The first argument's cell type is 0 when it is not known.
type WalkPlan struct {
	Interpreters uint64 // address of _PyRuntime.interpreters.head
	Cell         uint64 // address of PyCell_Type
	Tags         uint64 // bits of a reference that are no address (3.14)

	InterpNext, ThreadsHead, ThreadNext uint32
	ThreadID                            uint32 // native_thread_id, or thread_id when PthreadTID is not 0
	PthreadTID                          uint32 // to 3.10: where struct pthread keeps the thread id
	Top                                 uint32 // current_frame, frame or cframe of the thread state
	CFrame                              uint32 // 3.11, 3.12: 1 + offset of current_frame in what Top leads to; else 0

	Head            uint32 // how many bytes of a frame to read
	MoreAt, LocalAt uint32 // to 3.10: offsets of f_lasti and of the first local, which lie far behind; else 0
	Back, Code      uint32 // offsets in the head
	Local           uint32 // of the first local in the head
	Words           uint32 // offset of co_filename
}

// errNoPlan says that a layout does not fit into slots.
var errNoPlan = errors.New("its frames cannot be recorded by the kernel")

// Plan describes the process for a recorder in the kernel. It fails when the interpreter describes itself in a way that does not fit.
func (p *Process) Plan() (WalkPlan, error) {
	l := &p.rt.layout
	w := WalkPlan{
		Interpreters: p.rt.addr + l.interpretersHead, Cell: p.rt.cell,
		InterpNext: uint32(l.interpNext), ThreadsHead: uint32(l.threadsHead), ThreadNext: uint32(l.tsNext), ThreadID: uint32(l.tsNativeID),
		Top: uint32(l.tsCurrentFrame), Head: uint32(l.fLocals) + 8, Back: uint32(l.fBack), Code: uint32(l.fCode), Local: uint32(l.fLocals), Words: uint32(l.coFilename),
	}
	switch {
	case l.tsFrame != 0:
		w.Top = uint32(l.tsFrame)
	case l.tsCframe != 0:
		w.Top, w.CFrame = uint32(l.tsCframe), uint32(l.cframeCurrent)+1
	}
	if l.minor <= 10 {
		w.ThreadID, w.PthreadTID = uint32(l.tsThreadID), uint32(pthreadTID[runtime.GOARCH])
		w.Head, w.MoreAt, w.LocalAt, w.Local = oldHead, uint32(l.fLasti), uint32(l.fLocals), oldLocalAt
	}
	if l.minor >= 14 {
		w.Tags = 3
	}
	if !l.fitsSlots() {
		return w, fmt.Errorf("CPython %s: %w", p.rt.version, errNoPlan)
	}
	return w, nil
}

// fitsSlots says whether frames and code objects have what is recorded where it is looked for.
func (l *layout) fitsSlots() bool {
	head := l.fLocals + 8
	if l.minor <= 10 {
		return max(l.fBack, l.fCode, l.fGlobals)+8 <= oldHead && l.fState-l.fLasti < oldMore && l.coName == l.coFilename+8 && l.coLines == l.coFilename+16
	}
	return head <= HeadSize && max(l.fBack, l.fCode, l.fGlobals, l.fLasti)+8 <= head && l.fOwner < head &&
		l.coName == l.coFilename+8 && l.coQualname == l.coFilename+16 && l.coLines == l.coFilename+24
}

// slotFrame is one decoded slot.
type slotFrame struct {
	rawFrame
	filename, name, lines, typ uint64
}

// decode takes a slot apart. skip says that it is no frame of Python code.
func (l *layout) decode(slot []byte) (f slotFrame, skip bool, err error) {
	head := slot[SlotHead : SlotHead+HeadSize]
	f.addr = le64(slot, 0)
	f.code, f.globals = le64(head, int(l.fCode)), le64(head, int(l.fGlobals))
	f.filename, f.name, f.typ = le64(slot, SlotWords), le64(slot, SlotWords+8), le64(slot, SlotType)
	if l.minor <= 10 {
		f.lines, f.lasti, f.arg0 = le64(slot, SlotWords+16), uint64(le32(head, oldHead)), le64(head, oldLocalAt)
		if !executing(l.minor, head[oldHead+l.fState-l.fLasti]) {
			return f, false, fmt.Errorf("a frame that does not execute: %w", errImplausible)
		}
		return f, false, nil
	}
	f.name, f.lines, f.lasti = le64(slot, SlotWords+16), le64(slot, SlotWords+24), le64(head, int(l.fLasti))
	f.arg0 = le64(head, int(l.fLocals))
	skip = head[l.fOwner] >= 3
	if l.minor >= 14 {
		f.code &^= 3
		skip = skip || f.code == 0
	}
	return f, skip, nil
}

// Recorded names the frames of a recorded stack. What it needs and does not remember it reads from the process, which runs on: a code object that is no more the recorded one is an error that
// wraps ErrTorn, never a guess. The slots are those of a thread of this very process, recorded after Plan was called.
func (p *Process) Recorded(slots []byte) ([]Frame, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	frames := make([]Frame, 0, len(slots)/SlotSize)
	for ; len(slots) >= SlotSize; slots = slots[SlotSize:] {
		f, skip, err := p.rt.layout.decode(slots)
		if err == nil && !skip {
			var frame Frame
			if frame, err = p.recordedFrame(f); err == nil {
				frames = append(frames, frame)
			}
		}
		switch {
		case err == nil:
		case gone(err):
			return nil, asPermission(p.pid, err)
		default:
			return nil, fmt.Errorf("naming a recorded stack of process %d: %w: %w", p.pid, ErrTorn, err)
		}
	}
	return frames, nil
}

func (p *Process) recordedFrame(f slotFrame) (Frame, error) {
	c, err := p.recordedCode(f)
	if err != nil {
		return Frame{}, err
	}
	out := Frame{File: c.file, Function: c.function}
	if out.Line, err = p.line(f.rawFrame, c); err != nil {
		return Frame{}, err
	}
	if out.Module, err = p.module(p.mem, f.globals); err != nil {
		return Frame{}, fmt.Errorf("reading a module name: %w", err)
	}
	if c.head.argcount > 0 {
		p.nameArgument(&out, f)
	}
	return out, nil
}

// recordedCode is the code object that the slot saw: remembered, or read now and still with the same words.
func (p *Process) recordedCode(f slotFrame) (*code, error) {
	same := func(h codeHead) bool { return h.filename == f.filename && h.name == f.name && h.lines == f.lines }
	if c := p.codes[f.code]; c != nil && same(c.head) {
		return c, nil
	}
	c, err := p.code(p.mem, f.code)
	if err != nil {
		return nil, fmt.Errorf("reading a code object: %w", err)
	}
	if !same(c.head) {
		return nil, fmt.Errorf("a code object that is another one by now: %w", errImplausible)
	}
	return c, nil
}

// nameArgument fills in the first argument's type and the class that has the method. Types live longer than the objects: one that cannot be read leaves both empty.
func (p *Process) nameArgument(out *Frame, f slotFrame) {
	if p.rt.layout.minor >= 14 && f.arg0&3 == 3 {
		out.Arg0Type = "int"
		return
	}
	if f.typ == 0 {
		return
	}
	name, err := typeText(p.mem, f.typ)
	if err != nil {
		return
	}
	if out.Arg0Type = name; strings.Contains(name, ".") {
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
