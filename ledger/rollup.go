package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// RollupKey is what calls are added up by.
type RollupKey struct {
	Hour      int64 // hours since the Unix epoch, UTC, of the ingest time
	Class     string
	Party     string
	Addon     string // see ModuleName
	Dest      string // name, else address; of inbound calls the caller's address
	Direction string
	Channel   string
}

// Rollup is the sum of an hour's calls of one kind.
type Rollup struct {
	RollupKey
	Sums
}

// Sums are added up over rows.
type Sums struct {
	Calls    int64 // flows that had their first row in this hour
	Out, In  int64 // payload bytes: out is what the observed side sent
	First    uint64
	Last     uint64 // rows
	FirstAt  int64  // when the first of them was logged, nanoseconds
	LoggedAt int64  // … and the last
}

// add joins the sums of other rows, in whatever order.
func (s *Sums) add(o Sums) {
	if s.LoggedAt == 0 {
		s.First, s.FirstAt = o.First, o.FirstAt
	}
	s.Calls, s.Out, s.In = s.Calls+o.Calls, s.Out+o.Out, s.In+o.In
	s.First, s.Last, s.FirstAt, s.LoggedAt = min(s.First, o.First), max(s.Last, o.Last), min(s.FirstAt, o.FirstAt), max(s.LoggedAt, o.LoggedAt)
}

// Others stands for what does not get sums of its own: an hour has at most mostRollups, so that a scan of a million addresses costs neither memory nor disk.
const (
	Others      = "(others)"
	mostRollups = 8192
)

const (
	nanosPerHour   = int64(time.Hour)
	nanosPerMinute = int64(time.Minute)
)

// isCall says whether a row adds to a sum.
func isCall(e *Event) bool { return e.Kind == "flow" && e.Src != nil && e.Dst != nil }

// sumKey is under which key a row of a call adds to the sums.
func sumKey(e *Event) RollupKey {
	k := RollupKey{Hour: e.Logged / nanosPerHour, Addon: ModuleName(e), Dest: e.Dst.Host, Direction: e.Direction, Channel: e.Channel}
	if k.Dest == "" {
		k.Dest = e.Dst.IP
	}
	if e.Direction == "inbound" {
		k.Dest = e.Src.IP
	}
	if e.Party != nil {
		k.Class, k.Party = e.Party.Class, e.Party.Name
	}
	return k
}

// sumsOf is what a row of a call adds.
func sumsOf(e *Event) Sums {
	s := Sums{Calls: 1, Out: e.SrcBytes, In: e.DstBytes, First: e.Seq, Last: e.Seq, FirstAt: e.Logged, LoggedAt: e.Logged}
	if e.HasNew { // a later row of the same call
		s.Calls, s.Out, s.In = 0, e.NewSrcBytes, e.NewDstBytes
	}
	if e.Direction == "inbound" {
		s.Out, s.In = s.In, s.Out
	}
	return s
}

// ModuleName is the addon behind a row, else the program in parentheses; (unknown) when nobody could be named, "" where processes cannot be seen.
func ModuleName(e *Event) string {
	switch {
	case e.Addon != nil:
		return e.Addon.Name
	case e.Process != nil && e.Process.Name != "":
		return "(" + e.Process.Name + ")"
	case e.Evidence != nil:
		return "(unknown)"
	default:
		return "" // packets only: nothing is claimed
	}
}

// longestRollupText bounds each text of a key, in bytes.
const longestRollupText = 256

// hourPrefix is how long table and hour are at the beginning of a key.
const hourPrefix = 5

func hourOfKey(key []byte) int64 { return int64(binary.BigEndian.Uint32(key[1:])) }

func rollupPrefix(hour int64) []byte {
	return binary.BigEndian.AppendUint32([]byte{tableRollup}, uint32(hour))
}

// bytes is the key in the store: the hour first, then the texts with a zero byte between.
func (k *RollupKey) bytes() []byte {
	b := rollupPrefix(k.Hour)
	for i, text := range []string{k.Class, k.Party, k.Addon, k.Dest, k.Direction, k.Channel} {
		if i > 0 {
			b = append(b, 0)
		}
		b = append(b, strings.ReplaceAll(text[:min(len(text), longestRollupText)], "\x00", "\x01")...)
	}
	return b
}

