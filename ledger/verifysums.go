package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// sumsOfRows are the sums of a stretch of rows, hour by hour.
type sumsOfRows struct{ hours []sumsOfHour }

type sumsOfHour struct {
	hour int64
	sums []Rollup // in the order of the rows: what comes first gets sums of its own
	at   map[RollupKey]int
}

func (s *sumsOfRows) add(e *Event) {
	hour := e.Logged / nanosPerHour
	if n := len(s.hours); n == 0 || s.hours[n-1].hour != hour {
		s.hours = append(s.hours, sumsOfHour{hour, nil, map[RollupKey]int{}})
	}
	k, sum, ok := rollupOf(e)
	if !ok {
		return
	}
	h := &s.hours[len(s.hours)-1]
	i, known := h.at[k]
	if !known {
		i = len(h.sums)
		h.at[k] = i
		h.sums = append(h.sums, Rollup{RollupKey: k})
	}
	h.sums[i].Sums.add(sum)
}

// sumsCheck compares the sums in the store with those of the rows, hour by hour.
type sumsCheck struct {
	*verifier
	hour *hourSums
	seen map[int64]bool
}

func newSumsCheck(v *verifier) *sumsCheck {
	return &sumsCheck{verifier: v, hour: &hourSums{}, seen: map[int64]bool{}}
}

// join takes the sums of the rows that follow.
func (c *sumsCheck) join(txn *badger.Txn, s *sumsOfRows) error {
	for _, part := range s.hours {
		if part.hour != c.hour.hour {
			if err := c.compare(txn); err != nil {
				return err
			}
			c.hour = &hourSums{part.hour, map[string]Sums{}}
			c.seen[part.hour] = true
		}
		for _, r := range part.sums {
			c.hour.take(r.RollupKey, r.Sums)
		}
	}
	return nil
}

// withheld says whether retention took rows of an hour away: its sums cannot be compared any more.
func (c *sumsCheck) withheld(hour int64) bool { return droppedDay(c.dropped, uint32(hour/24)) }

// end compares the last hour, if all of it was verified, and looks for sums of hours without rows.
func (c *sumsCheck) end(txn *badger.Txn) error {
	if !c.summed {
		return nil
	}
	if !c.ahead {
		if err := c.compare(txn); err != nil {
			return err
		}
	}
	var failure error
	err := eachRollup(txn, 0, c.hour.hour, func(_ []byte, r Rollup) bool {
		if !c.seen[r.Hour] && !c.withheld(r.Hour) {
			failure = &badPlace{where: "sums", detail: "there are sums of an hour without rows"}
		}
		return failure == nil
	})
	return errors.Join(err, failure)
}

// compare compares the hour that was added up.
func (c *sumsCheck) compare(txn *badger.Txn) error {
	want := c.hour
	if want.hour == 0 || c.withheld(want.hour) { // 0: before the first row
		return nil
	}
	at := time.Unix(0, want.hour*nanosPerHour).UTC().Format("2006-01-02 15h")
	it := txn.NewIterator(badger.IteratorOptions{Prefix: rollupPrefix(want.hour)})
	defer it.Close()
	seen := 0
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().Key()
		err := it.Item().Value(func(value []byte) error {
			if sum, ok := want.sums[string(key)]; !ok || !bytes.Equal(sum.bytes(), value) {
				return &badPlace{where: "sums", detail: fmt.Sprintf("the sums of %s (%q) are not those of the rows", at, bytes.Split(key[5:], []byte{0}))}
			}
			return nil
		})
		if err != nil {
			return err
		}
		seen++
	}
	if seen != len(want.sums) {
		return &badPlace{where: "sums", detail: fmt.Sprintf("the sums of %s are not complete", at)}
	}
	return nil
}
