package kernel

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"

	"netaudit/attribution/procfs"
)

// Holder is a process that holds a socket, and by which file descriptor.
type Holder struct {
	PID, FD int
}

// Holders finds the process behind a socket's inode by its file descriptors. Processes that held a socket lately are looked at first, and of them the descriptors by which they did: an Odoo worker makes one call after the
// other, and answers one connection after the other by the same descriptor. Safe for concurrent use.
type Holders struct {
	mu     sync.Mutex
	recent []*recentHolder // latest first
}

// recentHolder is a process that held sockets lately.
type recentHolder struct {
	pid int
	fds []int // latest first
}

// maxRecent bounds how many processes are tried before all others, maxRecentFDs how many descriptors of one are remembered, maxGuesses how many of all are tried before any process's are listed.
const (
	maxRecent    = 32
	maxRecentFDs = 8
	maxGuesses   = 32
)

// Find returns who holds the socket: those in likely are looked at after the latest and before all others. Before those, open is asked whether the socket is still there: all processes are only searched for one that somebody can
// hold. ok is false when nobody does who can be seen.
func (h *Holders) Find(inode uint32, likely func() []int, open func() bool) (holder Holder, ok bool) {
	if inode == 0 {
		return Holder{}, false
	}
	pids, guesses := h.latest()
	for _, guess := range guesses {
		if guess.Holds(inode) {
			h.remember(guess)
			return guess, true
		}
	}
	link := "socket:[" + strconv.FormatUint(uint64(inode), 10) + "]"
	tried := map[int]bool{}
	if holder, ok := h.among(append(pids, likely()...), link, tried); ok {
		return holder, true
	}
	if !open() {
		return Holder{}, false
	}
	pids, err := Processes()
	if err != nil {
		return Holder{}, false
	}
	slices.Sort(pids)
	slices.Reverse(pids) // young processes make more connections than old ones
	return h.among(pids, link, tried)
}

// latest lists the processes that are looked at first, and the descriptors that are tried even before.
func (h *Holders) latest() (pids []int, guesses []Holder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.recent {
		pids = append(pids, r.pid)
		for _, fd := range r.fds[:min(len(r.fds), maxGuesses-len(guesses))] {
			guesses = append(guesses, Holder{r.pid, fd})
		}
	}
	return pids, guesses
}

// among looks at all descriptors of processes that were not tried before.
func (h *Holders) among(pids []int, link string, tried map[int]bool) (Holder, bool) {
	for _, pid := range pids {
		if tried[pid] {
			continue
		}
		tried[pid] = true
		if fd, ok := findFD(pid, link); ok {
			h.remember(Holder{pid, fd})
			return Holder{pid, fd}, true
		}
	}
	return Holder{}, false
}

func (h *Holders) remember(holder Holder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &recentHolder{pid: holder.PID}
	if i := slices.IndexFunc(h.recent, func(r *recentHolder) bool { return r.pid == holder.PID }); i >= 0 {
		r = h.recent[i]
		h.recent = slices.Delete(h.recent, i, i+1)
	}
	h.recent = slices.Insert(h.recent, 0, r)
	h.recent = h.recent[:min(len(h.recent), maxRecent)]
	if i := slices.Index(r.fds, holder.FD); i >= 0 {
		r.fds = slices.Delete(r.fds, i, i+1)
	}
	r.fds = slices.Insert(r.fds, 0, holder.FD)
	r.fds = r.fds[:min(len(r.fds), maxRecentFDs)]
}

// Holding finds the descriptor by which a process holds a socket.
func Holding(pid int, inode uint32) (fd int, ok bool) {
	return findFD(pid, "socket:["+strconv.FormatUint(uint64(inode), 10)+"]")
}

// findFD looks for a socket among a process's file descriptors, the highest numbers first: a new socket has a new number.
func findFD(pid int, link string) (int, bool) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	d, err := os.Open(dir)
	if err != nil {
		return 0, false
	}
	names, err := d.Readdirnames(-1)
	if d.Close() != nil || err != nil {
		return 0, false
	}
	for _, name := range slices.Backward(names) {
		target, err := os.Readlink(dir + "/" + name)
		if err == nil && target == link {
			fd, err := strconv.Atoi(name)
			return fd, err == nil
		}
	}
	return 0, false
}

// Holds says whether the descriptor still is this socket: descriptor numbers are used again within a millisecond.
func (h Holder) Holds(inode uint32) bool {
	var target, want [64]byte
	is, err := procfs.Descriptor(h.PID, h.FD, target[:])
	return err == nil && bytes.Equal(is, append(strconv.AppendUint(append(want[:0], "socket:["...), uint64(inode), 10), ']'))
}
