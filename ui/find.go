package ui

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"netaudit/api"
	"netaudit/ledger"
)

// logQuery is which rows the Audit Log shows, as its address says it.
type logQuery struct {
	Filter       api.Filter
	Before       uint64 // rows below this one
	From         uint64 // … and not below this one
	Since, Until time.Time
	noLookups    bool // calls without the lookups before them, which have a tab of their own
}

const (
	rowsOnPage  = 50
	mostScanned = 100_000 // rows that one page looks at
)

// queryOf reads the address. Without a kind the page shows calls: that is what readers come for.
func (p *pages) queryOf(c *gin.Context) logQuery {
	v := c.Request.URL.Query()
	q := logQuery{Filter: filterOf(v), Before: p.o.Ledger.Size()}
	if n, err := strconv.ParseUint(v.Get("before"), 10, 63); err == nil {
		q.Before = min(q.Before, n)
	}
	if t, ok := moment(v.Get("since")); ok {
		q.Since, q.From = t, p.o.Ledger.Since(t)
	}
	if t, ok := moment(v.Get("until")); ok {
		q.Until, q.Before = t, min(q.Before, p.o.Ledger.Since(t))
	}
	q.noLookups = v.Get("kind") == "" && q.Filter.Channel == "" && q.Filter.Dest == ""
	return q
}

// moment reads a time in UTC as links and browsers' forms write it.
func moment(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// filterOf reads the filters that the API knows too.
func filterOf(q url.Values) api.Filter {
	f := api.Filter{
		Kind: q.Get("kind"), State: q.Get("state"), Direction: q.Get("direction"), Channel: q.Get("channel"),
		Addon: q.Get("addon"), Dest: q.Get("dest"), Party: q.Get("party"), Text: q.Get("q"),
	}
	switch f.Kind {
	case "":
		f.Kind = "flow"
	case "all":
		f.Kind = ""
	}
	return f
}

func (q *logQuery) match(row []byte) (*ledger.Event, bool) {
	e, err := ledger.ParseEvent(row)
	if err != nil || !q.Filter.Match(row, &e) || q.noLookups && e.Channel == "dns" {
		return nil, false
	}
	return &e, true
}

// find calls yield for the chosen rows, newest first, until it returns false or as many rows were looked at as scan allows (0: all). lowest is the oldest row that was looked at; done says that there are none below.
func (p *pages) find(ctx context.Context, q *logQuery, scan int, yield func(ledger.Row, *ledger.Event) bool) (lowest uint64, done bool, err error) {
	lowest, done = q.Before, true
	scanned := 0
	err = p.o.Ledger.RowsBackward(ctx, q.Before, func(row ledger.Row) bool {
		if row.Seq < q.From {
			return false
		}
		if scan > 0 && scanned == scan {
			done = false
			return false
		}
		if e, ok := q.match(row.JSON); ok && !yield(row, e) {
			done = false
			return false
		}
		scanned++
		lowest = row.Seq
		return true
	})
	return lowest, done, err
}
