package resolve

import (
	"errors"
	"sync"

	"netaudit/attribution/kernel"
	"netaudit/attribution/pystack"
)

// stackCache keeps the stack readers of processes: finding a runtime costs a hundred times as much as reading a known stack.
type stackCache struct {
	mu    sync.Mutex
	known map[int]*reader
}

// reader belongs to one process, known by pid and start time.
type reader struct {
	start   uint64
	process *pystack.Process
	err     error // why the process has no stacks to read
}

// mostReaders bounds the cache; when it is full it begins anew.
const mostReaders = 512

func (c *stackCache) get(p kernel.Process) (*pystack.Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.known[p.PID]; r != nil && r.start == p.StartTick {
		return r.process, r.err
	}
	if c.known == nil {
		c.known = map[int]*reader{}
	}
	if old := c.known[p.PID]; old != nil && old.process != nil {
		_ = old.process.Close() // of a process that is gone
	}
	if len(c.known) >= mostReaders {
		for pid, r := range c.known {
			if r.process != nil {
				_ = r.process.Close()
			}
			delete(c.known, pid)
		}
	}
	r := &reader{start: p.StartTick}
	r.process, r.err = pystack.Open(p.PID)
	if r.err == nil || errors.Is(r.err, pystack.ErrNotPython) {
		c.known[p.PID] = r // other errors may pass: a process that just begins has no runtime yet
	}
	return r.process, r.err
}

func (c *stackCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, r := range c.known {
		if r.process != nil {
			errs = append(errs, r.process.Close())
		}
	}
	c.known = nil
	return errors.Join(errs...)
}
