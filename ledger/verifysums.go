package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// totalsOfRows are the sums and facts of a stretch of rows, hour by hour.
type totalsOfRows struct{ hours []totalsOfHour }

// totalsOfHour are those of a stretch of an hour. All stand in the order of the rows: what comes first in an hour gets sums and facts of its own, which is decided when stretches are joined.
type totalsOfHour struct {
	hour    int64
	sums    []Rollup
	facts   []Fact
	minutes []Minutes
	awake   *Awake // nil: no row speaks of it

	sumAt  map[RollupKey]int
	factAt map[factName]int
}

type factName struct {
	kind  FactKind
	value string
}

// sumPlaces are the places where rows add to the totals of an hour.
type sumPlaces struct {
	sum     int // -1: in no sum
	facts   []int
	minutes int // -1: in none
}

// running is the hour of a row, and whether it is the first there.
func (s *totalsOfRows) running(e *Event) (h *totalsOfHour, first bool) {
	hour := e.Logged / nanosPerHour
	if n := len(s.hours); n == 0 || s.hours[n-1].hour != hour {
		s.hours = append(s.hours, totalsOfHour{hour: hour, sumAt: map[RollupKey]int{}, factAt: map[factName]int{}})
		first = true
	}
	return &s.hours[len(s.hours)-1], first
}

// places finds where a row adds to the totals, or makes room there.
func (h *totalsOfHour) places(e *Event, p *sumPlaces) {
	p.sum, p.facts, p.minutes = -1, p.facts[:0], -1
	eachFact(e, func(kind FactKind, value string) {
		name := factName{kind, value[:min(len(value), longestFact)]}
		at, known := h.factAt[name]
		if !known {
			at = len(h.facts)
			h.factAt[name] = at
			h.facts = append(h.facts, Fact{Kind: name.kind, Value: name.value})
		}
		p.facts = append(p.facts, at)
	})
	if !isCall(e) {
		return
	}
	key := sumKey(e)
	at, known := h.sumAt[key]
	if !known {
		at = len(h.sums)
		h.sumAt[key] = at
		h.sums = append(h.sums, Rollup{RollupKey: key})
	}
	p.sum = at
	if begins(e) {
		class := minutesClass(e)
		if p.minutes = slices.IndexFunc(h.minutes, func(m Minutes) bool { return m.Class == class }); p.minutes < 0 {
			p.minutes = len(h.minutes)
			h.minutes = append(h.minutes, Minutes{Class: class})
		}
	}
}

// add takes a row that adds at these places.
func (h *totalsOfHour) add(e *Event, p *sumPlaces) {
	for _, at := range p.facts {
		h.facts[at].Tally.add(h.facts[at].Kind, e)
	}
	if p.sum >= 0 {
		h.sums[p.sum].Sums.add(sumsOf(e))
	}
	if p.minutes >= 0 {
		h.minutes[p.minutes].Calls[minuteOf(e)]++
	}
	h.awake = h.awake.with(e)
}

// totalsCheck compares the sums and facts in the store with those of the rows, hour by hour.
type totalsCheck struct {
	*verifier
	hour *hourTotals
	seen map[int64]bool
}

func newTotalsCheck(v *verifier) *totalsCheck {
	return &totalsCheck{verifier: v, hour: newHourTotals(0), seen: map[int64]bool{}}
}

// join takes the totals of the rows that follow.
func (c *totalsCheck) join(txn *badger.Txn, s *totalsOfRows) error {
	if !c.summed {
		return nil
	}
	for i := range s.hours {
		part := &s.hours[i]
		if part.hour != c.hour.hour {
			if err := c.compare(txn); err != nil {
				return err
			}
			c.hour = newHourTotals(part.hour)
			c.seen[part.hour] = true
		}
		c.hour.join(part)
	}
	return nil
}

// withheld says whether retention took rows of an hour away: its sums cannot be compared any more.
func (c *totalsCheck) withheld(hour int64) bool { return droppedDay(c.dropped, uint32(hour/24)) }

// end compares the last hour, if all of it was verified, and looks for totals of hours without rows.
func (c *totalsCheck) end(txn *badger.Txn) error {
	if !c.summed {
		return nil
	}
	if !c.ahead {
		if err := c.compare(txn); err != nil {
			return err
		}
	}
	for _, table := range []byte{tableRollup, tableFact} {
		if err := c.withoutRows(txn, table); err != nil {
			return err
		}
	}
	return nil
}

// withoutRows looks for totals of hours before the newest one that have no rows.
func (c *totalsCheck) withoutRows(txn *badger.Txn, table byte) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{table}})
	defer it.Close()
	for it.Rewind(); it.Valid(); {
		key := it.Item().Key()
		if len(key) < hourPrefix {
			return &badPlace{where: "sums", detail: fmt.Sprintf("there is a malformed key %x", key)}
		}
		hour := hourOfKey(key)
		if hour >= c.hour.hour && (c.ahead || hour == c.hour.hour) {
			return nil
		}
		if !c.seen[hour] && !c.withheld(hour) {
			return &badPlace{where: "sums", detail: "there are sums of an hour without rows"}
		}
		it.Seek(binary.BigEndian.AppendUint32([]byte{table}, uint32(hour+1)))
	}
	return nil
}

// compare compares the hour that was added up.
func (c *totalsCheck) compare(txn *badger.Txn) error {
	want := c.hour
	if want.hour == 0 || c.withheld(want.hour) { // 0: before the first row
		return nil
	}
	at := time.Unix(0, want.hour*nanosPerHour).UTC().Format("2006-01-02 15h")
	stored := map[string][]byte{}
	for _, table := range []byte{tableRollup, tableFact} {
		o := badger.DefaultIteratorOptions
		o.Prefix, o.PrefetchValues = binary.BigEndian.AppendUint32([]byte{table}, uint32(want.hour)), false
		it := txn.NewIterator(o)
		for it.Rewind(); it.Valid(); it.Next() {
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				it.Close()
				return fmt.Errorf("read the sums of %s: %w", at, err)
			}
			stored[string(it.Item().Key())] = value
		}
		it.Close()
	}
	err := want.each(func(key, value []byte) error {
		got, ok := stored[string(key)]
		if !ok {
			return &badPlace{where: "sums", detail: fmt.Sprintf("the sums of %s are not complete", at)}
		}
		if !bytes.Equal(got, value) {
			return &badPlace{where: "sums", detail: fmt.Sprintf("the sums of %s (%q) are not those of the rows", at, bytes.Split(key[hourPrefix:], []byte{0}))}
		}
		delete(stored, string(key))
		return nil
	})
	if err == nil && len(stored) > 0 {
		return &badPlace{where: "sums", detail: fmt.Sprintf("there are sums of %s without rows", at)}
	}
	return err
}
