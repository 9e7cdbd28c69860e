package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/tlog"
)

// Since format 3 the rows of a batch lie together in groups: one key and one value for up to groupRows rows. A value goes through a write-ahead log, a skip list and several merges before it rests, and a
// compressed group is much shorter there than its rows. The rows themselves, their hashes and all that is proved about them know nothing of groups.
//
// The value is a byte that says how the rest is stored, and the rest: for each row its length (a varint) and what the older formats store for a row, its row hash and its text.
//
// A group never crosses a multiple of groupRows, a day or a batch. So the group of a row is the last one at or before it, and no checkpoint ends inside one.
const (
	groupRows  = 64
	groupBytes = 192 << 10 // a row that would make a group longer begins another one

	groupPlain      = 0
	groupCompressed = 1 // with Zstandard

	// worthCompressing is how long a group must be. The store compresses blocks of many groups, which finds more alike than a short group alone has.
	worthCompressing = 24 << 10
	groupWindow      = 256 << 10 // more than any group has bytes; Zstandard wants a power of two
)

// groupDecoder takes groups apart; many goroutines may use it at once.
var groupDecoder, _ = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(groupWindow), zstd.WithDecoderConcurrency(0)) // only wrong options are an error

// groupWriter makes groups of rows that follow each other; for formats without groups each row is one. One goroutine owns it; value may run beside the rest.
type groupWriter struct {
	grouped bool
	encoder *zstd.Encoder
	first   uint64
	rows    int
	plain   []byte // with the byte in front
	before  []byte // of the group that was taken last
}

func newGroupWriter(grouped bool) (*groupWriter, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(groupWindow), zstd.WithEncoderCRC(false)) // the rows have hashes
	if err != nil {
		return nil, fmt.Errorf("prepare compression: %w", err)
	}
	return &groupWriter{grouped: grouped, encoder: encoder}, nil
}

// reset forgets a group that was begun.
func (g *groupWriter) reset() { g.rows = 0 }

// fits says whether a row can join the group.
func (g *groupWriter) fits(seq uint64, text []byte) bool {
	return g.rows == 0 || g.grouped && seq%groupRows != 0 && len(g.plain)+len(text) <= groupBytes
}

func (g *groupWriter) add(seq uint64, chain *[32]byte, text []byte) {
	if g.rows == 0 {
		g.first, g.plain = seq, g.plain[:0]
		if g.grouped {
			g.plain = append(g.plain, groupPlain)
		}
	}
	g.rows++
	if g.grouped {
		g.plain = binary.AppendUvarint(g.plain, uint64(len(chain)+len(text)))
	}
	g.plain = append(append(g.plain, chain[:]...), text...)
}

// store takes the group and lets it be compressed while the next rows are encoded. The group before must be done.
func (g *groupWriter) store(rows []*Event, leaves []tlog.Hash, chain [32]byte) *storedGroup {
	first, plain := g.take()
	s := &storedGroup{first: first, rows: rows, leaves: leaves, chain: chain, plain: len(plain), done: make(chan struct{})}
	if !g.compresses(plain) {
		s.value = g.value(plain)
		close(s.done)
		return s
	}
	go func() {
		defer close(s.done)
		s.value = g.value(plain)
	}()
	return s
}

// take hands the group over, valid until the take after the next, and begins another one.
func (g *groupWriter) take() (first uint64, plain []byte) {
	g.rows = 0
	g.plain, g.before = g.before, g.plain
	return g.first, g.before
}

// compresses says whether a group is stored compressed.
func (g *groupWriter) compresses(plain []byte) bool {
	return g.grouped && len(plain) >= worthCompressing
}

// value is what is stored of a group; the caller may keep it.
func (g *groupWriter) value(plain []byte) []byte {
	if g.compresses(plain) {
		return g.encoder.EncodeAll(plain[1:], append(make([]byte, 0, len(plain)/3), groupCompressed))
	}
	return append([]byte(nil), plain...)
}

// unpacker takes the values of the table of rows apart, of every format. One goroutine owns it.
type unpacker struct {
	grouped bool
	plain   []byte
	rows    [][]byte
}

