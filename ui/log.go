package ui

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"

	"netaudit/api"
	"netaudit/ledger"
	"netaudit/ui/words"
)

// tab is a choice of rows by kind.
type tab struct {
	Kind, Label, Link string
	Chosen            bool
}

// chip is one active filter and the link that removes it.
type chip struct{ Name, Value, Without string }

type logContent struct {
	Tabs       []tab
	Chips      []chip
	Filter     api.Filter
	Rows       []logRow
	Size       uint64
	Older      string // link, "" at the beginning of the log
	Newest     string // link, "" on the first page
	Unfinished bool   // the page was cut because too many rows were looked at
	Lowest     uint64 // the oldest row that was looked at
}

type logRow struct {
	Seq   uint64
	Event *ledger.Event
}

const (
	rowsOnPage  = 50
	mostScanned = 100_000 // rows that one page looks at
)

// filterKeys are the query's names of the filters, in the order of their chips.
var filterKeys = []string{"party", "direction", "channel", "addon", "dest", "state", "q"}

func (p *pages) log(c *gin.Context) {
	query := c.Request.URL.Query()
	f := filterOf(query)
	before := p.o.Ledger.Size()
	if n, err := strconv.ParseUint(query.Get("before"), 10, 63); err == nil {
		before = min(before, n)
	}
	content := logContent{Tabs: tabs(query), Chips: chips(p.words(c), query), Filter: f, Size: p.o.Ledger.Size(), Lowest: before}
	content.Filter.Kind = query.Get("kind")
	lookups := content.Filter.Kind == "" && f.Channel == "" && f.Dest == "" // … are left out: they have a tab of their own
	scanned := 0
	more := false
	err := p.o.Ledger.RowsBackward(c.Request.Context(), before, func(row ledger.Row) bool {
		if len(content.Rows) == rowsOnPage || scanned == mostScanned {
			more, content.Unfinished = true, scanned == mostScanned
			return false
		}
		scanned++
		content.Lowest = row.Seq
		e, err := ledger.ParseEvent(row.JSON)
		if err == nil && f.Match(row.JSON, &e) && !(lookups && e.Channel == "dns") {
			content.Rows = append(content.Rows, logRow{row.Seq, &e})
		}
		return true
	})
	if err != nil {
		p.failed(c, "read the log", err)
		return
	}
	if more {
		content.Older = "/log?" + with(query, "before", strconv.FormatUint(content.Lowest, 10))
	}
	if query.Get("before") != "" {
		content.Newest = "/log?" + with(query, "before", "")
	}
	p.show(c, http.StatusOK, "log", "Audit Log", "log", content)
}

// filterOf reads the query. Without a kind the page shows calls: that is what readers come for.
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

func tabs(q url.Values) []tab {
	list := []tab{
		{Kind: "", Label: "Calls"},
		{Kind: "dns", Label: "Names asked"},
		{Kind: "http", Label: "Plain HTTP"},
		{Kind: "gap", Label: "Gaps"},
		{Kind: "lifecycle", Label: "Starts and stops"},
		{Kind: "heartbeat", Label: "Heartbeats"},
		{Kind: "all", Label: "All rows"},
	}
	for i := range list {
		list[i].Chosen = q.Get("kind") == list[i].Kind
		list[i].Link = "/log?" + with(q, "kind", list[i].Kind, "before", "")
	}
	return list
}

func chips(w *words.Words, q url.Values) []chip {
	var list []chip
	for _, key := range filterKeys {
		if v := q.Get(key); v != "" {
			list = append(list, chip{w.Text(filterLabels[key]), valueLabel(w, v), "/log?" + with(q, key, "", "before", "")})
		}
	}
	return list
}

var filterLabels = map[string]string{
	"party": "to|party", "direction": "direction", "channel": "channel", "addon": "addon", "dest": "destination", "state": "state", "q": "text",
}

func valueLabel(w *words.Words, v string) string {
	if label := partyLabel(w, v); label != "" {
		return label
	}
	return v
}

// with returns the query with some keys set to other values; an empty value removes the key.
func with(q url.Values, pairs ...string) string {
	out := url.Values{}
	for k, v := range q {
		if len(v) > 0 && v[0] != "" {
			out.Set(k, v[0])
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			out.Del(pairs[i])
		} else {
			out.Set(pairs[i], pairs[i+1])
		}
	}
	return out.Encode()
}
