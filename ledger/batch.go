package ledger

import (
	"encoding/binary"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger/proof"
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
	hour     *hourTotals // sums and facts of the running hour, with these rows
	changed  map[string]bool
	postings map[string]*bitmap
	size     int           // of what is to be stored, in bytes: at most
	newest   chan struct{} // closed when the newest group has its value; nil when all have
}

type storedGroup struct {
	first uint64
	plain int // bytes
	value []byte
}

func (b *batch) next() uint64 { return b.first + uint64(len(b.leaves)) }

// seal numbers, salts, encodes and hashes rows that wait: all of them, unless they do not fit into one transaction. A batch that is full ends with a full group.
func (s *sequencer) seal(now int64) (*batch, error) {
	s.logged = now
	b := &batch{
		day: dayAt(now), first: uint64(s.tree.size), chain: s.chain,
		hour: s.hour.clone(), changed: map[string]bool{}, postings: map[string]*bitmap{},
	}
	defer b.settle()
	s.group.reset()
	for _, e := range s.waiting {
		text, err := s.encode(e, b.next(), now)
		if err != nil {
			return nil, err
		}
		if !s.group.fits(e.Seq, text) {
			if b.take(s.group); b.size >= s.full {
				return b, nil
			}
		}
		b.add(e, text, s.group, s.block)
	}
	b.take(s.group)
	return b, nil
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

func (b *batch) add(e *Event, text []byte, group *groupWriter, index *openBlock) {
	leaf := tlog.RecordHash(text)
	b.chain = proof.ChainHash(e.Seq, b.chain, leaf)
	b.leaves = append(b.leaves, leaf)
	group.add(e.Seq, &b.chain, text)
	index.add(b.day, e, b.postings, func(key string) { b.size += len(key) + bitmapBytes + entryBytes })
	b.hour.add(e, func(key []byte) {
		if !b.changed[string(key)] {
			b.changed[string(key)] = true
			b.size += len(key) + longestAmount + entryBytes
		}
	})
}

// take takes the group that was begun, if any, and lets it be compressed while the next rows are encoded.
func (b *batch) take(g *groupWriter) {
	b.settle()
	if g.rows == 0 {
		return
	}
	first, plain := g.take()
	stored := &storedGroup{first: first, plain: len(plain)}
	b.groups = append(b.groups, stored)
	b.size += stored.plain + entryBytes
	if !g.compresses(plain) {
		stored.value = g.value(plain)
		return
	}
	done := make(chan struct{})
	b.newest = done
	go func() {
		defer close(done)
		stored.value = g.value(plain)
	}()
}

// settle waits for the value of the newest group.
func (b *batch) settle() {
	if b.newest == nil {
		return
	}
	<-b.newest
	b.newest = nil
	newest := b.groups[len(b.groups)-1]
	b.size -= newest.plain - len(newest.value)
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