// unpack returns the row hash and text of each row of a value whose key says `first`; they are valid until the value or the unpacker changes.
func (u *unpacker) unpack(first uint64, value []byte) (rows [][]byte, err error) {
	u.rows = u.rows[:0]
	if !u.grouped {
		u.rows = append(u.rows, value)
		return u.rows, nil
	}
	if len(value) == 0 {
		return nil, fmt.Errorf("the group of row %d is empty", first)
	}
	rest := value[1:]
	switch value[0] {
	case groupPlain:
	case groupCompressed:
		if u.plain, err = groupDecoder.DecodeAll(rest, u.plain[:0]); err != nil {
			return nil, fmt.Errorf("the group of row %d cannot be decompressed: %w", first, err)
		}
		rest = u.plain
	default:
		return nil, fmt.Errorf("the group of row %d is stored in an unknown way: %d", first, value[0])
	}
	most := groupRows - int(first%groupRows)
	for len(rest) > 0 {
		n, width := binary.Uvarint(rest)
		if width <= 0 || n > uint64(len(rest)-width) || len(u.rows) == most {
			return nil, fmt.Errorf("the group of row %d is malformed after %d rows", first, len(u.rows))
		}
		u.rows = append(u.rows, rest[width:width+int(n)])
		rest = rest[width+int(n):]
	}
	if len(u.rows) == 0 {
		return nil, fmt.Errorf("the group of row %d has no rows", first)
	}
	return u.rows, nil
}

// rowReader reads single rows out of the table of rows, rows that lie together once. One goroutine owns it; close ends it.
type rowReader struct {
	*unpacker
	layout layout
	txn    *badger.Txn
	it     *badger.Iterator
	first  uint64 // of the group that is unpacked
	last   uint64
	value  []byte
	some   bool
}

// unpackers that are at rest: a fresh one has to have memory for a whole group.
var unpackers = sync.Pool{New: func() any { return new(unpacker) }}

func (o layout) reader(txn *badger.Txn) *rowReader {
	u := unpackers.Get().(*unpacker)
	u.grouped = o.groups
	return &rowReader{unpacker: u, layout: o, txn: txn}
}

func (r *rowReader) close() {
	if r.it != nil {
		r.it.Close()
	}
	unpackers.Put(r.unpacker)
	r.unpacker = nil
}

// row returns row hash and text as stored, valid until the next call; badger.ErrKeyNotFound when the row is not there.
func (r *rowReader) row(day uint32, seq uint64) ([]byte, error) {
	if !r.grouped {
		return valueOf(r.txn, r.layout.row(day, seq))
	}
	if !r.some || seq < r.first || seq > r.last {
		if err := r.load(day, seq); err != nil {
			return nil, err
		}
	}
	return r.rows[seq-r.first], nil
}

// load unpacks the group of a row. Most begin with the row itself, in quiet times, or fill up a multiple, in busy ones: to ask for one key is cheaper than to look for the last group before the row.
func (r *rowReader) load(day uint32, seq uint64) error {
	guesses := [2]uint64{seq, seq - seq%groupRows}
	if r.some && r.first < r.last { // the times were busy
		guesses[0], guesses[1] = guesses[1], guesses[0]
	}
	for i, first := range guesses {
		if i > 0 && first == guesses[0] {
			break
		}
		item, err := r.txn.Get(r.layout.row(day, first))
		if err == nil {
			err = r.open(first, item)
		}
		if err == nil && seq <= r.last {
			return nil
		}
		if err != nil && !errors.Is(err, badger.ErrKeyNotFound) {
			return err
		}
	}
	if r.it == nil {
		r.it = r.txn.NewIterator(badger.IteratorOptions{Prefix: []byte{r.layout.rows}, Reverse: true})
	}
	first, ok := r.layout.lastGroup(r.it, day, seq)
	if !ok {
		return badger.ErrKeyNotFound
	}
	if err := r.open(first, r.it.Item()); err != nil {
		return err
	}
	if seq > r.last {
		return badger.ErrKeyNotFound
	}
	return nil
}

// lastGroup moves a backward iterator over the table of rows to the last group that begins at or before a row; ok is false when the row cannot be in it.
func (o layout) lastGroup(it *badger.Iterator, day uint32, seq uint64) (first uint64, ok bool) {
	it.Seek(o.row(day, seq))
	if !it.Valid() {
		return 0, false
	}
	in, first, ok := o.parseRow(it.Item().Key())
	return first, ok && in == day && seq-first < groupRows
}

// groupOf is where the group of a row begins: with the row itself when there is none.
func (o layout) groupOf(txn *badger.Txn, day uint32, seq uint64) uint64 {
	if !o.groups {
		return seq
	}
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{o.rows}, Reverse: true})
	defer it.Close()
	if first, ok := o.lastGroup(it, day, seq); ok {
		return first
	}
	return seq
}

func (r *rowReader) open(first uint64, item *badger.Item) (err error) {
	r.some = false
	if r.value, err = item.ValueCopy(r.value); err != nil {
		return err
	}
	rows, err := r.unpack(first, r.value)
	if err != nil {
		return err
	}
	r.first, r.last, r.some = first, first+uint64(len(rows))-1, true
	return nil
}
