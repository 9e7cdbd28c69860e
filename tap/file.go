package tap

import (
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// largestRecord is the longest captured frame that is believed, in bytes: libpcap's own maximum (MAXIMUM_SNAPLEN). A record that
// claims more is damage, not a packet.
const largestRecord = 256 << 10

// fileSource reads one capture file. The goroutine that calls Next owns all but the counters.
type fileSource struct {
	path   string
	file   *os.File // where its bytes lie as they are in a regular file, else nil
	window *window
	format format

	ctx context.Context // of the call of Next under way; for pipes

	mu     sync.Mutex // guards closing
	closer func() error

	counts fileCounts // the newest
	public atomic.Pointer[fileCounts]

	total    uint64
	consumed atomic.Uint64
	atEnd    atomic.Bool
}

// fileCounts are told to others now and then: an atomic counter a packet would cost a tenth of reading it.
type fileCounts struct{ packets, bytes, truncated uint64 }

// publishEvery is how many packets pass before others are told, and before the context is asked: a file is read at millions of packets a second.
const publishEvery = 1024

// format reads the records of one file form. next fills p or returns io.EOF or a damage; a damage's place is the window's.
type format interface {
	next(w *window, p *Packet) error
}

// damage is what is wrong at the window's present place.
type damage string

func (d damage) Error() string { return string(d) }

// OpenFile opens a capture: pcap (microseconds and nanoseconds, both byte orders) or pcapng, also compressed by gzip, zstd or lz4; "-" is standard input.
// A file that is no capture gives a *FileError at offset 0.
func OpenFile(path string) (Source, error) {
	s := &fileSource{path: path, ctx: context.Background(), closer: func() error { return nil }}
	f := os.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, fmt.Errorf("open the capture: %w", err)
		}
		s.closer = f.Close
	}
	in, err := s.reader(f)
	if err == nil {
		err = s.begin(&countingReader{in, &s.consumed})
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// OpenPieces is OpenFile for a reader who keeps packets: their Data stays valid until the piece of the file that they lie in is released. When a further piece begins, during Next, began is told, with what
// releases it, to be called once by any goroutine; the packet that Next returns then, and those that follow, lie there. It is told of the first piece before OpenPieces returns.
// Pieces have size bytes, or more where a record needs them; those of what is no regular file have half a MiB.
//
// A regular file is not copied: whoever touches Data must be ready for faults (SurviveFaults, UntilFault).
func OpenPieces(path string, size int, began func(release func())) (Source, error) {
	source, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	s := source.(*fileSource)
	if s.file != nil {
		w := &window{offset: s.window.offset, began: began, mapped: &mapped{s.file, size, int64(s.total), &s.consumed}}
		if err := w.remap(0); err == nil || errors.Is(err, io.EOF) {
			s.window = w
			return s, nil
		}
	}
	s.window.share(began) // not a file, or its file system maps none
	return s, nil
}

// reader chooses how f is read: a regular file directly, anything that can keep a reader waiting so that the wait can end.
func (s *fileSource) reader(f *os.File) (io.Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the capture: %w", err)
	}
	switch {
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory: name the capture files in it", s.path)
	case info.Mode().IsRegular():
		s.file, s.total = f, uint64(info.Size())
		return f, nil
	default:
		return &pipeReader{file: f, source: s}, nil
	}
}

// countingReader counts what is read from the file itself, before decompression.
type countingReader struct {
	r io.Reader
	n *atomic.Uint64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(uint64(n))
	return n, err
}

// largestZstdWindow bounds the memory of a decompressor in bytes: what zstd itself allows without being asked for more (its --long=27).
const largestZstdWindow = 128 << 20

// unpacker returns what decompresses a stream, nil when it is not compressed.
func unpacker(magic []byte, in io.Reader) (io.Reader, error) {
	switch {
	case magic[0] == 0x1f && magic[1] == 0x8b: // RFC 1952
		r, err := gzip.NewReader(in)
		if err != nil {
			return nil, damage("gzip header: " + err.Error())
		}
		return r, nil
	case binary.LittleEndian.Uint32(magic) == 0xfd2fb528: // RFC 8878
		r, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(largestZstdWindow))
		if err != nil {
			return nil, damage("zstd header: " + err.Error())
		}
		return r, nil
	case binary.LittleEndian.Uint32(magic) == 0x184d2204: // https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md; its blocks have 4 MiB at most
		return lz4.NewReader(in), nil
	}
	return nil, nil
}

