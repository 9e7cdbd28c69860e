package kernel

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// Bounds of files below /proc, in bytes (fs/proc/array.c, fs/proc/base.c).
const (
	maxStat    = 2048 // 52 numbers, and a name of at most 64 bytes
	maxSyscall = 256  // nine numbers
)

// readSmall reads a file below /proc that fits into buf, by three system calls: those of os.ReadFile are twice as many, and such files are read several times for each call that is asked about. Errors are *fs.PathError.
func readSmall(path string, buf []byte) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return buf[:n], nil
}
