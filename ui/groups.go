package ui

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"netaudit/ledger/report"
)

// groupRow is one line of a table of sums.
type groupRow struct {
	report.Group
	Percent  int       // of the largest
	Spark    string    // calls over time, as the path of a drawing
	Link     string    // the rows behind the line
	Partners []partner // the first of them
	More     int       // … and how many are not shown
}

// partner is what stands on the other side of a line, with the rows between the two.
type partner struct{ Name, Link string }

// header is a column of a table of sums, by which its lines can be sorted.
type header struct {
	Key, Label string
	Term       string // of the glossary, "" for none
	Number     bool
	Link       string // sorts by this column, or turns its order; "" where that makes no sense
	Sorted     string // ascending, descending or ""
}

type groupsContent struct {
	Title, Lead string
	By          string
	Windows     []window
	From, To    time.Time
	Headers     []header
	Rows        []groupRow
	More        int
	Width       int // of the sparks
	Packets     bool
}

const (
	mostGroups   = 200 // lines of a table; the API has all
	mostPartners = 6   // on a line
)

// groupOrders compare lines by a column, the smaller first.
var groupOrders = map[string]func(a, b *report.Group) int{
	"name": func(a, b *report.Group) int { return strings.Compare(a.Name, b.Name) },
	"mit":  func(a, b *report.Group) int { return cmp.Compare(a.MIT, b.MIT) },
	"party": func(a, b *report.Group) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Party, b.Party))
	},
	"calls":    func(a, b *report.Group) int { return cmp.Compare(a.Calls, b.Calls) },
	"sent":     func(a, b *report.Group) int { return cmp.Compare(a.Out, b.Out) },
	"received": func(a, b *report.Group) int { return cmp.Compare(a.In, b.In) },
	"first":    func(a, b *report.Group) int { return a.First.Compare(b.First) },
	"last":     func(a, b *report.Group) int { return a.Last.Compare(b.Last) },
}

func (p *pages) groups(by, title, lead string) gin.HandlerFunc {
	return func(c *gin.Context) {
		list, length := chosen(trafficWindows, c.Query("range"), 0)
		to := time.Now().UTC()
		from := to.Add(-length).Truncate(time.Hour)
		groups, err := report.Traffic(c.Request.Context(), p.o.Ledger, from, to, by)
		if err != nil {
			p.failed(c, "add up the traffic", err)
			return
		}
		content := groupsContent{Title: title, Lead: lead, By: by, Windows: windowLinks(list, c.Request.URL), From: from, To: to, More: max(0, len(groups)-mostGroups), Packets: p.packetsOnly()}
		content.Headers = sortGroups(groups, by, c.Request.URL, content.Packets)
		largest := int64(0)
		for i := range groups {
			largest = max(largest, groups[i].Out+groups[i].In)
		}
		for _, g := range groups[:min(len(groups), mostGroups)] {
			content.Width = len(g.Series)
			content.Rows = append(content.Rows, newGroupRow(g, by, from, largest))
		}
		p.show(c, http.StatusOK, "groups", title, strings.TrimPrefix(c.Request.URL.Path, "/"), content)
	}
}

// windowLinks keep the order of a table when another time is chosen.
func windowLinks(list []window, at *url.URL) []window {
	for i := range list {
		list[i].Link = at.Path + "?" + with(at.Query(), "range", list[i].Key)
	}
	return list
}

// sortGroups puts the lines into the order that the address asks for, else leaves the most bytes first, and returns the columns.
func sortGroups(groups []report.Group, by string, at *url.URL, packets bool) []header {
	query := at.Query()
	key, ascending := query.Get("sort"), query.Get("order") == "asc"
	if order := groupOrders[key]; order != nil {
		slices.SortStableFunc(groups, func(a, b report.Group) int {
			if ascending {
				return order(&a, &b)
			}
			return order(&b, &a)
		})
	}
	headers := groupHeaders(by, packets)
	for i := range headers {
		h := &headers[i]
		if groupOrders[h.Key] == nil {
			continue
		}
		next := "desc"
		if h.Key == "name" || h.Key == "party" {
			next = "asc"
		}
		if h.Key == key {
			h.Sorted, next = "descending", "asc"
			if ascending {
				h.Sorted, next = "ascending", "desc"
			}
		}
		h.Link = at.Path + "?" + with(query, "sort", h.Key, "order", next)
	}
	return headers
}

func groupHeaders(by string, packets bool) []header {
	list := []header{{Key: "name", Label: "Destination"}, {Key: "party", Label: "Party"}}
	partners := header{Key: "partners", Label: "Called by"}
	if by == report.ByModule {
		list = []header{{Key: "name", Label: "Addon or (program)", Term: "addon"}, {Key: "mit", Label: "To MIT", Number: true}}
		partners.Label = "Destinations"
	}
	list = append(list,
		header{Key: "calls", Label: "Calls", Number: true},
		header{Key: "spark", Label: "Over time"},
		header{Key: "sent", Label: "Sent", Number: true},
		header{Key: "received", Label: "Received", Number: true},
		header{Key: "first", Label: "First"},
		header{Key: "last", Label: "Last"})
	if by == report.ByModule || !packets {
		list = append(list, partners)
	}
	return list
}

func newGroupRow(g report.Group, by string, from time.Time, largest int64) groupRow {
	own, other := "addon", "dest"
	if by == report.ByDestination {
		own, other = other, own
	}
	since := from.Format("2006-01-02T15:04")
	row := groupRow{Group: g, Percent: percent(g.Out+g.In, largest), Spark: sparkPath(g.Series), Link: "/log?" + with(nil, own, g.Name, "since", since)}
	row.More = max(0, len(g.Partners)-mostPartners)
	for _, name := range g.Partners[:min(len(g.Partners), mostPartners)] {
		row.Partners = append(row.Partners, partner{name, "/log?" + with(nil, own, g.Name, other, name, "since", since)})
	}
	return row
}

// sparkHeight is the height of a spark's field in units, of which a step is one wide; a single call is visible.
const sparkHeight = 20

// sparkPath draws a series as columns.
func sparkPath(series []int64) string {
	largest := int64(1)
	for _, n := range series {
		largest = max(largest, n)
	}
	var path strings.Builder
	for i, n := range series {
		if n > 0 {
			h := max(3, sparkHeight*float64(n)/float64(largest))
			fmt.Fprintf(&path, "M%d %dv-%.1fh.9v%.1fz", i, sparkHeight, h, h)
		}
	}
	return path.String()
}
