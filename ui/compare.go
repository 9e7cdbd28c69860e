package ui

import (
	"netaudit/ledger/report"
	"netaudit/ui/words"
)

// comparison is the period before, beside this one.
type comparison struct {
	All, MIT, Third change
}

// change is a count of before, and how this period's differs.
type change struct {
	Before int
	Text   string // "+12 %"; "" when nothing was before
	Up     bool
}

func compare(w *words.Words, now report.Counts, before *report.Counts) *comparison {
	if before == nil {
		return nil
	}
	return &comparison{changeOf(w, now.Total, before.Total), changeOf(w, now.MIT.Calls, before.MIT.Calls), changeOf(w, now.ThirdParty.Calls, before.ThirdParty.Calls)}
}

// mostPercent is the growth from which on a percentage says less than the numbers.
const mostPercent = 999

func changeOf(w *words.Words, now, before int) change {
	c := change{Before: before, Up: now > before}
	if before == 0 {
		return c
	}
	p := (float64(now) - float64(before)) / float64(before) * 100
	switch {
	case now == before:
		c.Text = "±0 %"
	case p > mostPercent:
		c.Text = "> +" + w.Number(mostPercent) + " %"
	case p > 0:
		c.Text = "+" + w.Number(max(1, int(p+0.5))) + " %"
	default:
		c.Text = "−" + w.Number(max(1, int(-p+0.5))) + " %"
	}
	return c
}
