// Package procfs reads the small files that the kernel has of each thread, proc(5). The way to such a file takes the kernel two to five times as long as what stands in it, and a few of them are read several times for each
// call that is asked about: so they are kept open, as are the directories of descriptors.
package procfs

import (
	"io/fs"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// mostOpen bounds the file descriptors; when it is reached any of them is closed for the next.
const mostOpen = 512

// file is one below /proc/PID/task/TID, or with tid 0 one below /proc/PID.
type file struct {
	pid, tid int
	name     string
}

func (f file) path() string {
	path := "/proc/" + strconv.Itoa(f.pid) + "/"
	if f.tid != 0 {
		path += "task/" + strconv.Itoa(f.tid) + "/"
	}
	return path + f.name
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
	read := func(fd int) (int, error) { return unix.Pread(fd, buf, 0) }
	n, known, ok := f.again(read)
	if ok {
		return buf[:n], nil
	}
	if known {
		f.drop() // the thread is gone
	}
	path := f.path()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if n, err = read(fd); err != nil {
		_ = unix.Close(fd) // nothing was written to it
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	f.keep(fd)
	return buf[:n], nil
}

// Descriptor reads what a file descriptor of a process is, such as socket:[INODE], into buf: /proc/PID/fd/N. Errors are those of readlink(2). Safe for concurrent use.
func Descriptor(pid, fd int, buf []byte) ([]byte, error) {
	f := file{pid: pid, name: "fd"}
	name := strconv.Itoa(fd)
	read := func(dir int) (int, error) { return unix.Readlinkat(dir, name, buf) }
	n, known, ok := f.again(read)
	if ok {
		return buf[:n], nil
	}
	if known { // the descriptor is closed, or this is another process by now
		n, err := unix.Readlink(f.path()+"/"+name, buf)
		if err != nil {
			return nil, err
		}
		f.drop()
		return buf[:n], nil
	}
	dir, err := unix.Open(f.path(), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if n, err = read(dir); err != nil {
		_ = unix.Close(dir) // nothing was written to it
		return nil, err
	}
	f.keep(dir)
	return buf[:n], nil
}

// again reads by a descriptor that is open, if one is known.
func (f file) again(read func(fd int) (int, error)) (n int, known, ok bool) {
	kept.Lock()
	h := kept.open[f]
	if h != nil {
		h.readers++
	}
	kept.Unlock()
	if h == nil {
		return 0, false, false
	}
	n, err := read(h.fd)
	kept.Lock()
	defer kept.Unlock()
	h.readers--
	h.closeUnused()
	return n, true, err == nil && n > 0
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

// drop forgets a file.
func (f file) drop() {
	kept.Lock()
	defer kept.Unlock()
	if kept.open[f] != nil {
		f.letGo()
	}
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
