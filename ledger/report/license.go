package report

import (
	"cmp"
	"slices"
	"time"

	"netaudit/ledger"
)

// mostUses bounds the days and components of a report; the Audit Log has all.
const mostUses = 1000

// licenseUse adds up what MIT received and sent, by component and UTC day.
func (c *collector) licenseUse(e *ledger.Event, v Volume) {
	key := [2]string{time.Unix(0, e.Logged).UTC().Format(time.DateOnly), ledger.ModuleName(e)}
	u := c.use[key]
	if u == nil {
		if len(c.use) >= mostUses {
			return
		}
		u = &LicenseUse{Day: key[0], Module: key[1], Declared: true}
		c.use[key] = u
	}
	u.add(v)
	u.Declared = u.Declared && c.declared(e)
}

func (c *collector) licenseUses() []LicenseUse {
	list := make([]LicenseUse, 0, len(c.use))
	for _, u := range c.use {
		list = append(list, *u)
	}
	slices.SortFunc(list, func(a, b LicenseUse) int {
		return cmp.Or(cmp.Compare(b.Day, a.Day), cmp.Compare(b.Out, a.Out), cmp.Compare(a.Module, b.Module))
	})
	return list
}
