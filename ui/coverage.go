package ui

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"netaudit/ledger/report"
)

type coverageContent struct {
	report.Report
	Windows    []window
	Awake      []awakeSpan
	Confidence []confidence
	Packets    bool
}

// awakeSpan is a stretch of watching in a field of 1,000 units.
type awakeSpan struct {
	X, Width float64
	Title    string
}

// confidence is how many calls were named with so much certainty.
type confidence struct {
	Name, Meaning string
	Calls         int
	Percent       int
}

var confidences = []struct{ name, meaning string }{
	{"exact", "the calling thread was caught, or the program itself is the answer"},
	{"high", "only one caller was possible"},
	{"low", "the process has no other thread, but it was not caught calling"},
	{"unknown", "the row says why"},
}

// coverageWidth is the width of the drawing in units.
const coverageWidth = 1000

func (p *pages) coverage(c *gin.Context) {
	period := p.period(c, windows, 1)
	r, err := p.build(c, period, 0)
	if err != nil {
		p.failed(c, "compute the coverage", err)
		return
	}
	content := coverageContent{Report: r, Windows: period.Windows, Packets: packetsOnly(r.Install)}
	for _, s := range r.Coverage.Awake {
		at := func(t time.Time) float64 { return coverageWidth * float64(t.Sub(r.From)) / float64(r.To.Sub(r.From)) }
		content.Awake = append(content.Awake, awakeSpan{at(s.From), max(1, at(s.To)-at(s.From)), p.words(c).Text("{from} to {end}", s.From.Format(time.DateTime), s.To.Format(time.DateTime))})
	}
	for _, k := range confidences {
		n := r.Attribution.Confidence[k.name]
		content.Confidence = append(content.Confidence, confidence{k.name, k.meaning, n, percent(int64(n), int64(r.Attribution.Outbound))})
	}
	p.show(c, http.StatusOK, "coverage", "Coverage", "coverage", content)
}
