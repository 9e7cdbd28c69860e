package tap

import (
	"errors"
	"io"
)

// windowSize is the read buffer in bytes: large enough that a system call fetches many packets, small enough to stay in cache.
const windowSize = 512 << 10

// mostEmptyReads is how many reads in a row may return neither bytes nor an error before the stream counts as broken.
const mostEmptyReads = 100

// window gives contiguous pieces of a stream without copying them out. One goroutine owns it.
type window struct {
	from       io.Reader
	buffer     []byte
	begin, end int   // unread bytes are buffer[begin:end]
	offset     int64 // of buffer[begin] in the stream
	err        error // what the stream ended with

	fresh func() []byte // when not nil: what was given out stays valid, and each further piece of the stream goes into memory that this returns
}

func newWindow(r io.Reader) *window { return &window{from: r, buffer: make([]byte, windowSize)} }

// peek returns the next n bytes without consuming them; they stay valid until the next peek or take. n is at most windowSize. It returns
// io.EOF when nothing is left, io.ErrUnexpectedEOF when less than n is.
func (w *window) peek(n int) ([]byte, error) {
	if w.end-w.begin < n {
		if err := w.fill(n); err != nil {
			return nil, err
		}
	}
	return w.buffer[w.begin : w.begin+n], nil
}

// take is peek and consume.
func (w *window) take(n int) ([]byte, error) {
	b, err := w.peek(n)
	if err == nil {
		w.begin += n
		w.offset += int64(n)
	}
	return b, err
}

func (w *window) fill(n int) error {
	rest := w.buffer[w.begin:w.end]
	if w.fresh != nil && w.err == nil {
		w.buffer = w.fresh()
	}
	copy(w.buffer, rest)
	w.begin, w.end = 0, w.end-w.begin
	for idle := 0; w.end < n && w.err == nil; idle++ {
		var m int
		m, w.err = w.from.Read(w.buffer[w.end:])
		w.end += m
		if m > 0 {
			idle = 0
		} else if idle > mostEmptyReads && w.err == nil {
			w.err = io.ErrNoProgress
		}
	}
	switch {
	case w.end >= n:
		return nil
	case !errors.Is(w.err, io.EOF):
		return w.err
	case w.end == 0:
		return io.EOF
	default:
		return io.ErrUnexpectedEOF
	}
}

// skip consumes n bytes, however many. When the stream ends before, the offset stays where skipping began: that is the place to report.
func (w *window) skip(n int64) error {
	from := w.offset
	for n > 0 {
		step := min(n, windowSize)
		if _, err := w.take(int(step)); err != nil {
			w.offset = from
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		n -= step
	}
	return nil
}
