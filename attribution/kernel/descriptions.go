package kernel

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Descriptions remembers processes for some seconds: titles change after a start, a call does not change them. Safe for concurrent use.
type Descriptions struct {
	mu      sync.Mutex
	known   map[int]*description
	handles int // that are open
}

type description struct {
	process Process
	until   time.Time
	handle  int // a pidfd, which never means another process; 0: none
}

// Bounds of the memory and of the file descriptors; what is full begins anew.
const (
	descriptionLife  = 5 * time.Second
	identityLife     = 20 * time.Second // of a process that ended, after that
	mostDescriptions = 4096
	mostHandles      = 256
)

// Describe is the function Describe from memory where the process still is the one remembered, which is asked each time.
func (d *Descriptions) Describe(pid int) (Process, error) {
	if p, ok := d.remembered(pid); ok {
		return p, nil
	}
	p, err := Describe(pid)
	if err != nil {
		return p, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || len(d.known) >= mostDescriptions {
		d.forgetAll()
	}
	handle := 0
	if old := d.known[pid]; old != nil {
		if old.process.StartTick == p.StartTick {
			handle, old.handle = old.handle, 0
		}
		d.release(old)
	}
	d.known[pid] = &description{p, time.Now().Add(descriptionLife), handle}
	return p, nil
}

// remembered is a process of which everything is known and that has not ended.
func (d *Descriptions) remembered(pid int) (Process, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.known[pid]
	if known == nil || !time.Now().Before(known.until) {
		return Process{}, false
	}
	return known.process, d.alive(known)
}

// alive asks whether a process still is the one that was described. From the second time on it asks by a pidfd, which takes a twentieth of the time: /proc/PID/stat has to be made for each reader. The caller holds the lock.
func (d *Descriptions) alive(known *description) bool {
	if known.handle != 0 {
		if !exited(known.handle) {
			return true
		}
		d.release(known)
		return known.process.Alive() // until its parent has heard of it
	}
	handle, err := unix.PidfdOpen(known.process.PID, 0)
	if err != nil {
		return known.process.Alive()
	}
	if !known.process.Alive() { // asked after the opening: what was opened is this process
		_ = unix.Close(handle)
		return false
	}
	if d.handles >= mostHandles {
		for _, other := range d.known {
			d.release(other)
		}
	}
	known.handle = handle
	d.handles++
	return true
}

// exited says whether a pidfd's process has ended (pidfd_open(2): it is readable then). If the kernel cannot be asked, it may have.
func exited(pidfd int) bool {
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return n != 0 || err != nil
}

// release closes the pidfd of a process, if there is one. The caller holds the lock.
func (d *Descriptions) release(known *description) {
	if known.handle != 0 {
		_ = unix.Close(known.handle) // nothing was written to it
		known.handle = 0
		d.handles--
	}
}

// forgetAll begins anew. The caller holds the lock.
func (d *Descriptions) forgetAll() {
	for _, known := range d.known {
		d.release(known)
	}
	d.known = map[int]*description{}
}

// Close forgets all processes and closes what is open of them. It never fails.
func (d *Descriptions) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgetAll()
	return nil
}

// Forget is for a process that runs another program now: what it was is no more true.
func (d *Descriptions) Forget(pid int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.known[pid]; known != nil {
		d.release(known)
		delete(d.known, pid)
	}
}

// At is the process that had this id at a moment that has just passed, given as the time since the host started. alive is false when it has ended since: then it is what was remembered of it, or the zero Process.
func (d *Descriptions) At(pid int, uptime time.Duration) (p Process, alive bool) {
	ticks := uint64(uptime/(time.Second/ticksPerSecond)) + 1
	then := func(p Process) bool { return p.StartTick <= ticks }
	p, err := d.Describe(pid)
	if err == nil && then(p) {
		return p, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.known[pid]; known != nil && then(known.process) && time.Now().Before(known.until.Add(identityLife)) {
		return known.process, false
	}
	return Process{}, false
}
