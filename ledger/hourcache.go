package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// hourCache keeps hours that are over: they never change. Safe for concurrent use.
type hourCache struct {
	mu      sync.Mutex
	hours   map[int64]*Hour // nil: an hour without rows of interest
	entries int
}

// mostKept bounds the sums and facts that are kept, some 40 MiB. The newest hours stay.
const mostKept = 150_000

func (h *Hour) entries() int {
	if h == nil {
		return 1
	}
	return 1 + len(h.Sums) + len(h.Facts) + 2*len(h.Minutes)
}

// get returns the hours in [from, to) if it knows all of them.
func (c *hourCache) get(from, to int64) (list []*Hour, complete bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := from; at < to; at++ {
		h, known := c.hours[at]
		if !known {
			return nil, false
		}
		if h != nil {
			list = append(list, h)
		}
	}
	return list, true
}

// keep takes what was read of the hours in [from, to).
func (c *hourCache) keep(from, to int64, read map[int64]*Hour) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hours == nil {
		c.hours = map[int64]*Hour{}
	}
	for at := from; at < to; at++ {
		if _, known := c.hours[at]; !known {
			c.hours[at] = read[at]
			c.entries += read[at].entries()
		}
	}
	if c.entries <= mostKept {
		return
	}
	kept := make([]int64, 0, len(c.hours))
	for at := range c.hours {
		kept = append(kept, at)
	}
	slices.Sort(kept)
	for _, at := range kept {
		if c.entries <= mostKept {
			return
		}
		c.entries -= c.hours[at].entries()
		delete(c.hours, at)
	}
}

// calledFirst knows the first row of a call to each destination, from the sums of the hours that are over. Safe for concurrent use.
type calledFirst struct {
	mu     sync.Mutex
	rows   map[string]uint64
	until  int64 // hours before are in rows
	oldest int64 // when the first of the rows was logged, nanoseconds; 0: there is none
}

// mostDestinations bounds the destinations that are remembered.
const mostDestinations = 500_000

// CalledBefore says which destinations were called, in rows below seq; and when the first call of all was logged, the zero time when there is none. Whatever is beyond the number of destinations that can be remembered counts as called.
func (l *Ledger) CalledBefore(ctx context.Context, seq uint64) (called func(dest string) bool, oldest time.Time, err error) {
	c := &l.called
	c.mu.Lock()
	defer c.mu.Unlock()
	closed, running := l.closed.Load(), map[string]uint64{}
	if c.rows == nil {
		c.rows = map[string]uint64{}
	}
	n := 0
	err = l.db.View(func(txn *badger.Txn) error {
		return eachRollup(txn, c.until, allHours, func(_ []byte, r Rollup) bool {
			if n++; n%rowsBetweenChecks == 0 && ctx.Err() != nil {
				return false
			}
			if c.oldest == 0 {
				c.oldest = r.FirstAt
			}
			into := c.rows
			if r.Hour >= closed {
				into = running
			}
			before, known := into[r.Dest]
			if r.Direction != "inbound" && (!known && len(into) < mostDestinations || r.First < before) {
				into[r.Dest] = r.First
			}
			return true
		})
	})
	if err = cmp.Or(err, ctx.Err()); err != nil {
		return nil, time.Time{}, fmt.Errorf("read which destinations were called: %w", err)
	}
	c.until = max(c.until, closed)
	if c.oldest != 0 {
		oldest = time.Unix(0, c.oldest)
	}
	return func(dest string) bool {
		c.mu.Lock()
		first, known := c.rows[dest]
		full := len(c.rows) >= mostDestinations
		c.mu.Unlock()
		if !known {
			first, known = running[dest]
		}
		return known && first < seq || !known && full
	}, oldest, nil
}
