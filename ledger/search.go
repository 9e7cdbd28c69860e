package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// Bounds of one search besides Query.MostRead. What a bound cuts off is said by the place that was reached.
const (
	mostBlocks   = 20_000 // blocks of the index: twenty million rows
	mostNameKeys = 20_000 // keys of the index that begin with a name, in a day; with more, rows are read instead
	mostDays     = 1000
)

// Search calls yield for the rows that a query chooses, in order, until it returns false. Reached says up to where the rows were looked at, that is where to go on: searching backward, every row from there on up; searching
// forward, every row before it. A search ends early at its bounds; then nothing is between.
func (l *Ledger) Search(ctx context.Context, q Query, yield func(Row, *Event) bool) (reached uint64, err error) {
	state := l.state.Load()
	size := state.checkpoint.Size
	if q.To == 0 || q.To > size {
		q.To = size
	}
	q.From = min(q.From, q.To)
	s := &search{l: l, q: &q, yield: yield, reached: q.From, mostBytes: math.MaxInt}
	if q.MostRead == 0 {
		q.MostRead, s.mostBytes = mostRead, mostReadBytes
	}
	if q.Backward {
		s.reached = q.To
	}
	days := slices.Clone(state.days)
	if q.Backward {
		slices.Reverse(days)
	}
	err = l.db.View(func(txn *badger.Txn) error {
		s.single = l.id.layout.reader(txn)
		defer s.single.close()
		for _, d := range days {
			from, to := max(d.first, q.From), min(d.last+1, q.To)
			if from >= to || slices.Contains(state.dropped, d) {
				continue
			}
			if s.days++; s.days > mostDays {
				return nil
			}
			if err := s.day(ctx, txn, d.day, from, to); err != nil || s.over {
				return err
			}
			s.pass(from, to)
		}
		s.pass(q.From, q.To)
		return nil
	})
	if err != nil {
		return s.reached, fmt.Errorf("search the log: %w", err)
	}
	return s.reached, ctx.Err()
}

// search is one search. One goroutine owns it.
type search struct {
	l                  *Ledger
	q                  *Query
	single             *rowReader // for rows that lie far apart
	yield              func(Row, *Event) bool
	reached            uint64
	days, blocks, read int
	bytes, mostBytes   int  // of the rows that were read
	over               bool // a bound was reached, or the reader has enough
}

// pass says that all of these rows were looked at.
func (s *search) pass(from, to uint64) {
	if s.q.Backward {
		s.reached = from
	} else {
		s.reached = to
	}
}

// day searches rows of one day.
func (s *search) day(ctx context.Context, txn *badger.Txn, day uint32, from, to uint64) error {
	var sources []source
	defer func() {
		for _, c := range sources {
			c.close()
		}
	}()
	for _, t := range s.q.terms() {
		sources = append(sources, newCursor(txn, appendTermKey(nil, day, t.kind, t.value), s.q.Backward))
	}
	if s.q.Name != "" {
		names, ok, err := loadNames(txn, day, s.q.Name, s.q.Backward)
		if err != nil {
			return err
		}
		if ok {
			sources = append(sources, names)
		}
	}
	if len(sources) == 0 {
		return s.scan(ctx, day, from, to, nil)
	}
	return s.intersect(ctx, txn, day, sources, from, to)
}

// scan reads row after row; of the rows of one block only the chosen ones, if chosen is not nil.
func (s *search) scan(ctx context.Context, day uint32, from, to uint64, chosen *bitmap) error {
	first := from
	if s.q.Backward {
		first = to - 1
	}
	var failure error
	err := s.l.walkStored(ctx, day, first, s.q.Backward, func(seq uint64, value []byte) bool {
		if seq < from || seq >= to {
			return false
		}
		if chosen != nil && !chosen.has(int(seq%blockRows)) {
			return true
		}
		if len(value) >= 32 && !s.q.contained(value[32:]) {
			return s.reads(seq, len(value))
		}
		var row Row
		row, failure = newRow(seq, bytes.Clone(value))
		return failure == nil && s.look(row)
	})
	return errors.Join(err, failure)
}

// reads says that a row is looked at, and whether it still may be.
func (s *search) reads(seq uint64, size int) bool {
	if s.read >= s.q.MostRead || s.bytes >= s.mostBytes {
		s.over = true
		return false
	}
	s.read++
	s.bytes += size
	s.pass(seq, seq+1)
	return true
}

// look takes one row and says whether to go on.
func (s *search) look(row Row) bool {
	if !s.reads(row.Seq, len(row.JSON)) {
		return false
	}
	if !s.q.contained(row.JSON) {
		return true
	}
	if e, err := ParseEvent(row.JSON); err == nil && s.q.Match(row.JSON, &e) && !s.yield(row, &e) { // what cannot be read is damage, which verification names
		s.over = true
	}
	return !s.over
}

// intersect goes from block to block in which every source has rows.
func (s *search) intersect(ctx context.Context, txn *badger.Txn, day uint32, sources []source, from, to uint64) error {
	for block, step := s.firstBlock(from, to); ; block += step {
		for aligned := false; !aligned; {
			aligned = true
			for _, c := range sources {
				at, ok, err := c.seek(block)
				if err != nil || !ok {
					return err
				}
				if at != block {
					block, aligned = at, false
				}
			}
		}
		first := block * blockRows
		if first >= to || first+blockRows <= from {
			return nil
		}
		if s.blocks++; s.blocks > mostBlocks {
			s.over = true
			return nil
		}
		rows := *sources[0].rows()
		for _, c := range sources[1:] {
			rows.and(c.rows())
		}
		if err := s.exclude(txn, day, block, &rows); err != nil {
			return err
		}
		rows.keepRange(block, from, to)
		begin, end := max(first, from), min(first+blockRows, to)
		var err error
		if rows.count() >= denseRows {
			err = s.scan(ctx, day, begin, end, &rows)
		} else {
			err = s.readRows(ctx, first, &rows)
		}
		if err != nil || s.over {
			return err
		}
		s.pass(begin, end)
		if s.q.Backward && block == 0 {
			return nil
		}
	}
}

func (s *search) firstBlock(from, to uint64) (block, step uint64) {
	if s.q.Backward {
		return (to - 1) / blockRows, ^uint64(0) // one down
	}
	return from / blockRows, 1
}

// exclude takes away the rows with the channel that is not wanted.
func (s *search) exclude(txn *badger.Txn, day uint32, block uint64, rows *bitmap) error {
	if s.q.NotChannel == "" {
		return nil
	}
	value, err := valueOf(txn, blockKey(appendTermKey(nil, day, indexChannel, s.q.NotChannel), block))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil
	}
	if b, ok := parseBitmap(value); err == nil && ok {
		rows.andNot(&b)
	}
	return err
}

// denseRows is how many chosen rows of a block are read faster by passing all of its rows than by asking for each.
const denseRows = blockRows / 16

func (s *search) readRows(ctx context.Context, first uint64, rows *bitmap) (err error) {
	rows.each(s.q.Backward, func(i int) bool {
		var row Row
		row, err = s.l.rowFrom(s.single, first+uint64(i))
		if errors.Is(err, ErrNoRow) { // the index is a hint
			err = nil
			return true
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return false
		}
		return s.look(row)
	})
	return err
}
