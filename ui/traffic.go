package ui

import (
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"netaudit/ledger/report"
)

// trafficWindows are whole hours: the pages add up hourly sums.
var trafficWindows = []window{
	{Key: "24h", Label: "Day", Length: 24 * time.Hour},
	{Key: "7d", Label: "Week", Length: 7 * 24 * time.Hour},
	{Key: "30d", Label: "30 days", Length: 30 * 24 * time.Hour},
	{Key: "365d", Label: "Year", Length: 365 * 24 * time.Hour},
}

// groupRow is one line of a table of sums.
type groupRow struct {
	report.Group
	Percent int     // of the largest
	Spark   []spark // calls over time
}

// spark is one step of a small drawing, in a field of so many units by 20.
type spark struct {
	X      int
	Y, H   float64
	Nobody bool // no call in this step
}

type groupsContent struct {
	Title, Lead, Path string
	By                string
	Windows           []window
	From, To          time.Time
	Rows              []groupRow
	More              int
	Width             int // of the sparks
	Packets           bool
}

// mostGroups bounds the lines of a table; the API has all.
const mostGroups = 200

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
		content := groupsContent{
			Title: title, Lead: lead, Path: c.Request.URL.Path, By: by, Windows: list, From: from, To: to,
			More: max(0, len(groups)-mostGroups), Packets: p.o.Rules.Install == "mirror" || p.o.Rules.Install == "replay",
		}
		for _, g := range groups[:min(len(groups), mostGroups)] {
			content.Width = len(g.Series)
			content.Rows = append(content.Rows, groupRow{g, percent(g.Out+g.In, groups[0].Out+groups[0].In), sparks(g.Series)})
		}
		p.show(c, http.StatusOK, "groups", title, strings.TrimPrefix(c.Request.URL.Path, "/"), content)
	}
}

func chosen(of []window, key string, fallback int) ([]window, time.Duration) {
	list := append([]window(nil), of...)
	at := fallback
	for i := range list {
		if list[i].Key == key {
			at = i
		}
	}
	list[at].Chosen = true
	return list, list[at].Length
}

// sparkHeight is the height of a spark's field in units; a single call is visible.
const sparkHeight = 20

func sparks(series []int64) []spark {
	largest := int64(1)
	for _, n := range series {
		largest = max(largest, n)
	}
	out := make([]spark, 0, len(series))
	for i, n := range series {
		if n == 0 {
			continue
		}
		h := max(3, sparkHeight*float64(n)/float64(largest))
		out = append(out, spark{X: i, Y: sparkHeight - h, H: h})
	}
	return out
}
