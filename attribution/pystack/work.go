package pystack

import (
	"fmt"
	"slices"
	"strings"

	"netaudit/attribution/pystack/memory"
)

// A thread that makes a call may do so for another thread: it is one of a pool, or was started for this. Two stacks then have an object in common. While a frame runs, its arguments live; so an address that stands in frames of both at one
// time is one object, and the second thread waits for what the first does:
//
//	the thread that works                              the thread that waits
//	_WorkItem.run(self): self.future                   Future.result(self), Future.exception(self)
//	_WorkItem.run(self): the loop that self.future     BaseEventLoop.run_forever(self)
//	  reports to
//	Thread._bootstrap_inner(self)                      Thread.join(self)
//
// Sources: Lib/concurrent/futures/thread.py and _base.py, Lib/asyncio/futures.py (_chain_future) and base_events.py, Lib/threading.py.

// Bounds of what is read of one future.
const (
	maxCallbacks = 4
	maxCells     = 8
)

// workOf reads what a frame works for, and what it waits for; none and 0 for all other frames, and when it cannot be read.
func (p *Process) workOf(f rawFrame, function, module string) (does []uint64, awaits uint64) {
	name := function[strings.LastIndexByte(function, '.')+1:]
	switch {
	case module == "concurrent.futures.thread" && name == "run":
		return p.futureOf(p.argument(f)), 0
	case module == "threading" && name == "_bootstrap_inner":
		if self := p.argument(f); self != 0 {
			return []uint64{self}, 0
		}
	case module == "concurrent.futures._base" && (name == "result" || name == "exception"),
		module == "asyncio.base_events" && name == "run_forever",
		module == "threading" && name == "join":
		return nil, p.argument(f)
	}
	return nil, 0
}

// futureOf is the future of a _WorkItem, and the event loops that it reports to.
func (p *Process) futureOf(item uint64) []uint64 {
	l := &p.rt.layout
	if name, err := l.nameOfType(p.mem, item); err != nil || name != "_WorkItem" {
		return nil
	}
	future, err := l.instanceAttribute(p.mem, item, "future")
	if err != nil || future == 0 {
		return nil
	}
	out := []uint64{future}
	list, err := l.instanceAttribute(p.mem, future, "_done_callbacks")
	if err != nil || list == 0 {
		return out
	}
	for _, callback := range p.items(list, listSize, listItems, true, maxCallbacks) {
		out = append(out, p.reportsTo(callback)...)
	}
	return out
}

// reportsTo is what asyncio's _call_set_state, which stands among the callbacks of a future that a loop waits for, was defined around: that loop is among it.
func (p *Process) reportsTo(function uint64) (cells []uint64) {
	l := &p.rt.layout
	var words [8 * functionWords]byte
	if p.mem.ReadAt(function, words[:]) != nil {
		return nil
	}
	named := false
	for off := 16; off < len(words); off += 8 { // the places of func_name and func_closure differ between versions
		word := le64(words[:], off)
		switch kind, err := l.nameOfType(p.mem, word); {
		case err != nil:
		case kind == "str":
			text, err := l.str(p.mem, word)
			named = named || err == nil && strings.HasSuffix(text, "_call_set_state")
		case kind == "tuple":
			for _, cell := range p.items(word, tupleSize, l.tupleItems(), false, maxCells) {
				if content := p.cellContent(cell); content != 0 {
					cells = append(cells, content)
				}
			}
		}
	}
	if !named {
		return nil
	}
	return cells
}

// cellContent is the object that a cell holds; 0 for an empty cell and for what is none.
func (p *Process) cellContent(cell uint64) uint64 {
	typ, err := memory.Uint64(p.mem, cell+obType)
	if err != nil {
		return 0
	}
	if kind, err := typeText(p.mem, typ); err != nil || kind != cellType {
		return 0
	}
	content, err := memory.Uint64(p.mem, cell+cellRef)
	if err != nil {
		return 0
	}
	return content
}

// Offsets in PyListObject and PyCellObject.
const (
	listSize  = 16 // ob_size
	listItems = 24 // ob_item
	cellRef   = 16 // ob_ref
)

// items are the first objects of a list or tuple; indirect: its items stand elsewhere.
func (p *Process) items(obj, sizeAt, itemsAt uint64, indirect bool, most uint64) (out []uint64) {
	size, err := memory.Uint64(p.mem, obj+sizeAt)
	if err != nil {
		return nil
	}
	at := obj + itemsAt
	if indirect {
		if at, err = memory.Uint64(p.mem, at); err != nil {
			return nil
		}
	}
	buf := make([]byte, 8*min(size, most))
	if p.mem.ReadAt(at, buf) != nil {
		return nil
	}
	for off := 0; off < len(buf); off += 8 {
		out = append(out, le64(buf, off))
	}
	return out
}

// Waiter reads the stack of the thread that waits for what a worker does, from the frame that waits outwards; of all other threads only the frames are looked at. The worker's frames must stand as they are until it returns. Errors:
// ErrNoThread when nobody waits, or more than one does: then nobody is the one it is done for; else as Thread.
func (p *Process) Waiter(worker Thread) (Thread, error) {
	states, err := p.states()
	if err != nil {
		return Thread{}, asPermission(p.pid, err)
	}
	awaited := make([][]uint64, len(states))
	for i, s := range states {
		if s.native != worker.NativeID {
			awaited[i] = p.mayAwait(s)
		}
	}
	for _, f := range worker.Frames { // a piece of work lies inside of the thread that has it
		var waiting []threadState
		for i, s := range states {
			if slices.ContainsFunc(awaited[i], func(object uint64) bool { return slices.Contains(f.does, object) }) {
				waiting = append(waiting, s)
			}
		}
		if len(waiting) == 1 {
			return p.readWaiting(waiting[0], f.does)
		}
		if len(waiting) > 1 {
			break
		}
	}
	return Thread{}, fmt.Errorf("one thread of process %d that waits for thread %d: %w", p.pid, worker.TID, ErrNoThread)
}

// mayAwait looks once at what the frames of a thread wait for. What it sees of a running thread may be torn: it only chooses whose stack is read.
func (p *Process) mayAwait(s threadState) (objects []uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	view := memory.Over(p.mem)
	defer view.Close()
	p.reading++
	raw, _, err := p.rawStack(view, s.addr)
	if err != nil {
		return nil
	}
	for _, f := range raw {
		c, err := p.code(p.mem, f.code)
		if err != nil || c.head.argcount == 0 {
			continue
		}
		if module, err := p.module(p.mem, f.globals); err == nil {
			if _, object := p.workOf(f, c.function, module.name); object != 0 {
				objects = append(objects, object)
			}
		}
	}
	return objects
}

func (p *Process) readWaiting(s threadState, objects []uint64) (Thread, error) {
	t, err := p.readByState(s)
	if err != nil {
		return Thread{}, err
	}
	at := slices.IndexFunc(t.Frames, func(f Frame) bool { return f.awaits != 0 && slices.Contains(objects, f.awaits) })
	if at < 0 {
		return Thread{}, fmt.Errorf("thread %d of process %d waits no more: %w", t.TID, p.pid, ErrNoThread)
	}
	t.Frames = t.Frames[at:]
	return t, nil
}
