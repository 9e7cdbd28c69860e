package resolve

import (
	"errors"
	"log/slog"
	"os"
	"sync"

	"netaudit/attribution/kernel"
	"netaudit/attribution/kernel/hook"
	"netaudit/attribution/pystack"
)

// stackCache keeps the stack readers of Python processes, which finding costs a hundred times as much as reading a known stack, and announces them to the kernel. Safe for concurrent use.
type stackCache struct {
	hook *hook.Hook // nil: the kernel records nothing
	log  *slog.Logger

	mu     sync.Mutex
	known  map[int]*reader
	others map[int]uint64 // start of processes that are no Python
	ended  uint64         // processes that were over before the kernel could be told of them
}

// reader belongs to one process, known by pid and start time.
type reader struct {
	start   uint64
	process *pystack.Process
	serial  uint64 // of what was announced of it, 0: nothing
	native  bool   // its machine stacks are recorded too, or cannot be
}

// Bounds of the cache; what is full begins anew.
const (
	mostReaders = 4096
	mostOthers  = 65536
)

// get returns the process's reader, and the serial under which it was announced. Errors are those of pystack.Open.
func (c *stackCache) get(p kernel.Process) (*pystack.Process, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.known[p.PID]; r != nil && r.start == p.StartTick {
		return r.process, r.serial, nil
	}
	if start, ok := c.others[p.PID]; ok && start == p.StartTick {
		return nil, 0, pystack.ErrNotPython
	}
	c.drop(p.PID) // of a process that is gone
	process, err := pystack.Open(p.PID)
	if errors.Is(err, pystack.ErrNotPython) {
		if c.others == nil || len(c.others) >= mostOthers {
			c.others = map[int]uint64{}
		}
		c.others[p.PID] = p.StartTick
	}
	if err != nil {
		return nil, 0, err // others than this one may pass: a process that just begins has no runtime yet
	}
	r := &reader{start: p.StartTick, process: process}
	c.add(p.PID, r)
	return r.process, r.serial, nil
}

// forked gives a child the reader of its parent: it has the same memory until it runs another program.
func (c *stackCache) forked(parent int, child kernel.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.known[parent]
	if r == nil || c.known[child.PID] != nil && c.known[child.PID].start == child.StartTick {
		return
	}
	c.drop(child.PID)
	c.add(child.PID, &reader{start: child.StartTick, process: r.process.Forked(child.PID)})
}

func (c *stackCache) add(pid int, r *reader) {
	if c.known == nil {
		c.known = map[int]*reader{}
	}
	if len(c.known) >= mostReaders {
		for pid := range c.known {
			c.drop(pid)
		}
	}
	c.known[pid] = r
	if c.hook == nil {
		return
	}
	plan, err := r.process.Plan()
	if err == nil {
		r.serial, err = c.hook.Announce(pid, plan)
	}
	switch {
	case errors.Is(err, os.ErrNotExist): // programs end
		c.ended++
		c.log.Debug("a process ended before the kernel was told of it", "pid", pid, "error", err)
	case err != nil:
		c.log.Warn("the kernel cannot record the stacks of a process", "pid", pid, "error", err)
	}
}

// endedEarly is how many processes were over before the kernel could be told of them.
func (c *stackCache) endedEarly() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// withNative lets the machine stacks of a process be recorded beside its Python stacks, from its next call on.
func (c *stackCache) withNative(p kernel.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.known[p.PID]
	if c.hook == nil || r == nil || r.start != p.StartTick || r.serial == 0 || r.native {
		return
	}
	r.native = true
	plan, err := r.process.Plan()
	if err == nil {
		err = c.hook.WithNative(p.PID, r.serial, plan)
	}
	if err != nil {
		c.log.Debug("the kernel cannot record the machine stacks of a process", "pid", p.PID, "error", err)
	}
}

// has says whether a process is a known Python.
func (c *stackCache) has(pid int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[pid] != nil
}

// reconsider forgets that a process was no Python.
func (c *stackCache) reconsider(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.others, pid)
}

// forget is for a process that ended or runs another program now.
func (c *stackCache) forget(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.others, pid)
	c.drop(pid)
}

func (c *stackCache) drop(pid int) {
	r := c.known[pid]
	if r == nil {
		return
	}
	_ = r.process.Close() // it never fails
	delete(c.known, pid)
	if c.hook != nil && r.serial != 0 {
		if err := c.hook.Forget(pid); err != nil {
			c.log.Warn("what the kernel was told of a process could not be taken back", "pid", pid, "error", err)
		}
	}
}

// pids lists the known Python processes.
func (c *stackCache) pids() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]int, 0, len(c.known))
	for pid := range c.known {
		list = append(list, pid)
	}
	return list
}

func (c *stackCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for pid := range c.known {
		c.drop(pid)
	}
	c.known, c.others = nil, nil
}
