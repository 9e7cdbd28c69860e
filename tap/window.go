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

	began  func(release func()) // when not nil: what was given out stays valid until it is released, and this is told of each further piece of the stream
	mapped *mapped              // instead of from, when not nil
	unused chan []byte          // released buffers
}

// mostUnused is how many released buffers are kept.
const mostUnused = 8

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
	if w.mapped != nil {
		return w.remap(n)
	}
	rest := w.buffer[w.begin:w.end]
	if w.began != nil && w.err == nil {
		w.buffer = w.another()
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

// share lets what is given out stay valid, beginning with the present piece.
func (w *window) share(began func(release func())) {
	w.began, w.unused = began, make(chan []byte, mostUnused)
	began(func() {}) // the first piece is not used again
}

// another is a buffer for the next piece.
func (w *window) another() (buffer []byte) {
	select {
	case buffer = <-w.unused:
	default:
		buffer = make([]byte, windowSize)
	}
	w.began(func() {
		select {
		case w.unused <- buffer:
		default:
		}
	})
	return buffer
}

// remap moves the window on to where it has been read to.
func (w *window) remap(n int) error {
	piece, within, err := w.mapped.at(w.offset, n)
	if err != nil {
		return err
	}
	w.buffer, w.begin, w.end = piece, within, len(piece)
	w.began(func() { unmap(piece) })
	return nil
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
