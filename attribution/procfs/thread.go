// Package procfs reads the small files that the kernel has of each thread, proc(5). The way to such a file takes the kernel two to five times as long as what stands in it, and a few of them are read several times for each
// call that is asked about: so they are kept open.
package procfs

import (
	"io/fs"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// mostOpen bounds the file descriptors; when it is reached any of them is closed for the next.
const mostOpen = 512

// file is one below /proc/PID/task/TID.
type file struct {
	pid, tid int
	name     string
}

// handle is an open file. It is closed when it was let go and nobody reads it.
type handle struct {
	fd      int
	readers int
	letGo   bool
}

// kept are the files that are open. One that is open is that of the thread it was opened for, and of no other that gets the same number later: reading it fails when that thread is gone. The rights to read it are asked for at
// each reading, as ever. No file is read under the lock: the kernel may let the reader wait for the process.
var kept = struct {
	sync.Mutex
	open map[file]*handle
}{open: map[file]*handle{}}

// Thread reads the beginning of a thread's file: /proc/PID/task/TID/NAME. Errors are *fs.PathError. Safe for concurrent use.
func Thread(pid, tid int, name string, buf []byte) ([]byte, error) {
	f := file{pid, tid, name}
	if text, ok := f.again(buf); ok {
		return text, nil
	}
	path := "/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(tid) + "/" + name
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	n, err := unix.Pread(fd, buf, 0)
	if err != nil {
		_ = unix.Close(fd) // nothing was written to it
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	f.keep(fd)
	return buf[:n], nil
}

// again reads a file that is open. One that cannot be read any more is let go.
func (f file) again(buf []byte) (text []byte, ok bool) {
	kept.Lock()
	h := kept.open[f]
	if h != nil {
		h.readers++
	}
	kept.Unlock()
	if h == nil {
		return nil, false
	}
	n, err := unix.Pread(h.fd, buf, 0)
	ok = err == nil && n > 0
	kept.Lock()
	defer kept.Unlock()
	if h.readers--; !ok && kept.open[f] == h {
		f.letGo()
	} else {
		h.closeUnused()
	}
	return buf[:max(n, 0)], ok // -1 with an error
}

func (f file) keep(fd int) {
	kept.Lock()
	defer kept.Unlock()
	if kept.open[f] != nil {
		f.letGo() // of one that was read at the same time, or of a thread that is gone
	}
	if len(kept.open) >= mostOpen {
		for any := range kept.open {
			any.letGo()
			break
		}
	}
	kept.open[f] = &handle{fd: fd}
}

// letGo forgets a file. The caller holds the lock.
func (f file) letGo() {
	h := kept.open[f]
	delete(kept.open, f)
	h.letGo = true
	h.closeUnused()
}

// closeUnused closes a file that was let go, after its last reader. The caller holds the lock.
func (h *handle) closeUnused() {
	if h.letGo && h.readers == 0 {
		_ = unix.Close(h.fd) // nothing was written to it
	}
}