// parseRollup undoes bytes; text makes texts of parts of the key.
func parseRollup(key, value []byte, text func([]byte) string) (r Rollup, ok bool) {
	if len(key) < 5 || len(value) != 56 && len(value) != 48 { // 48: of days whose rows were taken away before FirstAt was kept
		return r, false
	}
	r.Hour = hourOfKey(key)
	rest := key[hourPrefix:]
	for i, to := range [...]*string{&r.Class, &r.Party, &r.Addon, &r.Dest, &r.Direction, &r.Channel} {
		n := bytes.IndexByte(rest, 0)
		if last := i == 5; last {
			if n >= 0 {
				return r, false
			}
			n = len(rest)
		}
		if n < 0 {
			return r, false
		}
		*to = text(rest[:n])
		rest = rest[min(n+1, len(rest)):]
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(value[8*i:]) }
	r.Sums = Sums{Calls: int64(n(0)), Out: int64(n(1)), In: int64(n(2)), First: n(3), Last: n(4), LoggedAt: int64(n(5)), FirstAt: r.Hour * nanosPerHour}
	if len(value) == 56 {
		r.FirstAt = int64(n(6))
	}
	return r, true
}

func (s *Sums) bytes() []byte {
	var b []byte
	for _, n := range []uint64{uint64(s.Calls), uint64(s.Out), uint64(s.In), s.First, s.Last, uint64(s.LoggedAt), uint64(s.FirstAt)} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// hourTotals are the sums and facts of the running hour: time in the log never goes back, so no other hour changes. One goroutine owns it.
type hourTotals struct {
	hour  int64
	sums  map[string]Sums // by key in the store
	facts hourFacts
	key   []byte // scratch
}

func newHourTotals(hour int64) *hourTotals {
	return &hourTotals{hour: hour, sums: map[string]Sums{}, facts: newHourFacts()}
}

// add takes a row and calls changed with the keys in the store of what it changes.
func (h *hourTotals) add(e *Event, changed func(key []byte)) {
	if hour := e.Logged / nanosPerHour; hour != h.hour {
		*h = *newHourTotals(hour)
	}
	if isCall(e) {
		changed(h.take(sumKey(e), sumsOf(e)))
	}
	h.facts.add(e, func(name []byte) {
		h.key = append(appendFactPrefix(h.key[:0], h.hour), name...)
		changed(h.key)
	})
}

// take adds sums of the running hour and returns their key in the store. What comes first gets a key of its own.
func (h *hourTotals) take(k RollupKey, s Sums) []byte {
	key := k.bytes()
	sum, known := h.sums[string(key)]
	if !known && len(h.sums) >= mostRollups {
		k.Party, k.Addon, k.Dest, k.Channel = Others, Others, Others, Others
		key = k.bytes()
		sum = h.sums[string(key)]
	}
	sum.add(s)
	h.sums[string(key)] = sum
	return key
}

// join takes the totals of later rows of the hour.
func (h *hourTotals) join(o *totalsOfHour) {
	for _, r := range o.sums {
		h.take(r.RollupKey, r.Sums)
	}
	h.facts.join(o)
}

// value is what is stored under a key.
func (h *hourTotals) value(key []byte) []byte {
	if key[0] == tableFact {
		return h.facts.bytes(key[hourPrefix:])
	}
	sum := h.sums[string(key)]
	return sum.bytes()
}

// each calls yield with all keys and values, until it returns an error.
func (h *hourTotals) each(yield func(key, value []byte) error) (err error) {
	one := func(key []byte) {
		if err == nil {
			err = yield(key, h.value(key))
		}
	}
	for key := range h.sums {
		one([]byte(key))
	}
	h.facts.names(func(name []byte) { one(append(appendFactPrefix(nil, h.hour), name...)) })
	return err
}

// clone is for a batch that may fail to commit.
func (h *hourTotals) clone() *hourTotals {
	return &hourTotals{hour: h.hour, sums: maps.Clone(h.sums), facts: h.facts.clone()}
}

// loadHour reads what is stored of an hour.
func loadHour(txn *badger.Txn, hour int64) (*hourTotals, error) {
	h := newHourTotals(hour)
	err := eachRollup(txn, hour, hour+1, func(key []byte, r Rollup) bool {
		h.sums[string(key)] = r.Sums
		return true
	})
	if err != nil {
		return nil, err
	}
	return h, h.facts.load(txn, hour)
}

// cloned makes a text of its own.
func cloned(b []byte) string { return string(b) }

// eachRollup calls yield for the sums of the hours in [from, to), oldest first, until it returns false. The key is valid during the call.
func eachRollup(txn *badger.Txn, fromHour, toHour int64, yield func(key []byte, r Rollup) bool) error {
	o := badger.DefaultIteratorOptions
	o.Prefix, o.PrefetchValues = []byte{tableRollup}, false // values stand beside their keys: fetching ahead costs a goroutine an entry
	it := txn.NewIterator(o)
	defer it.Close()
	known := map[string]string{} // texts repeat: each is kept once
	text := func(b []byte) string {
		t, ok := known[string(b)]
		if !ok && len(known) < mostTexts {
			t = string(b)
			known[t] = t
		} else if !ok {
			t = string(b)
		}
		return t
	}
	for it.Seek(rollupPrefix(max(fromHour, 0))); it.Valid(); it.Next() {
		var r Rollup
		ok, key := false, it.Item().Key()
		err := it.Item().Value(func(value []byte) error {
			r, ok = parseRollup(key, value, text)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the sums: %w", err)
		}
		if !ok {
			return fmt.Errorf("the table of sums has a malformed entry %x", key)
		}
		if r.Hour >= toHour || !yield(key, r) {
			return nil
		}
	}
	return nil
}

// totalsMark is the name of the mark that sums and facts are complete. Logs from before there were facts have another one.
const totalsMark = "hours"

// readTotalled looks whether sums and facts are complete. A log of an earlier version that is only read has none: its hours are added up from the rows.
func (l *Ledger) readTotalled() error {
	return l.db.View(func(txn *badger.Txn) error {
		_, err := txn.Get(metaKey(totalsMark))
		l.totalled.Store(err == nil)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		return err
	})
}

// RebuildTotals makes sums and facts anew from the rows that are there; those of days whose rows retention took away are kept. The ledger must not be written meanwhile.
func (l *Ledger) RebuildTotals(ctx context.Context) error {
	return l.rebuild(totalsMark, func(batch *badger.WriteBatch) error {
		if err := l.forgetTotals(batch); err != nil {
			return err
		}
		hour := newHourTotals(0)
		err := l.eachEvent(ctx, 0, func(e *Event) error {
			if e.Logged/nanosPerHour != hour.hour {
				if err := hour.each(batch.Set); err != nil {
					return err
				}
			}
			hour.add(e, func([]byte) {})
			return nil
		})
		return errors.Join(err, hour.each(batch.Set))
	})
}

// forgetTotals deletes the sums and facts of hours whose rows are there.
func (l *Ledger) forgetTotals(batch *badger.WriteBatch) error {
	dropped := l.state.Load().dropped
	return l.db.View(func(txn *badger.Txn) error {
		for _, table := range []byte{tableRollup, tableFact} {
			it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{table}})
			defer it.Close()
			for it.Rewind(); it.Valid(); it.Next() {
				key := it.Item().KeyCopy(nil)
				if len(key) >= hourPrefix && droppedDay(dropped, uint32(hourOfKey(key)/24)) {
					continue
				}
				if err := batch.Delete(key); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// rebuild makes a derived table anew. The mark that it is complete is away meanwhile: after a crash it is made again.
func (l *Ledger) rebuild(mark string, fill func(*badger.WriteBatch) error) error {
	if err := l.db.Update(func(txn *badger.Txn) error { return txn.Delete(metaKey(mark)) }); err != nil {
		return fmt.Errorf("take away the mark of the %s: %w", mark, err)
	}
	batch := l.db.NewWriteBatch()
	defer batch.Cancel()
	err := fill(batch)
	if err == nil {
		err = batch.Flush()
	}
	if err == nil {
		err = l.db.Update(func(txn *badger.Txn) error { return txn.Set(metaKey(mark), []byte{1}) })
	}
	if err != nil {
		return fmt.Errorf("make the %s anew: %w", mark, err)
	}
	return nil
}

// ensure makes a derived table of a log that has none yet, or when that is wanted.
func (l *Ledger) ensure(mark string, make func(context.Context) error) error {
	err := l.db.View(func(txn *badger.Txn) error {
		_, err := txn.Get(metaKey(mark))
		return err
	})
	if !errors.Is(err, badger.ErrKeyNotFound) && !l.options.Reindex {
		return err
	}
	if l.Size() > 0 {
		l.log.Info("reading all rows once to make the "+mark, "rows", l.Size())
	}
	return make(context.Background())
}
