package report

import (
	"slices"

	"netaudit/ledger"
)

// mostReasons bounds the different reasons why something is not known.
const mostReasons = 50

// counted is what a rule looks at: calls that have the same fact.
type counted struct{ rule, value string }

// fact applies the rules to what an hour's rows have in common.
func (c *collector) fact(hour int64, f *ledger.Fact) {
	a, host := &c.report.Attribution, c.rules.Install == "host" || c.rules.Install == "demo"
	switch f.Kind {
	case ledger.FactToMIT:
		c.toMIT(hour, f)
	case ledger.FactSelf:
		c.report.SelfEgress += int(f.Count)
		c.tally("A2", f)
	case ledger.FactConflict:
		if f.Value == "mit_bound" {
			c.tally("A5", f)
		} else {
			c.tally("T7", f)
		}
	case ledger.FactOutbound:
		a.Outbound += int(f.Count)
		a.Named += int(f.Count)
	case ledger.FactNameless:
		a.Named -= int(f.Count)
		if host {
			c.tally("T2", f)
		}
	case ledger.FactConfidence:
		if f.Count > 0 {
			a.Confidence[f.Value] += int(f.Count)
		}
	case ledger.FactReason:
		c.reason(f)
	case ledger.FactHidden:
		c.tally("T4", f)
	case ledger.FactTunnel:
		c.tally("T9", f)
	case ledger.FactGap:
		c.tally("T1", f)
	case ledger.FactDamage:
		c.tally("A1", f)
	case ledger.FactRecovered:
		c.tally("T8", f)
	}
}

// tally lets a rule fire for what was counted.
func (c *collector) tally(rule string, f *ledger.Fact) {
	what := counted{rule, f.Value}
	if f.Count > 0 {
		c.fire(rule, int(f.Count), f.Seqs...)
		c.begun[what] = true
	}
	if _, known := c.ongoing[what]; f.Ongoing > 0 && !known {
		c.ongoing[what] = f.Ongoing - 1
	}
}

// fireOngoing lets rules fire for what has no call that began within the window: one call, before it. So has code that uses a connection which other code opened.
func (c *collector) fireOngoing() {
	for what, row := range c.ongoing {
		if !c.begun[what] {
			c.fire(what.rule, 1, row)
		}
	}
}

func (c *collector) reason(f *ledger.Fact) {
	if f.Count == 0 || len(f.Seqs) == 0 {
		return
	}
	if r := c.reasons[f.Value]; r != nil {
		r.Count += int(f.Count)
	} else if len(c.reasons) < mostReasons {
		c.reasons[f.Value] = &Reason{f.Value, int(f.Count), f.Seqs[0]}
	}
}

// toMIT looks whether calls to MIT are among the declared ones.
func (c *collector) toMIT(hour int64, f *ledger.Fact) {
	call := ledger.ParseMITCall(f.Value)
	declared := c.declared(call)
	c.licenseUse(hour, call, declared, Volume{int(f.Count), f.Out, f.In})
	if declared {
		c.budgetOf(f)
	} else {
		c.tally("A3", f)
	}
}

// declared says whether a call to MIT is one that the license check is declared to make: by its addon, or where no addon can be seen by its host.
func (c *collector) declared(call ledger.MITCall) bool {
	known := func(name string) bool { return slices.Contains(c.rules.LicenseAddons, name) }
	switch {
	case call.Addon:
		return known(call.Module) && (call.OnBehalf == "" || known(call.OnBehalf))
	case c.rules.Install == "host" || c.rules.Install == "demo":
		return false
	default:
		return slices.Contains(c.rules.LicenseHosts, call.Host)
	}
}
