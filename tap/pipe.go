package tap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pipePatience is how long a wait for a pipe's next bytes lasts before it is asked whether the reader still wants them.
const pipePatience = 100 * time.Millisecond

// pipeReader reads a pipe, a terminal or a socket (`tcpdump -w - | …`), which may be silent for hours. A plain read would hold the
// goroutine until the writer speaks, deaf to its context and to Close.
type pipeReader struct {
	file   *os.File
	source *fileSource
}

// Read implements io.Reader. It returns the context's error when that of the call of Next under way ends, os.ErrClosed after Close.
func (r *pipeReader) Read(p []byte) (int, error) {
	raw, err := r.file.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("read the pipe: %w", err)
	}
	for {
		if err := r.source.ctx.Err(); err != nil {
			return 0, err
		}
		if r.source.atEnd.Load() {
			return 0, os.ErrClosed
		}
		n, ready := 0, false
		var readErr error
		err := raw.Control(func(fd uintptr) {
			if ready, readErr = readable(int(fd)); ready && readErr == nil {
				n, readErr = unix.Read(int(fd), p)
			}
		})
		switch {
		case err != nil:
			return 0, err
		case !ready && readErr == nil, errors.Is(readErr, unix.EINTR), errors.Is(readErr, unix.EAGAIN):
			continue
		case readErr != nil:
			return 0, fmt.Errorf("read the pipe: %w", readErr)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// readable waits at most pipePatience until a read would not block; the end of the stream counts as readable.
func readable(fd int) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(pipePatience.Milliseconds()))
	return n > 0, err
}
