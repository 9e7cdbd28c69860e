package ledger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
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
	LoggedAt int64  // of the last of them, nanoseconds
}

// add joins the sums of other rows, in whatever order.
func (s *Sums) add(o Sums) {
	if s.LoggedAt == 0 {
		s.First = o.First
	}
	s.Calls, s.Out, s.In = s.Calls+o.Calls, s.Out+o.Out, s.In+o.In
	s.First, s.Last, s.LoggedAt = min(s.First, o.First), max(s.Last, o.Last), max(s.LoggedAt, o.LoggedAt)
}

// Others stands for what does not get sums of its own: an hour has at most mostRollups, so that a scan of a million addresses costs neither memory nor disk.
const (
	Others      = "(others)"
	mostRollups = 8192
)

const nanosPerHour = int64(time.Hour)

// rollupOf is what a row adds. ok is false for rows that are no calls.
func rollupOf(e *Event) (k RollupKey, s Sums, ok bool) {
	if e.Kind != "flow" || e.Src == nil || e.Dst == nil {
		return k, s, false
	}
	k = RollupKey{Hour: e.Logged / nanosPerHour, Addon: ModuleName(e), Dest: e.Dst.Host, Direction: e.Direction, Channel: e.Channel}
	if k.Dest == "" {
		k.Dest = e.Dst.IP
	}
	s = Sums{Calls: 1, Out: e.SrcBytes, In: e.DstBytes, First: e.Seq, Last: e.Seq, LoggedAt: e.Logged}
	if e.HasNew { // a later row of the same call
		s.Calls, s.Out, s.In = 0, e.NewSrcBytes, e.NewDstBytes
	}
	if e.Direction == "inbound" {
		k.Dest, s.Out, s.In = e.Src.IP, s.In, s.Out
	}
	if e.Party != nil {
		k.Class, k.Party = e.Party.Class, e.Party.Name
	}
	return k, s, true
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

func parseRollup(key, value []byte) (r Rollup, ok bool) {
	if len(key) < 5 || len(value) != 48 {
		return r, false
	}
	texts := bytes.Split(key[5:], []byte{0})
	if len(texts) != 6 {
		return r, false
	}
	r.Hour = int64(binary.BigEndian.Uint32(key[1:]))
	for i, to := range []*string{&r.Class, &r.Party, &r.Addon, &r.Dest, &r.Direction, &r.Channel} {
		*to = string(texts[i])
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(value[8*i:]) }
	r.Sums = Sums{int64(n(0)), int64(n(1)), int64(n(2)), n(3), n(4), int64(n(5))}
	return r, true
}

func (s *Sums) bytes() []byte {
	var b []byte
	for _, n := range []uint64{uint64(s.Calls), uint64(s.Out), uint64(s.In), s.First, s.Last, uint64(s.LoggedAt)} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// hourSums are the sums of the running hour: time in the log never goes back, so no other hour changes. One goroutine owns it.
type hourSums struct {
	hour int64
	sums map[string]Sums // by key in the store
}

// add takes a row and returns the key whose sum changed, nil when the row is no call.
func (h *hourSums) add(e *Event) []byte {
	k, s, ok := rollupOf(e)
	if !ok {
		return nil
	}
	if k.Hour != h.hour {
		h.hour, h.sums = k.Hour, map[string]Sums{}
	}
	return h.take(k, s)
}

// take adds sums of the running hour and returns their key in the store. What comes first gets a key of its own.
func (h *hourSums) take(k RollupKey, s Sums) []byte {
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

// clone is for a batch that may fail to commit.
func (h *hourSums) clone() *hourSums { return &hourSums{h.hour, maps.Clone(h.sums)} }

// loadHour reads the sums of the hour of the newest row.
func loadHour(txn *badger.Txn, logged int64) (*hourSums, error) {
	h := &hourSums{hour: logged / nanosPerHour, sums: map[string]Sums{}}
	return h, eachRollup(txn, h.hour, h.hour+1, func(key []byte, r Rollup) bool {
		h.sums[string(key)] = r.Sums
		return true
	})
}

func eachRollup(txn *badger.Txn, fromHour, toHour int64, yield func(key []byte, r Rollup) bool) error {
	o := badger.DefaultIteratorOptions
	o.Prefix = []byte{tableRollup}
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Seek(rollupPrefix(max(fromHour, 0))); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		value, err := it.Item().ValueCopy(nil)
		if err != nil {
			return fmt.Errorf("read the sums: %w", err)
		}
		r, ok := parseRollup(key, value)
		if !ok {
			return fmt.Errorf("the table of sums has a malformed entry %x", key)
		}
		if r.Hour >= toHour || !yield(key, r) {
			return nil
		}
	}
	return nil
}

// Rollups calls yield for the sums of the hours that begin in [from, to), oldest first, until it returns false. They stay when retention takes rows away.
func (l *Ledger) Rollups(ctx context.Context, from, to time.Time, yield func(Rollup) bool) error {
	n := 0
	err := l.db.View(func(txn *badger.Txn) error {
		return eachRollup(txn, from.UnixNano()/nanosPerHour, (to.UnixNano()+nanosPerHour-1)/nanosPerHour, func(_ []byte, r Rollup) bool {
			n++
			return (n%rowsBetweenChecks != 0 || ctx.Err() == nil) && yield(r)
		})
	})
	return errors.Join(err, ctx.Err())
}

// rollupsMark is the name of the mark that the sums are complete.
const rollupsMark = "rollups"

// RebuildRollups makes the sums anew from the rows that are there; sums of days whose rows retention took away are kept. The ledger must not be written meanwhile.
func (l *Ledger) RebuildRollups(ctx context.Context) error {
	return l.rebuild(rollupsMark, func(batch *badger.WriteBatch) error {
		if err := l.forgetRollups(batch); err != nil {
			return err
		}
		hour := &hourSums{}
		flush := func() error {
			for key, sum := range hour.sums {
				if err := batch.Set([]byte(key), sum.bytes()); err != nil {
					return err
				}
			}
			return nil
		}
		err := l.eachEvent(ctx, 0, func(e *Event) error {
			if e.Logged/nanosPerHour != hour.hour {
				if err := flush(); err != nil {
					return err
				}
			}
			hour.add(e)
			return nil
		})
		return errors.Join(err, flush())
	})
}

// forgetRollups deletes the sums of hours whose rows are there.
func (l *Ledger) forgetRollups(batch *badger.WriteBatch) error {
	dropped := l.state.Load().dropped
	var failure error
	err := l.db.View(func(txn *badger.Txn) error {
		return eachRollup(txn, 0, math.MaxInt64, func(key []byte, r Rollup) bool {
			if !droppedDay(dropped, uint32(r.Hour/24)) {
				failure = batch.Delete(key)
			}
			return failure == nil
		})
	})
	return errors.Join(err, failure)
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
