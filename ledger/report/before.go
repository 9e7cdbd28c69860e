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
	old := false
	err := src.Rollups(ctx, time.Unix(0, 0), begin.Add(time.Hour), func(ledger.Rollup) bool {
		old = true
		return false
	})
	if err != nil || !old {
		return nil, err
	}
	var c Counts
	err = src.Rollups(ctx, begin, end, func(r ledger.Rollup) bool {
		v := Volume{int(r.Calls), r.Out, r.In}
		c.Total += v.Calls
		switch r.Class {
		case "mit_bound":
			c.MIT.add(v)
		case "internal":
			c.Internal.add(v)
		default:
			c.ThirdParty.add(v)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("add up the period before: %w", err)
	}
	return &c, nil
}
