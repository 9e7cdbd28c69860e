package ui

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"

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
	Query      logQuery
	Kind       string // as the address says it
	Columns    []column
	Shown      []column
	Others     []hidden // of the address, for forms that change only a part of it
	Rows       []logRow
	Size       uint64
	Older      string // link, "" at the beginning of the log
	Newest     string // link, "" on the first page
	News       string // where to ask for newer rows, "" on other pages than the first
	CSV, Lines string // links of exports
	Lowest     uint64 // the oldest row that was looked at
	Unfinished bool   // the page was cut because too many rows were looked at
	Packets    bool
}

// hidden is a part of the address that a form keeps.
type hidden struct{ Name, Value string }

// logRow is one line of the table.
type logRow struct {
	Seq   uint64
	Event *ledger.Event
	Cells []cell
}

// cell is one column of a row. Span is more than one for rows that are no calls: what they say takes the place of the columns that they do not have.
type cell struct {
	Key   string
	Class string
	Span  int
	Event *ledger.Event
}

// filterKeys are the address's names of the filters, in the order of their chips.
var filterKeys = []string{"party", "direction", "channel", "addon", "dest", "process", "name", "state", "since", "until", "q"}

func (p *pages) log(c *gin.Context) {
	query := c.Request.URL.Query()
	if len(query["col"]) > 0 {
		keepColumns(c, query)
		return
	}
	q := p.queryOf(c)
	content := logContent{
		Tabs: tabs(query), Chips: chips(p.words(c), query), Query: q, Kind: query.Get("kind"), Columns: p.columnsOf(c), Size: p.o.Ledger.Size(), Packets: p.packetsOnly(),
		CSV: "/log/export.csv?" + with(query, "before", ""), Lines: "/log/export.ndjson?" + with(query, "before", ""),
	}
	content.Shown, content.Others = chosenColumns(content.Columns), others(query)
	lowest, done, err := p.find(c.Request.Context(), &q, false, func(row ledger.Row, e *ledger.Event) bool {
		if len(content.Rows) == rowsOnPage {
			return false
		}
		content.Rows = append(content.Rows, logRow{row.Seq, e, cells(content.Shown, e)})
		return true
	})
	if err != nil {
		p.failed(c, "read the log", err)
		return
	}
	content.Lowest = lowest
	if !done {
		content.Older = "/log?" + with(query, "before", strconv.FormatUint(lowest, 10))
		content.Unfinished = len(content.Rows) < rowsOnPage
	}
	if query.Get("before") != "" {
		content.Newest = "/log?" + with(query, "before", "")
	} else if q.Until.IsZero() {
		content.News = "/log/news?" + with(query, "after", strconv.FormatUint(content.Size, 10))
	}
	p.show(c, http.StatusOK, "log", "Audit Log", "log", content)
}

// cells are a row's columns. A row that is no call has its time, and says the rest in a sentence.
func cells(shown []column, e *ledger.Event) []cell {
	class := func(col column) string {
		if col.Number {
			return "n c-" + col.Key
		}
		return "c-" + col.Key
	}
	var out []cell
	if e.Dst == nil {
		rest := len(shown)
		if rest > 0 && shown[0].Key == "time" {
			out, rest = append(out, cell{"time", "c-time", 1, e}), rest-1
		}
		return append(out, cell{"summary", "c-summary", max(1, rest), e})
	}
	for _, col := range shown {
		out = append(out, cell{col.Key, class(col), 1, e})
	}
	return out
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
			list = append(list, chip{w.Text(filterLabels[key]), valueLabel(w, key, v), "/log?" + with(q, key, "", "before", "")})
		}
	}
	return list
}

var filterLabels = map[string]string{
	"party": "to|party", "direction": "direction", "channel": "channel", "addon": "addon", "dest": "destination", "process": "program", "name": "beginning of a name", "state": "state", "q": "text", "since": "since", "until": "until|time",
}

// valueLabel says a filter's value; what rows may hold is said as they say it.
func valueLabel(w *words.Words, key, v string) string {
	switch key {
	case "party":
		if label := partyLabel(w, v); label != "" {
			return label
		}
	case "direction", "state":
		return w.Said(v)
	}
	return v
}

// others are the parts of the address that the form of columns keeps.
func others(q url.Values) (list []hidden) {
	for _, key := range append([]string{"kind"}, filterKeys...) {
		if v := q.Get(key); v != "" {
			list = append(list, hidden{key, v})
		}
	}
	return list
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
