package ui

import (
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"netaudit/api"
	"netaudit/ledger/report"
)

// window is a choice of the report's time range.
type window struct {
	Key, Label string
	Length     time.Duration
	Chosen     bool
}

var windows = []window{
	{Key: "1h", Label: "Hour", Length: time.Hour},
	{Key: "24h", Label: "Day", Length: 24 * time.Hour},
	{Key: "7d", Label: "Week", Length: 7 * 24 * time.Hour},
	{Key: "30d", Label: "30 days", Length: 30 * 24 * time.Hour},
}

type reportContent struct {
	report.Report
	Windows     []window
	Verified    api.Verified
	Checkpoint  time.Time
	MIT, Third  []bar
	MITMore     int
	ThirdMore   int
	Shares      []share
	Volumes     []volumeBar
	Steps       []step
	SealOverdue bool
	Packets     bool // rows know packets only: no process can be seen
}

func (p *pages) report(c *gin.Context) {
	list, length := chosen(windows, c.Query("range"), 1)
	r, err := p.build(c, length)
	if err != nil {
		p.failed(c, "compute the Trust Report", err)
		return
	}
	content := reportContent{
		Report: r, Windows: list, Verified: p.o.Verifier.Last(), Checkpoint: p.o.Ledger.Checkpoint().Time,
		Packets: r.Install == "mirror" || r.Install == "replay",
	}
	content.SealOverdue = slices.ContainsFunc(r.Findings, func(f report.Finding) bool { return f.Rule == "T6" })
	content.MIT, content.MITMore = bars(r.Destinations, "mit_bound")
	content.Third, content.ThirdMore = bars(r.Destinations, "third_party")
	content.Shares, content.Volumes, content.Steps = shares(r.Calls), volumeBars(r.Calls), steps(p.words(c), r.Timeline, length)
	p.show(c, http.StatusOK, "report", "Trust Report", "report", content)
}

// build computes the report over the time until now.
func (p *pages) build(c *gin.Context, length time.Duration) (report.Report, error) {
	now := time.Now()
	rules := p.o.Rules
	rules.Damage = p.o.Verifier.Damage()
	return report.Build(c.Request.Context(), p.o.Ledger, now.Add(-length), now, rules)
}
