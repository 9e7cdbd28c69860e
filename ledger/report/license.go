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

// budget is what declared license traffic sent.
type budget struct {
	days map[string]int64 // bytes by UTC day
	sent int64            // in this hour
	row  uint64           // the first of this hour
	any  bool             // there is one
}

// budgetOf takes what a declared component sent in this hour.
func (c *collector) budgetOf(f *ledger.Fact) {
	b := &c.budget
	b.sent += f.Out
	rows := f.Seqs
	if f.Ongoing > 0 {
		rows = append([]uint64{f.Ongoing - 1}, rows...)
	}
	for _, row := range rows {
		if !b.any || row < b.row {
			b.row, b.any = row, true
		}
	}
}

// closeHour adds the hour to its day. Rule A4 fires once a day; the row behind it is the first of the hour in which the limit was passed.
func (c *collector) closeHour(hour int64) {
	b := &c.budget
	if !b.any {
		return
	}
	day := dayOf(hour)
	before := b.days[day]
	b.days[day] += b.sent
	if limit := c.rules.DailyBudget; limit > 0 && before <= limit && b.days[day] > limit {
		c.fire("A4", 1, b.row)
	}
	b.sent, b.any = 0, false
}

// largest is the day on which the most was sent; of several the first.
func (b *budget) largest() (n int64, day string) {
	for d, sent := range b.days {
		if sent > n || sent == n && d < day {
			n, day = sent, d
		}
	}
	return n, day
}
