package report

import (
	"context"
	"slices"

	"netaudit/ledger"
)

// predecessor looks whether the log follows a damaged one, which its first row says. That stays an alarm, whatever the window, until the configuration acknowledges it.
func (c *collector) predecessor(ctx context.Context, src Source) error {
	return src.Rows(ctx, 0, func(row ledger.Row) bool {
		e, err := ledger.ParseEvent(row.JSON)
		if err != nil || row.Seq != 0 || e.Kind != "lifecycle" || e.Rule != "restarted" { // the window's own reading reports damage
			return false
		}
		if p := e.Predecessor; p == nil || !slices.Contains(c.rules.Acknowledged, p.Origin) && !slices.Contains(c.rules.Acknowledged, p.Kept) {
			c.fire("A1", 1, row.Seq)
			c.broken = e.Message
		}
		return false
	})
}
