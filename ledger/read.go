package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger/proof"
)

// Row returns a row; ErrNoRow when it is not (yet) anchored.
func (l *Ledger) Row(seq uint64) (Row, error) {
	if seq >= l.Size() {
		return Row{}, fmt.Errorf("row %d: %w", seq, ErrNoRow)
	}
	var row Row
	err := l.db.View(func(txn *badger.Txn) (err error) {
		row, err = l.row(txn, seq)
		return err
	})
	return row, err
}

// row reads a row that must exist.
func (l *Ledger) row(txn *badger.Txn, seq uint64) (Row, error) {
	r := l.id.layout.reader(txn)
	defer r.close()
	return l.rowFrom(r, seq)
}

// rowFrom is row for who reads several.
func (l *Ledger) rowFrom(r *rowReader, seq uint64) (Row, error) {
	day, ok := dayOf(l.state.Load().days, seq)
	if !ok {
		return Row{}, fmt.Errorf("row %d: %w", seq, ErrNoRow)
	}
	if _, withheld := withheldBy(l.state.Load().dropped, seq); withheld {
		return Row{}, fmt.Errorf("row %d: %w", seq, ErrWithheld)
	}
	value, err := r.row(day, seq)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return Row{}, fmt.Errorf("row %d is missing from the store: %w", seq, ErrNoRow)
	}
	if err != nil {
		return Row{}, fmt.Errorf("read row %d: %w", seq, err)
	}
	return newRow(seq, bytes.Clone(value))
}

// newRow splits what is stored: row hash and row.
func newRow(seq uint64, value []byte) (Row, error) {
	if len(value) < 32 {
		return Row{}, fmt.Errorf("row %d has %d bytes in the store, fewer than its hash", seq, len(value))
	}
	return Row{Seq: seq, JSON: value[32:], Leaf: tlog.RecordHash(value[32:]), Chain: [32]byte(value[:32])}, nil
}

func dayOf(days []dayRange, seq uint64) (uint32, bool) {
	i := sort.Search(len(days), func(i int) bool { return days[i].last >= seq })
	if i == len(days) || days[i].first > seq {
		return 0, false
	}
	return days[i].day, true
}

// Rows calls yield for the rows from seq `from` on, in order, until it returns false or the anchored rows end. A row is valid during the
// call only in so far as its JSON is a copy: it may be kept.
func (l *Ledger) Rows(ctx context.Context, from uint64, yield func(Row) bool) error {
	state := l.state.Load()
	day, ok := dayOf(state.days, from)
	if !ok {
		return ctx.Err()
	}
	return l.walk(ctx, day, from, false, func(r Row) bool {
		return r.Seq < state.checkpoint.Size && yield(r)
	})
}

// texts is Rows for who needs no hashes; a text is valid during the call.
func (l *Ledger) texts(ctx context.Context, from uint64, yield func(text []byte) bool) error {
	state := l.state.Load()
	day, ok := dayOf(state.days, from)
	if !ok {
		return ctx.Err()
	}
	var failure error
	err := l.walkStored(ctx, day, from, false, func(seq uint64, value []byte) bool {
		if len(value) < 32 {
			_, failure = newRow(seq, value)
			return false
		}
		return seq < state.checkpoint.Size && yield(value[32:])
	})
	return errors.Join(err, failure)
}

// RowsBackward calls yield for the rows below seq `before`, newest first.
func (l *Ledger) RowsBackward(ctx context.Context, before uint64, yield func(Row) bool) error {
	state := l.state.Load()
	before = min(before, state.checkpoint.Size)
	if before == 0 {
		return ctx.Err()
	}
	day, ok := dayOf(state.days, before-1)
	if !ok {
		return ctx.Err()
	}
	return l.walk(ctx, day, before-1, true, yield)
}

// rowsBetweenChecks is how many rows a walk reads between two looks at its context.
const rowsBetweenChecks = 256

func (l *Ledger) walk(ctx context.Context, day uint32, from uint64, backward bool, yield func(Row) bool) error {
	var failure error
	err := l.walkStored(ctx, day, from, backward, func(seq uint64, value []byte) bool {
		var row Row
		row, failure = newRow(seq, bytes.Clone(value))
		return failure == nil && yield(row)
	})
	return errors.Join(err, failure)
}

