package tap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// mapped is a regular file that is read where the kernel keeps it (mmap(2)): to copy what lies there takes longer than to dissect it, where most of it is payload. One goroutine owns it.
type mapped struct {
	file *os.File
	most int            // bytes to map at a time, if nobody asks for more
	size int64          // the most that the file was seen to have
	end  *atomic.Uint64 // how far it was mapped
}

var errShorter = errors.New("the file became shorter while it was read: replay a copy of it")

// at maps the file from offset on, at least n bytes of it; it begins within bytes into the piece. n is at most windowSize. It returns io.EOF when nothing is left, io.ErrUnexpectedEOF when less than n is.
func (m *mapped) at(offset int64, n int) (piece []byte, within int, err error) {
	info, err := m.file.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("ask for the size of the file: %w", err)
	}
	switch left := info.Size() - offset; {
	case info.Size() < m.size:
		return nil, 0, errShorter
	case left == 0:
		return nil, 0, io.EOF
	case left < int64(n):
		return nil, 0, io.ErrUnexpectedEOF
	}
	m.size = info.Size()
	within = int(offset % int64(os.Getpagesize()))
	from := offset - int64(within)
	length := min(int64(max(m.most, within+n)), m.size-from)
	piece, err = unix.Mmap(int(m.file.Fd()), from, int(length), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, 0, fmt.Errorf("map the file: %w", err)
	}
	m.end.Store(uint64(from) + uint64(len(piece)))
	return piece, within, nil
}

// unmap takes a piece out of memory.
func unmap(piece []byte) {
	_ = unix.Munmap(piece) // it fails for what is not mapped only
}

// SurviveFaults lets this goroutine panic where it would end the program: when it touches a mapped piece of a file that has become shorter meanwhile, or whose disk fails.
func SurviveFaults() { debug.SetPanicOnFault(true) }

// IsFault says whether what was recovered from a panic is such a fault.
func IsFault(recovered any) bool {
	_, ok := recovered.(interface{ Addr() uintptr }) // debug.SetPanicOnFault
	return ok
}

// UntilFault runs read, and says whether it was ended by a fault.
func UntilFault(read func()) (fault bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if value := recover(); value != nil {
			if fault = IsFault(value); !fault {
				panic(value)
			}
		}
	}()
	read()
	return false
}

// Unreadable is the error for a file with a fault.
func Unreadable(path string, s Stats) *FileError {
	return &FileError{Path: path, Offset: int64(s.FileBytesRead), Packets: s.Packets, Reason: "a part of the file cannot be read any more: it became shorter while it was read (replay a copy of it), or its disk fails (the kernel's log says so)"}
}