// begin looks at the first bytes: compressed, pcap, pcapng, or something else.
func (s *fileSource) begin(in io.Reader) error {
	s.window = newWindow(in)
	magic, err := s.window.peek(4)
	if err != nil {
		return s.fail(err)
	}
	unpacked, err := unpacker(magic, &windowReader{s.window})
	if err != nil {
		return s.fail(err)
	}
	if unpacked != nil {
		s.file, s.window = nil, newWindow(unpacked)
		if magic, err = s.window.peek(4); err != nil {
			return s.fail(err)
		}
	}
	s.format, err = recognise(magic, s.window)
	if err != nil {
		return s.fail(err)
	}
	return nil
}

// recognise reads the file header that the magic number announces.
func recognise(magic []byte, w *window) (format, error) {
	switch binary.LittleEndian.Uint32(magic) {
	case magicMicro, magicNano, magicModified:
		return newPcap(w, binary.LittleEndian)
	}
	switch binary.BigEndian.Uint32(magic) {
	case magicMicro, magicNano, magicModified:
		return newPcap(w, binary.BigEndian)
	case sectionHeaderBlock:
		return &pcapng{}, nil
	default:
		return nil, damage(fmt.Sprintf("no capture file: it begins with % x; pcap and pcapng (also compressed by gzip, zstd or lz4) can be read", magic))
	}
}

// windowReader lets the decompressor read what the window holds already.
type windowReader struct{ w *window }

func (r *windowReader) Read(p []byte) (int, error) {
	if _, err := r.w.peek(1); err != nil {
		return 0, err
	}
	n := copy(p, r.w.buffer[r.w.begin:r.w.end])
	_, err := r.w.take(n)
	return n, err
}

// packedWrongly are errors of decompressors that do not say so themselves.
var packedWrongly = []error{gzip.ErrChecksum, zstd.ErrCRCMismatch, lz4.ErrInvalidSourceShortBuffer, lz4.ErrInvalidHeaderChecksum, lz4.ErrInvalidBlockChecksum, lz4.ErrInvalidFrameChecksum}

// fail wraps what went wrong with its place in the file.
func (s *fileSource) fail(err error) error {
	if s.ctx.Err() != nil && errors.Is(err, s.ctx.Err()) {
		return err
	}
	reason := err.Error()
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		reason = "the file ends in the middle of a record"
		if s.window.offset == 0 && s.format == nil {
			reason = "the file is empty or shorter than a capture's header"
		}
	case errors.As(err, &corrupt), slices.ContainsFunc(packedWrongly, func(target error) bool { return errors.Is(err, target) }):
		reason = "the compressed data is damaged: " + err.Error()
	}
	return &FileError{Path: s.path, Offset: s.window.offset, Packets: s.counts.packets, Reason: reason}
}

// Next implements Source.
func (s *fileSource) Next(ctx context.Context, p *Packet) error {
	if s.counts.packets%publishEvery == 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.publish()
	}
	if s.atEnd.Load() {
		return io.EOF
	}
	s.ctx = ctx
	if err := s.format.next(s.window, p); err != nil {
		s.publish()
		closed := s.atEnd.Swap(true)
		if closed || errors.Is(err, io.EOF) {
			return io.EOF
		}
		return s.fail(err)
	}
	s.counts.packets++
	s.counts.bytes += uint64(p.Length)
	if len(p.Data) < p.Length {
		s.counts.truncated++
	}
	return nil
}

func (s *fileSource) publish() {
	c := s.counts
	s.public.Store(&c)
}

// Stats implements Source. While the file is read its counts lag behind by up to 1,024 packets.
func (s *fileSource) Stats() Stats {
	var c fileCounts
	if p := s.public.Load(); p != nil {
		c = *p
	}
	return Stats{
		Packets: c.packets, Bytes: c.bytes, Truncated: c.truncated, InterfaceUp: !s.atEnd.Load(),
		FileBytesRead: s.consumed.Load(), FileBytesTotal: s.total,
	}
}

// Close implements Source.
func (s *fileSource) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.closer
	s.closer = func() error { return nil }
	s.atEnd.Store(true)
	return c()
}
