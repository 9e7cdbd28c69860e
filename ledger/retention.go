package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger/proof"
)

// Policy says how long rows are kept. The zero value keeps everything.
type Policy struct {
	MaxAge   time.Duration // whole UTC days that ended longer ago are taken away; 0: no limit
	MaxBytes int64         // of the store: the oldest days go until it is smaller; 0: no limit
	Hold     []Span        // legal hold: days that are touched by one of these are kept, whatever else is said
}

// Span is a stretch of UTC days, both ends included.
type Span struct{ First, Last time.Time }

// contains says whether a day belongs to the span.
func (s Span) contains(day uint32) bool {
	at := dayTime(day)
	return !at.Before(s.First.UTC().Truncate(24*time.Hour)) && !at.After(s.Last.UTC())
}

// Pruned says what Retain did.
type Pruned struct {
	Days int
	Rows uint64
	Held int // days that only a legal hold kept
}

// Retain takes away the content of whole days that the policy does not keep. Their hashes stay: everything still verifies. What is about to happen is a row before it happens (intent), and
// another one after (done). A day is taken away only when it is sealed. Repeating after a crash is harmless.
func (l *Ledger) Retain(ctx context.Context, p Policy) (Pruned, error) {
	var done Pruned
	today := dayAt(l.options.Clock().UnixNano())
	for {
		d, rule, held, ok := l.nextToDrop(p, today)
		done.Held = held
		if !ok {
			return done, ctx.Err()
		}
		if err := l.retainDay(ctx, d, rule); err != nil {
			return done, fmt.Errorf("take away the rows of %s: %w", dayName(d.day), err)
		}
		done.Days++
		done.Rows += d.last - d.first + 1
	}
}

// nextToDrop is the oldest day that has rows and need not be kept.
func (l *Ledger) nextToDrop(p Policy, today uint32) (d dayRange, rule string, held int, ok bool) {
	state := l.state.Load()
	for _, d := range state.days {
		if d.day >= today || slices.ContainsFunc(state.dropped, func(o dayRange) bool { return o.day == d.day }) {
			continue
		}
		if last := l.LastSeal(); l.id.sealKey != "" && (last == nil || last.Day < dayName(d.day)) {
			return d, "", held, false // later days are not sealed either
		}
		rule := ""
		switch {
		case p.MaxAge > 0 && l.options.Clock().Sub(dayTime(d.day+1)) > p.MaxAge:
			rule = fmt.Sprintf("older than %d days", int(p.MaxAge/(24*time.Hour)))
		case p.MaxBytes > 0 && l.bytesOnDisk() > p.MaxBytes:
			rule = fmt.Sprintf("store larger than %d MiB", p.MaxBytes>>20)
		default:
			return d, "", held, false
		}
		if slices.ContainsFunc(p.Hold, func(s Span) bool { return s.contains(d.day) }) {
			held++
			continue
		}
		return d, rule, held, true
	}
	return d, "", held, false
}

// bytesOnDisk adds up what the store's files occupy: Badger makes them longer than they are filled.
func (l *Ledger) bytesOnDisk() (sum int64) {
	_ = filepath.WalkDir(badgerPath(l.dir), func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // a file that compaction has just removed
		}
		if info, err := d.Info(); err == nil && d.Type().IsRegular() {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += st.Blocks * 512 // stat(2): whatever the file system's block size is
			}
		}
		return nil
	})
	return sum
}

// mostRuns bounds how many runs of rows a row can name.
const mostRuns = 1000

// runsOf is which rows were taken away, first and last of each run, in pairs. Every row about retention says all of it: those of earlier days go with their own days.
func runsOf(dropped []dayRange) []int64 {
	runs := []int64{}
	for _, d := range dropped {
		if n := len(runs); n > 0 && uint64(runs[n-1])+1 == d.first {
			runs[n-1] = int64(d.last)
			continue
		}
		runs = append(runs, int64(d.first), int64(d.last))
	}
	return runs
}

func (l *Ledger) retainDay(ctx context.Context, d dayRange, rule string) error {
	broken, _, err := l.Predecessor(ctx) // the row that says it may be among those that go: it is said again
	if err != nil {
		return err
	}
	earlier := runsOf(l.state.Load().dropped)
	if len(earlier) > 2*mostRuns {
		return fmt.Errorf("days under legal hold cut what was taken away into more than %d pieces, and a row must name each of them: end some of the holds", mostRuns)
	}
	event := func(name, sentence string) Event {
		now := l.options.Clock().UnixNano()
		return Event{
			Kind: "retention", Rule: name, Start: now, End: now, Message: fmt.Sprintf(sentence, d.last-d.first+1, dayName(d.day), rule),
			Retention: &Retention{Day: dayName(d.day), First: int64(d.first), Last: int64(d.last), Earlier: earlier, Reason: rule}, Predecessor: broken,
		}
	}
	if err := l.Append(ctx, event("intent", "The content of %d rows of %s will be taken away (%s); their hashes stay.")); err != nil {
		return err
	}
	if err := l.Flush(ctx); err != nil { // on disk and anchored before anything is gone
		return err
	}
	dropped := make(chan error, 1)
	if err := l.send(ctx, request{drop: &d, flushed: dropped}); err != nil {
		return err
	}
	select {
	case err := <-dropped:
		if err != nil {
			return err
		}
	case <-l.finished:
		return l.errOr(ErrClosed)
	}
	if err := l.Append(ctx, event("done", "The content of %d rows of %s was taken away (%s); their hashes stay.")); err != nil {
		return err
	}
	return l.Flush(ctx)
}

