package report

import (
	"context"
	"errors"
	"slices"

	"netaudit/ledger"
)

// predecessor looks whether the log follows a damaged one. That stays an alarm, whatever the window and whatever retention took away, until the configuration acknowledges it.
func (c *collector) predecessor(ctx context.Context, src Source) error {
	p, seq, err := src.Predecessor(ctx)
	if damage := (*ledger.DamagedError)(nil); errors.As(err, &damage) {
		c.fire("A1", 1)
		c.broken = "The log is damaged at " + damage.Where + ": " + damage.Detail + "."
		return nil
	}
	if err != nil || p == nil || slices.Contains(c.rules.Acknowledged, p.Origin) || slices.Contains(c.rules.Acknowledged, p.Kept) {
		return err
	}
	c.fire("A1", 1, seq)
	c.broken = p.Sentence()
	return nil
}
