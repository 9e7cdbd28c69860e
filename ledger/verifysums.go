package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// totalsOfRows are the sums and facts of a stretch of rows, hour by hour.
type totalsOfRows struct{ hours []totalsOfHour }

type totalsOfHour struct {
	hour  int64
	sums  []Rollup // in the order of the rows: what comes first gets sums of its own
	at    map[RollupKey]int
	facts hourFacts
}

func (s *totalsOfRows) add(e *Event) {
	hour := e.Logged / nanosPerHour
	if n := len(s.hours); n == 0 || s.hours[n-1].hour != hour {
		s.hours = append(s.hours, totalsOfHour{hour, nil, map[RollupKey]int{}, stretchFacts()})
	}
	h := &s.hours[len(s.hours)-1]
	h.facts.add(e, func([]byte) {})
	k, sum, ok := rollupOf(e)
	if !ok {
		return
	}
	i, known := h.at[k]
	if !known {
		i = len(h.sums)
		h.at[k] = i
		h.sums = append(h.sums, Rollup{RollupKey: k})
	}
	h.sums[i].Sums.add(sum)
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
	for i := range s.hours {
		part := &s.hours[i]
		if part.hour != c.hour.hour {
			if err := c.compare(txn); err != nil {
				return err
			}
			c.hour = newHourTotals(part.hour)
			c.seen[part.hour] = true
		}
		for _, r := range part.sums {
			c.hour.take(r.RollupKey, r.Sums)
		}
		c.hour.facts.merge(&part.facts)
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