// drop takes a day's rows and index out of the store. The sequencer's goroutine calls it: no transaction is under way.
func (s *sequencer) drop(d dayRange) error {
	last, err := s.l.Row(d.last)
	if err != nil {
		return err
	}
	value := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, d.first), d.last)
	value = append(value, last.Chain[:]...)
	err = s.l.step("withhold", func() error {
		return s.l.db.Update(func(txn *badger.Txn) error { return txn.Set(droppedKey(d.day), value) })
	})
	if err != nil {
		return err
	}
	// From here on the rows count as withheld. If we crash, the next start takes the rest away.
	state := *s.l.state.Load()
	state.dropped = append(slices.Clone(state.dropped), d)
	slices.SortFunc(state.dropped, func(a, b dayRange) int { return int(a.day) - int(b.day) })
	s.l.state.Store(&state)
	return s.l.step("drop", func() error { return s.l.dropDay(d.day) })
}

func (l *Ledger) dropDay(day uint32) error {
	return l.db.DropPrefix(l.id.layout.day(day), indexDayPrefix(day))
}

// finishDrops takes away what a crash left of days that were being dropped.
func (l *Ledger) finishDrops() error {
	for _, d := range l.state.Load().dropped {
		left := false
		err := l.db.View(func(txn *badger.Txn) error {
			it := txn.NewIterator(badger.IteratorOptions{Prefix: l.id.layout.day(d.day)})
			defer it.Close()
			it.Rewind()
			left = it.Valid()
			return nil
		})
		if err == nil && left {
			err = l.dropDay(d.day)
		}
		if err != nil {
			return fmt.Errorf("finish taking away the rows of %s: %w", dayName(d.day), err)
		}
	}
	return nil
}

// readDropped reads which days were taken away; each must be a day of the log.
func readDropped(txn *badger.Txn, days []dayRange) ([]dayRange, error) {
	o := badger.DefaultIteratorOptions
	o.Prefix = []byte{tableDropped}
	it := txn.NewIterator(o)
	defer it.Close()
	var dropped []dayRange
	for it.Rewind(); it.Valid(); it.Next() {
		k := it.Item().KeyCopy(nil)
		v, err := it.Item().ValueCopy(nil)
		if err != nil || len(k) != 5 || len(v) != 48 {
			return nil, fmt.Errorf("the table of withheld days has a malformed entry %x", k)
		}
		d := dayRange{binary.BigEndian.Uint32(k[1:]), binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])}
		if !slices.Contains(days, d) {
			return nil, fmt.Errorf("the table of withheld days has %s, which is no day of the log", dayName(d.day))
		}
		dropped = append(dropped, d)
	}
	return dropped, nil
}

// minimum is the row from which on every row is kept; earlier ones may have been taken away by retention.
func (l *Ledger) minimum() uint64 {
	if dropped := l.state.Load().dropped; len(dropped) > 0 {
		return dropped[len(dropped)-1].last + 1
	}
	return 0
}

// droppedDay says whether retention took a day's rows away.
func droppedDay(dropped []dayRange, day uint32) bool {
	return slices.ContainsFunc(dropped, func(d dayRange) bool { return d.day == day })
}

// withheldBy is the day whose retention took a row away.
func withheldBy(dropped []dayRange, seq uint64) (dayRange, bool) {
	day, ok := dayOf(dropped, seq)
	if !ok {
		return dayRange{}, false
	}
	i := slices.IndexFunc(dropped, func(d dayRange) bool { return d.day == day })
	return dropped[i], true
}

// leafOf reads a row's leaf hash out of the tree; it is there also when the row is not.
func (l *Ledger) leafOf(txn *badger.Txn, seq uint64) (tlog.Hash, error) {
	hashes, err := l.id.layout.tileReader(txn)([]int64{tlog.StoredHashIndex(0, int64(seq))})
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("read the leaf hash of row %d: %w", seq, err)
	}
	return hashes[0], nil
}

// chainBefore is the row hash of the row before seq: of the genesis record before the first.
func (l *Ledger) chainBefore(txn *badger.Txn, seq uint64) ([32]byte, error) {
	if seq == 0 {
		return l.id.chainStart(), nil
	}
	d, withheld := withheldBy(l.state.Load().dropped, seq-1)
	if !withheld {
		row, err := l.row(txn, seq-1)
		return row.Chain, err
	}
	if d.last == seq-1 {
		v, err := valueOf(txn, droppedKey(d.day))
		if err != nil || len(v) != 48 {
			return [32]byte{}, errors.Join(errors.New("the table of withheld days has a malformed entry"), err)
		}
		return [32]byte(v[16:]), nil
	}
	chain, err := l.chainBefore(txn, d.first)
	for at := d.first; at < seq && err == nil; at++ {
		var leaf tlog.Hash
		if leaf, err = l.leafOf(txn, at); err == nil {
			chain = proof.ChainHash(at, chain, leaf)
		}
	}
	return chain, err
}
