package kernel

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Holder is a process that holds a socket, and by which file descriptor.
type Holder struct {
	PID, FD int
}

// Holders finds the process behind a socket's inode by its file descriptors. Processes that held a socket lately are looked at first: an Odoo worker
// makes one call after the other. Safe for concurrent use.
type Holders struct {
	mu     sync.Mutex
	recent []int // process ids, latest first
}

// maxRecent bounds how many processes are tried before all others.
const maxRecent = 32

// Find returns who holds the socket: those in likely are looked at after the latest and before all others. ok is false when nobody does who can be seen.
func (h *Holders) Find(inode uint32, likely []int) (holder Holder, ok bool) {
	if inode == 0 {
		return Holder{}, false
	}
	link := "socket:[" + strconv.FormatUint(uint64(inode), 10) + "]"
	h.mu.Lock()
	first := append(slices.Clone(h.recent), likely...)
	h.mu.Unlock()
	tried := make(map[int]bool, len(first))
	for _, pid := range first {
		if tried[pid] {
			continue
		}
		tried[pid] = true
		if fd, ok := findFD(pid, link); ok {
			h.remember(pid)
			return Holder{pid, fd}, true
		}
	}
	pids, err := Processes()
	if err != nil {
		return Holder{}, false
	}
	slices.Sort(pids)
	slices.Reverse(pids) // young processes make more connections than old ones
	for _, pid := range pids {
		if tried[pid] {
			continue
		}
		if fd, ok := findFD(pid, link); ok {
			h.remember(pid)
			return Holder{pid, fd}, true
		}
	}
	return Holder{}, false
}

func (h *Holders) remember(pid int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.recent, pid); i >= 0 {
		h.recent = slices.Delete(h.recent, i, i+1)
	}
	h.recent = slices.Insert(h.recent, 0, pid)
	h.recent = h.recent[:min(len(h.recent), maxRecent)]
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
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", h.PID, h.FD))
	return err == nil && strings.HasPrefix(target, "socket:[") && target == "socket:["+strconv.FormatUint(uint64(inode), 10)+"]"
}
