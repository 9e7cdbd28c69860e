package report

import (
	"context"
	"fmt"
	"time"

	"netaudit/ledger"
)

// before adds up the period of the same length that ends where a window begins, from hourly sums: it is as exact as an hour, so only for windows of a day
// or longer. nil where the log had not begun by then: half a period compares with nothing.
func before(ctx context.Context, src Source, from, to time.Time) (*Counts, error) {
	length := to.Sub(from)
	if length < 24*time.Hour {
		return nil, nil
	}
	end := from.UTC().Truncate(time.Hour)
	begin := end.Add(-length)
	_, oldest, err := src.CalledBefore(ctx, 0)
	if err != nil || oldest.IsZero() || !oldest.Before(begin.Add(time.Hour)) {
		return nil, err
	}
	var c Counts
	err = src.Hours(ctx, begin, end, func(h *ledger.Hour) bool {
		for i := range h.Sums {
			v := Volume{int(h.Sums[i].Calls), h.Sums[i].Out, h.Sums[i].In}
			c.Total += v.Calls
			c.of(h.Sums[i].Class).add(v)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("add up the period before: %w", err)
	}
	return &c, nil
}
