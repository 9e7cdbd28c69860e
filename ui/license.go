package ui

import (
	"cmp"
	"slices"
	"strings"

	"netaudit/ledger/report"
)

// licenseContent compares what MIT received with what the license check is declared to need.
type licenseContent struct {
	Budget     int64
	Components []licenseComponent
	Days       []licenseDay
	More       int // days that are not shown
}

// licenseComponent is one module over the whole period.
type licenseComponent struct {
	Module   string
	Declared bool
	Over     bool // on some day more than the budget
	Calls    int
	Out, In  int64
	Largest  int64 // bytes of its largest day
	Percent  int   // of the largest day in the budget; at most 100
	Times    string
}

// licenseDay is one line of the table behind it.
type licenseDay struct {
	report.LicenseUse
	Share string // of the budget
	Over  bool
}

// mostLicenseDays bounds the table; the API has all.
const mostLicenseDays = 62

func license(l report.License) licenseContent {
	out := licenseContent{Budget: l.Budget}
	byModule := map[string]*licenseComponent{}
	for _, u := range l.Use {
		m := byModule[u.Module]
		if m == nil {
			m = &licenseComponent{Module: u.Module, Declared: true}
			byModule[u.Module] = m
		}
		m.Declared = m.Declared && u.Declared
		m.Calls, m.Out, m.In, m.Largest = m.Calls+u.Calls, m.Out+u.Out, m.In+u.In, max(m.Largest, u.Out)
		over := l.Budget > 0 && u.Out > l.Budget
		m.Over = m.Over || over
		if len(out.Days) < mostLicenseDays {
			out.Days = append(out.Days, licenseDay{u, budgetShare(u.Out, l.Budget), over})
		} else {
			out.More++
		}
	}
	for _, m := range byModule {
		m.Percent, m.Times = min(100, percent(m.Largest, l.Budget)), budgetShare(m.Largest, l.Budget)
		out.Components = append(out.Components, *m)
	}
	slices.SortFunc(out.Components, func(a, b licenseComponent) int {
		return cmp.Or(cmp.Compare(b.Out, a.Out), strings.Compare(a.Module, b.Module))
	})
	return out
}

// budgetShare is how much of a day's budget was used, "" where none is declared.
func budgetShare(n, budget int64) string {
	if budget <= 0 {
		return ""
	}
	switch p := float64(n) * 100 / float64(budget); {
	case p > 0 && p < 1:
		return "< 1 %"
	case p >= 1000:
		return report.Grouped(int64(p/100)) + " ×"
	default:
		return report.Grouped(int64(p)) + " %"
	}
}
