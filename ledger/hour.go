package ledger

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Hour is what the rows of an hour come to: all that a report needs of them. It is shared between readers, who must not change it.
type Hour struct {
	Hour    int64 // hours since the Unix epoch, UTC, of the ingest time
	Sums    []Rollup
	Facts   []Fact
	Minutes []Minutes
	Awake   *Awake // nil: no row speaks of it
}

// Fact is a fact of an hour and its tally.
type Fact struct {
	Kind  FactKind
	Value string
	Tally
}

// Minutes are the calls to far ends of one class by the minute in which they began.
type Minutes struct {
	Class string
	Calls [60]uint32
}

// sorted gives the totals in an order that does not depend on chance.
func (h *hourTotals) sorted() *Hour {
	out := &Hour{Hour: h.hour, Awake: h.facts.awake}
	for key, s := range h.sums {
		if r, ok := parseRollup([]byte(key), s.bytes(), cloned); ok {
			out.Sums = append(out.Sums, r)
		}
	}
	slices.SortFunc(out.Sums, byFirstRow)
	for name, t := range h.facts.tallies {
		out.Facts = append(out.Facts, Fact{FactKind(name[0]), name[1:], t})
	}
	for class, m := range h.facts.minutes {
		out.Minutes = append(out.Minutes, Minutes{class, m})
	}
	out.sortFacts()
	return out
}

// byFirstRow orders sums: no row is the first of two.
func byFirstRow(a, b Rollup) int { return cmp.Compare(a.First, b.First) }

func (h *Hour) sortFacts() {
	slices.SortFunc(h.Facts, func(a, b Fact) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value)) })
	slices.SortFunc(h.Minutes, func(a, b Minutes) int { return cmp.Compare(a.Class, b.Class) })
}

// Hours calls yield for the hours in [from, to) that have rows of interest, oldest first, until it returns false. Of the hours in which the window begins and ends only the rows within it count, unless retention took their rows away:
// then all of them do. Hours that are over are read once and kept, the newest first.
func (l *Ledger) Hours(ctx context.Context, from, to time.Time, yield func(*Hour) bool) error {
	begin, end := max(from.UnixNano(), 0), to.UnixNano()
	days := l.state.Load().days
	if len(days) == 0 {
		return ctx.Err()
	}
	first, last := max(begin/nanosPerHour, int64(days[0].day)*24), min((end+nanosPerHour-1)/nanosPerHour, int64(days[len(days)-1].day+1)*24)
	for at := first; at < last; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if cut, h, err := l.cutHour(ctx, at, from, to); cut || err != nil {
			if err != nil || h != nil && !yield(h) {
				return err
			}
			at++
			continue
		}
		stretch := min(last, at+hoursAtOnce)
		if stretch == last && at < last-1 && end < last*nanosPerHour {
			stretch-- // the last one may be cut
		}
		hours, err := l.wholeHours(ctx, at, stretch)
		if err != nil {
			return err
		}
		for _, h := range hours {
			if !yield(h) {
				return nil
			}
		}
		at = stretch
	}
	return nil
}

// hoursAtOnce is how many hours are read in one go, at most.
const hoursAtOnce = 7 * 24

// cutHour adds up the rows of an hour of which only some lie in the window; cut is false when all do.
func (l *Ledger) cutHour(ctx context.Context, hour int64, from, to time.Time) (cut bool, h *Hour, err error) {
	begin, end := time.Unix(0, hour*nanosPerHour), time.Unix(0, (hour+1)*nanosPerHour)
	if !l.totalled.Load() {
		if from.Before(begin) {
			from = begin
		}
		if to.After(end) {
			to = end
		}
		h, err = l.hourOfRows(ctx, hour, l.Since(from), to)
		return true, h, err
	}
	if !from.After(begin) && !to.Before(end) || droppedDay(l.state.Load().dropped, uint32(hour/24)) {
		return false, nil, nil
	}
	first := l.Since(begin)
	if from.After(begin) {
		first = l.Since(from)
		cut = first > l.Since(begin)
	}
	if to.Before(end) {
		cut = cut || l.Since(to) < l.Since(end)
	} else {
		to = end
	}
	if !cut {
		return false, nil, nil
	}
	h, err = l.hourOfRows(ctx, hour, first, to)
	return true, h, err
}

// hourOfRows adds up the rows of an hour from seq on that were logged before a time; nil when there are none.
func (l *Ledger) hourOfRows(ctx context.Context, hour int64, from uint64, until time.Time) (*Hour, error) {
	totals, fields, n := newHourTotals(hour), fieldReader{}, 0
	err := l.texts(ctx, from, func(text []byte) bool {
		e := fields.read(text)
		if e.Logged >= until.UnixNano() || e.Logged/nanosPerHour != hour {
			return false
		}
		totals.add(e, func([]byte) {})
		n++
		return true
	})
	if err != nil || n == 0 {
		return nil, err
	}
	return totals.sorted(), nil
}

// AfterRow adds up the rows from seq on to the end of the hour in which it was logged; nil when there are none.
func (l *Ledger) AfterRow(ctx context.Context, seq uint64) (*Hour, error) {
	var hour int64
	err := l.texts(ctx, seq, func(text []byte) bool {
		hour = (&fieldReader{}).read(text).Logged / nanosPerHour
		return false
	})
	if err != nil || hour == 0 {
		return nil, err
	}
	return l.hourOfRows(ctx, hour, seq, time.Unix(0, (hour+1)*nanosPerHour))
}

// wholeHours returns the hours in [from, to) that have rows of interest.
func (l *Ledger) wholeHours(ctx context.Context, from, to int64) ([]*Hour, error) {
	hours, complete := l.hours.get(from, to)
	if complete {
		return hours, nil
	}
	closed := l.closed.Load() // before reading: what is over then is read as it stays
	read := map[int64]*Hour{}
	err := l.db.View(func(txn *badger.Txn) error { return l.readHours(ctx, txn, from, to, read) })
	if err != nil {
		return nil, fmt.Errorf("read the sums of hours: %w", err)
	}
	hours = hours[:0]
	for at := from; at < to; at++ {
		if h := read[at]; h != nil {
			hours = append(hours, h)
		}
	}
	l.hours.keep(from, min(to, closed), read)
	return hours, nil
}

// readHours reads the sums and facts of hours in [from, to).
func (l *Ledger) readHours(ctx context.Context, txn *badger.Txn, from, to int64, into map[int64]*Hour) error {
	at := func(hour int64) *Hour {
		h := into[hour]
		if h == nil {
			h = &Hour{Hour: hour}
			into[hour] = h
		}
		return h
	}
	n := 0
	err := eachRollup(txn, from, to, func(_ []byte, r Rollup) bool {
		h := at(r.Hour)
		h.Sums = append(h.Sums, r)
		n++
		return n%rowsBetweenChecks != 0 || ctx.Err() == nil
	})
	if err != nil || ctx.Err() != nil {
		return cmp.Or(err, ctx.Err())
	}
	totals := newHourTotals(0)
	finish := func() {
		if totals.hour == 0 {
			return
		}
		facts, h := totals.sorted(), at(totals.hour)
		h.Facts, h.Minutes, h.Awake = facts.Facts, facts.Minutes, facts.Awake
	}
	err = eachFactEntry(txn, from, to, func(hour int64, name, value []byte) bool {
		if hour != totals.hour {
			finish()
			totals = newHourTotals(hour)
		}
		return totals.facts.take(name, value)
	})
	finish()
	for _, h := range into {
		slices.SortFunc(h.Sums, byFirstRow)
	}
	return err
}

// allHours are over in a log that is only read.
const allHours = math.MaxUint32
