package appliance

import (
	"context"
	"fmt"
	"strings"
	"time"

	"netaudit/ledger"
)

// retainEvery is how often the policy is applied; only whole days that are over can go.
const retainEvery = time.Hour

// policy is what the configuration says about keeping rows.
func (c *Config) policy() (ledger.Policy, error) {
	p := ledger.Policy{MaxAge: time.Duration(c.KeepDays) * 24 * time.Hour, MaxBytes: int64(c.KeepMB) << 20}
	if c.KeepDays < 0 || c.KeepMB < 0 {
		return p, fmt.Errorf("keep_days, keep_mb: write 0 to keep everything, or a number above")
	}
	for _, text := range c.LegalHold {
		from, to, several := strings.Cut(text, "/")
		if !several {
			to = from
		}
		first, err1 := time.Parse(time.DateOnly, strings.TrimSpace(from))
		last, err2 := time.Parse(time.DateOnly, strings.TrimSpace(to))
		if err1 != nil || err2 != nil || last.Before(first) {
			return p, fmt.Errorf("legal_hold: %q is no stretch of days; write 2026-01-01/2026-03-31, or one day", text)
		}
		p.Hold = append(p.Hold, ledger.Span{First: first, Last: last})
	}
	return p, nil
}

// retain applies the policy now and once an hour until ctx ends. What goes wrong is logged: rows that stay too long are no reason to stop watching.
func (a *Appliance) retain(ctx context.Context) {
	policy, err := a.config.policy()
	if err != nil || policy.MaxAge == 0 && policy.MaxBytes == 0 {
		return // Check has reported an error
	}
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		done, err := a.ledger.Retain(ctx, policy)
		switch {
		case err != nil && ctx.Err() == nil:
			a.log.Error("retention failed; rows are kept", "error", err)
		case done.Days > 0:
			a.log.Info("retention took rows away; their hashes stay", "days", done.Days, "rows", done.Rows, "held", done.Held)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
