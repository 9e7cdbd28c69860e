package ui

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"netaudit/api"
	"netaudit/ledger"
	"netaudit/ledger/report"
)

// window is a choice of the report's time range.
type window struct {
	Key, Label string
	Length     time.Duration
	Chosen     bool
	Link       string // where the links of a page keep more than the time
}

var windows = []window{
	{Key: "1h", Label: "Hour", Length: time.Hour},
	{Key: "24h", Label: "Day", Length: 24 * time.Hour},
	{Key: "7d", Label: "Week", Length: 7 * 24 * time.Hour},
	{Key: "30d", Label: "30 days", Length: 30 * 24 * time.Hour},
}

type reportContent struct {
	report.Report
	Period      period
	Host        string
	Findings    []findingLine
	Verified    api.Verified
	Checkpoint  ledger.Checkpoint
	Note, Key   string // the checkpoint as it is signed, and the key that checks it
	Held        heldOutside
	Visit       visit
	Fresh       *report.Fresh
	MIT, Third  []bar
	MITMore     int
	ThirdMore   int
	Shares      []share
	Volumes     []volumeBar
	Timeline    timeline
	Compared    *comparison
	License     licenseContent
	Picture     picture
	Modules     []report.Module // at most mostModules, those that called MIT first
	MoreModules int
	SealOverdue bool
	Packets     bool // rows know packets only: no process can be seen
	First       bool // nothing was called yet: the reader needs the next steps
}

// heldOutside is up to which row the history is held outside, and by which witness; "" when it is a checkpoint that a reader took away.
type heldOutside struct {
	Rows    uint64
	Witness string
}

// held is the larger of what readers took away and what a witness cosigned.
func held(taken api.Held, cosigned *report.Held) heldOutside {
	if cosigned != nil && cosigned.Rows >= taken.Rows {
		return heldOutside{cosigned.Rows, cosigned.Witness}
	}
	return heldOutside{Rows: taken.Rows}
}

// findingLine is a rule that fired, with what a reader can do.
type findingLine struct {
	report.Finding
	Advice string
}

// ruleAdvice says what to do when a rule fired.
var ruleAdvice = map[string]string{
	"A1": "Stop relying on this log. Keep the state directory as it is, and compare with checkpoints and bundles held elsewhere.",
	"A2": "Do not trust this installation before it is explained: look at the rows, and install netaudit anew from a source that you trust.",
	"A3": "Open a row: it names the addon, the line of code and the destination. Ask MIT what this call is for; if in doubt, block the destination at your firewall.",
	"A4": "Compare the days below. Ask MIT what is sent beyond the license check.",
	"A5": "Open a row: it shows under which names the code presented itself. Ask MIT why they differ.",
	"T1": "See on the page Coverage when and why. For that time nothing can be said.",
	"T2": "See on the page Coverage why names are missing; the rows say where the calls went.",
	"T3": "Look whether you know the destinations. They count as known once this time is past.",
	"T4": "Look at the rows: the addon and the address still say much.",
	"T6": "Leave netaudit running: it seals what is due.",
	"T7": "Open a row: it shows under which names the code presented itself.",
	"T8": "The log was checked and goes on. The gap row beside it says how long nothing was seen.",
	"T9": "Look at the domain and who asked. Data that left this way is bounded by the bytes that the rows name.",
}

// mostModules bounds the addons on the report; the page Modules has all.
const mostModules = 10

func (p *pages) report(c *gin.Context) {
	w := p.words(c)
	period := p.period(c, windows, 1)
	visit := p.visit(c)
	r, err := p.build(c, period, visit.Rows)
	if err != nil {
		p.failed(c, "compute the Trust Report", err)
		return
	}
	checkpoint := p.o.Ledger.Checkpoint()
	content := reportContent{
		Report: r, Period: period, Host: p.o.Host, Verified: p.o.Verifier.Last(), Checkpoint: checkpoint, Note: string(checkpoint.Note), Key: p.o.Ledger.VerifierKey(),
		Held: held(p.o.Access.Held(), r.Held), Visit: visit, Fresh: r.Fresh, Packets: packetsOnly(r.Install), Compared: compare(w, r.Calls, r.Before), License: license(r.License),
		Shares: shares(r.Calls), Volumes: volumeBars(r.Calls), Timeline: drawTimeline(w, &r, p.began()),
	}
	for _, f := range r.Findings {
		content.Findings = append(content.Findings, findingLine{f, w.Text(ruleAdvice[f.Rule])})
	}
	content.SealOverdue = slices.ContainsFunc(r.Findings, func(f report.Finding) bool { return f.Rule == "T6" })
	content.MIT, content.MITMore = bars(r.Destinations, "mit_bound")
	content.Third, content.ThirdMore = bars(r.Destinations, "third_party")
	content.Modules = r.Modules[:min(mostModules, len(r.Modules))]
	content.MoreModules = len(r.Modules) - len(content.Modules)
	began := p.began()
	content.First = r.Calls.Total == 0 && len(r.Modules) == 0 && !period.Custom() && (began.IsZero() && r.Size == 0 || time.Since(began) < 24*time.Hour)
	if !content.Packets {
		if content.Picture, err = p.outwardPicture(c, period); err != nil {
			p.failed(c, "add up the traffic", err)
			return
		}
	}
	p.show(c, http.StatusOK, "report", "Trust Report", "report", content)
}

// packetsOnly says whether an installation cannot see processes.
func packetsOnly(install string) bool { return install == "mirror" || install == "replay" }

// outwardPicture shows who called whom outside, from the hours of a period.
func (p *pages) outwardPicture(c *gin.Context, t period) (picture, error) {
	groups, err := report.Traffic(c.Request.Context(), p.o.Ledger, t.From, t.To, report.ByPair)
	if err != nil {
		return picture{}, err
	}
	groups = slices.DeleteFunc(groups, func(g report.Group) bool { return g.Class == "internal" || strings.TrimSpace(g.To) == "" })
	return draw(p.words(c), groups, smallPicture), nil
}

// began is when the log began: the time of its first row, zero before there is one or when it was taken away.
func (p *pages) began() time.Time {
	row, err := p.o.Ledger.Row(0)
	if err != nil {
		return time.Time{}
	}
	e, err := ledger.ParseEvent(row.JSON)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(0, e.Logged).UTC()
}

// build computes the report over a period.
func (p *pages) build(c *gin.Context, t period, seen uint64) (report.Report, error) {
	rules := p.o.Rules
	rules.Damage = p.o.Verifier.Damage()
	rules.SeenUpTo = seen
	return report.Build(c.Request.Context(), p.o.Ledger, t.From, t.To, rules)
}
