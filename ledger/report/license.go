package report

import (
	"cmp"
	"slices"
	"time"

	"netaudit/ledger"
)

// mostUses bounds the days and components of a report; the Audit Log has all.
const mostUses = 1000

// useKey is a UTC day and a component.
type useKey struct{ day, module string }

func dayOf(hour int64) string { return time.Unix(hour*3600, 0).UTC().Format(time.DateOnly) }

// licenseUse adds up what MIT received and sent, by component and UTC day.
func (c *collector) licenseUse(hour int64, call ledger.MITCall, declared bool, v Volume) {
	key := useKey{dayOf(hour), call.Module}
	u := c.uses[key]
	if u == nil {
		if len(c.uses) >= mostUses {
			return
		}
		u = &LicenseUse{Day: key.day, Module: key.module, Declared: true}
		c.uses[key] = u
	}
	u.add(v)
	u.Declared = u.Declared && declared
}

func (c *collector) licenseUses() []LicenseUse {
	list := make([]LicenseUse, 0, len(c.uses))
	for _, u := range c.uses {
		list = append(list, *u)
	}
	slices.SortFunc(list, func(a, b LicenseUse) int {
		return cmp.Or(cmp.Compare(b.Day, a.Day), cmp.Compare(b.Out, a.Out), cmp.Compare(a.Module, b.Module))
	})
	return list
}

// budget is what declared license traffic sent, in bytes by UTC day.
type budget map[string]int64

// budgetOf adds up what the declared components sent in an hour. Rule A4 fires once a day; the row behind it is the first of the hour in which the limit was passed.
func (c *collector) budgetOf(h *ledger.Hour) {
	sent, rows := int64(0), []uint64{}
	for i := range h.Facts {
		f := &h.Facts[i]
		if f.Kind != ledger.FactToMIT || !c.declared(ledger.ParseMITCall(f.Value)) {
			continue
		}
		sent += f.Out
		rows = append(rows, f.Seqs...)
		if f.Ongoing > 0 {
			rows = append(rows, f.Ongoing-1)
		}
	}
	if len(rows) == 0 {
		return
	}
	day := dayOf(h.Hour)
	before := c.budget[day]
	c.budget[day] += sent
	if limit := c.rules.DailyBudget; limit > 0 && before <= limit && c.budget[day] > limit {
		c.fire("A4", 1, slices.Min(rows))
	}
}

// largest is the day on which the most was sent; of several the first.
func (b budget) largest() (n int64, day string) {
	for d, sent := range b {
		if sent > n || sent == n && d < day {
			n, day = sent, d
		}
	}
	return n, day
}
