package ui

import (
	"context"
	"math"
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

const rowsOnPage = 50

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
		Addon: q.Get("addon"), Dest: q.Get("dest"), Process: q.Get("process"), Party: q.Get("party"), Name: q.Get("name"), Text: q.Get("q"),
	}
	switch f.Kind {
	case "":
		f.Kind = "flow"
	case "all":
		f.Kind = ""
	}
	return f
}

// search is the same question to the ledger.
func (q *logQuery) search() ledger.Query {
	s := q.Filter.Query()
	if q.noLookups {
		s.NotChannel = "dns"
	}
	return s
}

// match says whether a row is chosen.
func (q *logQuery) match(row []byte) (*ledger.Event, bool) {
	s := q.search()
	e, err := ledger.ParseEvent(row)
	return &e, err == nil && s.Match(row, &e)
}

// find calls yield for the chosen rows, newest first, until it returns false; unless all are wanted, it reads as many rows as a page may wait for. lowest is the oldest row that was looked at; done says that there are none below.
func (p *pages) find(ctx context.Context, q *logQuery, all bool, yield func(ledger.Row, *ledger.Event) bool) (lowest uint64, done bool, err error) {
	s := q.search()
	s.Backward, s.From, s.To = true, q.From, q.Before
	full := false
	if all {
		s.MostRead = math.MaxInt
	}
	for lowest = q.Before; lowest > q.From && !full; {
		s.To = lowest
		reached, err := p.o.Ledger.Search(ctx, s, func(row ledger.Row, e *ledger.Event) bool {
			if full = !yield(row, e); full {
				lowest = row.Seq + 1 // the reader did not take this row
			}
			return !full
		})
		if err != nil {
			return lowest, false, err
		}
		if !full {
			lowest = reached
		}
		if !all {
			break
		}
	}
	return lowest, !full && lowest <= q.From, nil
}