// walkStored calls yield with what is stored of the rows from one on, which lies in a day; it is valid during the call.
func (l *Ledger) walkStored(ctx context.Context, day uint32, from uint64, backward bool, yield func(seq uint64, value []byte) bool) error {
	return l.db.View(func(txn *badger.Txn) error {
		begin := l.id.layout.row(day, l.id.layout.groupOf(txn, day, from))
		o := badger.DefaultIteratorOptions
		o.Prefix, o.Reverse, o.PrefetchValues = []byte{l.id.layout.rows}, backward, false // values stand beside their keys: fetching ahead costs a goroutine a row
		it := txn.NewIterator(o)
		defer it.Close()
		u := unpacker{grouped: l.id.layout.groups}
		n, more := 0, true
		for it.Seek(begin); more && it.Valid(); it.Next() {
			_, first, ok := l.id.layout.parseRow(it.Item().Key())
			if !ok {
				return fmt.Errorf("a key of the row table is malformed: %x", it.Item().Key())
			}
			err := it.Item().Value(func(value []byte) error {
				rows, err := u.unpack(first, value)
				for i := 0; i < len(rows) && more && err == nil; i++ {
					at := i
					if backward {
						at = len(rows) - 1 - i
					}
					seq := first + uint64(at)
					if (seq < from) != backward && seq != from {
						continue
					}
					if n++; n%rowsBetweenChecks == 0 {
						err = ctx.Err()
					}
					more = err == nil && yield(seq, rows[at])
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("read row %d: %w", first, err)
			}
		}
		return nil
	})
}

// Since returns the first row that the ledger took at or after t and that is there; Size when there is none. The time index finds the minute, halving finds the row: time in the log never goes back.
func (l *Ledger) Since(t time.Time) uint64 {
	state := l.state.Load()
	size := state.checkpoint.Size
	if t.UnixNano() <= 0 {
		return 0
	}
	minute := uint64(t.UnixNano() / int64(time.Minute))
	var from, to uint64
	err := l.db.View(func(txn *badger.Txn) (err error) {
		if from, err = minuteStart(txn, minute, true, 0); err == nil {
			to, err = minuteStart(txn, minute+1, false, size)
		}
		return err
	})
	if err != nil {
		return 0 // everything is a safe answer
	}
	to = min(to, size)
	n := 0
	err = l.db.View(func(txn *badger.Txn) (err error) {
		n, err = l.firstSince(txn, t, from, to)
		return err
	})
	if err != nil {
		return from
	}
	found := from + uint64(n)
	for _, d := range state.dropped {
		if d.first <= found && found <= d.last {
			found = d.last + 1
		}
	}
	return found
}

// firstSince is how many of the rows in [from, to), which are of one minute, were logged before t.
func (l *Ledger) firstSince(txn *badger.Txn, t time.Time, from, to uint64) (n int, err error) {
	reader := l.id.layout.reader(txn)
	defer reader.close()
	n = sort.Search(int(to-min(from, to)), func(i int) bool {
		if failed := err != nil; failed {
			return true
		}
		var row Row
		if row, err = l.rowFrom(reader, from+uint64(i)); errors.Is(err, ErrWithheld) {
			err = nil // a minute belongs to one day: all of its rows are withheld
			return false
		}
		return err == nil && loggedAtOrAfter(row.JSON, t)
	})
	return n, err
}

func loggedAtOrAfter(row []byte, t time.Time) bool {
	return new(fieldReader).read(row).Logged >= t.UnixNano()
}

// minuteStart is the first row of a minute, of the newest one before or the oldest one after it that has rows.
func minuteStart(txn *badger.Txn, minute uint64, before bool, none uint64) (seq uint64, err error) {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{tableMinute}, Reverse: before})
	defer it.Close()
	if it.Seek(minuteKey(minute)); !it.Valid() {
		return none, nil
	}
	err = it.Item().Value(func(v []byte) error {
		if len(v) != 8 {
			return fmt.Errorf("the table of minutes has a malformed entry at %x", it.Item().Key())
		}
		seq = binary.BigEndian.Uint64(v)
		return nil
	})
	return seq, err
}

// Proof returns a C2SP tlog-proof (c2sp.org/tlog-proof@v1) that the row is in the log under the newest checkpoint that a witness cosigned, if it has the row, else under the newest.
func (l *Ledger) Proof(seq uint64) ([]byte, error) {
	c := l.checkpointFor(seq + 1)
	if seq >= c.Size {
		return nil, fmt.Errorf("row %d: %w", seq, ErrNoRow)
	}
	var hashes tlog.RecordProof
	err := l.db.View(func(txn *badger.Txn) (err error) {
		hashes, err = tlog.ProveRecord(int64(c.Size), int64(seq), l.id.layout.tileReader(txn))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("prove row %d: %w", seq, err)
	}
	return proof.Marshal(seq, hashes, c.Note), nil
}

// Tile returns a tile of hashes (C2SP tlog-tiles): level and index, and how many hashes, 256 for a full one.
func (l *Ledger) Tile(level int, n int64, width int) ([]byte, error) {
	size := l.Size()
	have := int64(size>>(level*tileHeight)) - n*256
	if level < 0 || level > 7 || n < 0 || width < 1 || width > 256 || have < int64(width) {
		return nil, fmt.Errorf("tile %d/%d of %d hashes: %w", level, n, width, ErrNoRow)
	}
	var data []byte
	err := l.db.View(func(txn *badger.Txn) (err error) {
		data, err = l.id.layout.readTile(txn, tlog.Tile{H: tileHeight, L: level, N: n, W: width})
		return err
	})
	return data, err
}

// EntryBundle returns rows as C2SP tlog-tiles serves entries: each with its length in 16 bits before it. ErrNoRow when the log has fewer rows, ErrWithheld when retention took one of them.
func (l *Ledger) EntryBundle(n int64, width int) ([]byte, error) {
	first := uint64(n) * 256
	if n < 0 || width < 1 || width > 256 || first+uint64(width) > l.Size() {
		return nil, fmt.Errorf("entries %d of %d rows: %w", n, width, ErrNoRow)
	}
	var out []byte
	err := l.db.View(func(txn *badger.Txn) error {
		reader := l.id.layout.reader(txn)
		defer reader.close()
		for seq := first; seq < first+uint64(width); seq++ {
			row, err := l.rowFrom(reader, seq)
			if err != nil {
				return err
			}
			out = binary.BigEndian.AppendUint16(out, uint16(len(row.JSON))) // LargestRow fits
			out = append(out, row.JSON...)
		}
		return nil
	})
	return out, err
}
