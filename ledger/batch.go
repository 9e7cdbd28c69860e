package ledger

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

// fullBatch is after how many bytes a transaction takes no further group of rows. Badger takes 15 % of a memtable in one, 2.4 MiB; one more group, with the longest texts in rows, index, sums and facts, adds less than 0.8 MiB.
const fullBatch = 5 << 18

// batch is what one transaction stores: rows, and what changes with them. All rows are of one day. The sequencer's goroutine owns it.
type batch struct {
	day      uint32
	first    uint64
	leaves   []tlog.Hash // one for each row
	chain    [32]byte    // row hash of the newest row
	groups   []*storedGroup
	settled  int         // groups whose values are there and counted
	hour     *hourTotals // sums and facts of the running hour, with these rows
	changed  map[string]bool
	postings map[string]*bitmap
	size     int // of what is to be stored, in bytes: at most
}

func (b *batch) next() uint64 { return b.first + uint64(len(b.leaves)) }

// seal numbers, salts, encodes and hashes rows that wait: all of them, unless they do not fit into one transaction. A batch that is full ends with a full group. Three goroutines share the work, a group at
// a time: one encodes, one compresses, and this one makes what rows are found and added up by.
func (s *sequencer) seal(now int64) (*batch, error) {
	s.logged = now
	b := &batch{
		day: dayAt(now), first: uint64(s.tree.size), chain: s.chain,
		hour: s.hour.clone(), changed: map[string]bool{}, postings: map[string]*bitmap{},
	}
	ctx, enough := context.WithCancel(context.Background())
	groups := make(chan *storedGroup, 1)
	var encoder errgroup.Group
	encoder.Go(func() error {
		defer close(groups)
		return s.encodeGroups(ctx, b.first, b.chain, now, groups)
	})
	for g := range groups {
		if b.add(g, s.block); b.size >= s.full {
			break
		}
	}
	b.settle()
	enough()
	return b, encoder.Wait()
}

// encode returns the canonical form of a row with its number, valid until the next call.
func (s *sequencer) encode(e *Event, seq uint64, now int64) ([]byte, error) {
	salt, err := s.salt()
	if err != nil {
		return nil, err
	}
	e.V, e.Seq, e.Salt, e.Logged = 1, seq, salt, now
	s.text = e.AppendJSON(s.text[:0])
	if len(s.text) > LargestRow {
		shorten(e)
		s.text = e.AppendJSON(s.text[:0])
	}
	return s.text, nil
}

// What an entry takes in a transaction besides key and value, and the longest value among sums and facts, which is that of a tally, in bytes.
const (
	entryBytes    = 32
	longestAmount = (mostSeqs + 5) * binary.MaxVarintLen64
)

// add makes index, sums and facts of a group's rows.
func (b *batch) add(g *storedGroup, index *openBlock) {
	for _, e := range g.rows {
		index.add(b.day, e, b.postings, func(key string) { b.size += len(key) + bitmapBytes + entryBytes })
		b.hour.add(e, func(key []byte) {
			if !b.changed[string(key)] {
				b.changed[string(key)] = true
				b.size += len(key) + longestAmount + entryBytes
			}
		})
	}
	b.settle()
	b.leaves, b.chain, b.groups = append(b.leaves, g.leaves...), g.chain, append(b.groups, g)
	b.size += g.plain + entryBytes
}

// settle waits for the value of the newest group.
func (b *batch) settle() {
	if b.settled == len(b.groups) {
		return
	}
	newest := b.groups[b.settled]
	<-newest.done
	b.size -= newest.plain - len(newest.value)
	b.settled++
}

// write stores a batch, tiles and checkpoint in one transaction: after a crash all of it is there, or none.
func (s *sequencer) write(b *batch, g *growth, signed []byte) ([]dayRange, error) {
	txn := s.l.db.NewTransaction(true)
	defer txn.Discard()
	set := func(k, v []byte) error { return txn.Set(k, v) }
	if err := s.writeEntries(b, set); err != nil {
		return nil, err
	}
	days := extendDays(slices.Clone(s.days), b.day, b.first, b.next()-1)
	d := days[len(days)-1]
	bounds := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, d.first), d.last)
	if err := set(dayKey(d.day), bounds); err != nil {
		return nil, err
	}
	for tile, data := range g.tiles {
		if err := set(s.l.id.layout.tile(tile), data); err != nil {
			return nil, err
		}
	}
	for _, tile := range g.stale {
		if err := txn.Delete(s.l.id.layout.tile(tile)); err != nil {
			return nil, err
		}
	}
	if err := set(headKey, signed); err != nil {
		return nil, err
	}
	return days, txn.Commit()
}

// writeEntries writes the rows themselves, and what makes them quick to find and to add up.
func (s *sequencer) writeEntries(b *batch, set func(k, v []byte) error) error {
	for _, g := range b.groups {
		if err := set(s.l.id.layout.row(b.day, g.first), g.value); err != nil {
			return err
		}
	}
	for key := range b.changed {
		if err := set([]byte(key), b.hour.value([]byte(key))); err != nil {
			return err
		}
	}
	for key, rows := range b.postings {
		if err := set([]byte(key), rows.bytes()); err != nil {
			return err
		}
	}
	if minute := uint64(s.logged / int64(time.Minute)); minute != s.minute {
		if err := set(minuteKey(minute), binary.BigEndian.AppendUint64(nil, b.first)); err != nil {
			return err
		}
		s.minute = minute
	}
	return nil
}

// extendDays adds rows, which follow the last ones, to the days.
func extendDays(days []dayRange, day uint32, first, last uint64) []dayRange {
	if n := len(days); n > 0 && days[n-1].day == day {
		days[n-1].last = last
		return days
	}
	return append(days, dayRange{day, first, last})
}
