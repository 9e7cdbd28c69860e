package report

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"netaudit/ledger"
)

// ruleTexts are the rules of the verdict by their stable ids. The sentence is filled with the count.
var ruleTexts = []struct{ id, title, sentence string }{
	{"A1", "The log does not verify", "The log, or the one before it, is damaged or was changed."},
	{"A2", "netaudit itself made a call", "%d calls came from netaudit itself, which must never make one."},
	{"A3", "Undeclared call to MIT", "%d calls to MIT were not made by a declared license component."},
	{"A4", "More sent to MIT than the license needs", "On %d days the declared license components sent more than was declared."},
	{"A5", "Disguised call to MIT", "%d calls to MIT came from code whose names contradict each other."},
	{"T1", "Not everything was watched", "%d gaps: part of this time, or some packets, could not be seen."},
	{"T2", "Calls without a name", "%d calls left without an addon or a process that could be named."},
	{"T3", "New destinations", "%d calls went where none had gone before."},
	{"T4", "Hidden destinations", "%d calls went to addresses without a visible name."},
	{"T6", "A daily seal is overdue", "The last day that is over has no seal: its rows could still be rewritten by whoever gets hold of this host."},
	{"T7", "Disguised call", "%d calls to third parties came from code whose names contradict each other."},
	{"T8", "Recovered after a crash", "%d times netaudit had to recover its log after a crash."},
	{"T9", "Data in names", "%d lookups had long, random-looking names below one domain: data may be leaving through DNS."},
}

// mostRowsBehind bounds the rows that a finding lists.
const mostRowsBehind = 50

func (c *collector) fire(rule string, seq uint64) {
	f := c.findings[rule]
	if f == nil {
		f = &Finding{Rule: rule, Seqs: []uint64{}}
		c.findings[rule] = f
	}
	f.Count++
	if len(f.Seqs) < mostRowsBehind {
		f.Seqs = append(f.Seqs, seq)
	}
}

// judge applies the rules that look at one call.
func (c *collector) judge(e *ledger.Event, class string) {
	host := c.rules.Install == "host" || c.rules.Install == "demo"
	if e.Process != nil && e.Process.Role == "self" && e.Direction != "inbound" {
		c.report.SelfEgress++
		c.fire("A2", e.Seq)
	}
	conflicts := e.Evidence != nil && len(e.Evidence.Conflicts) > 0
	if class == "mit_bound" {
		if !c.declared(e) {
			c.fire("A3", e.Seq)
		}
		if conflicts {
			c.fire("A5", e.Seq)
		}
	} else if conflicts {
		c.fire("T7", e.Seq)
	}
	if e.Direction != "outbound" || class == "internal" {
		return
	}
	c.report.Attribution.Outbound++
	c.witnessed(e)
	nameless := e.Process == nil || e.Addon == nil && strings.HasPrefix(e.Process.Role, "odoo_")
	if !nameless {
		c.report.Attribution.Named++
	} else if host {
		c.fire("T2", e.Seq)
	}
	if c.known != nil && !c.known[hostOf(e)] {
		c.fire("T3", e.Seq)
	}
	// A name server is asked by its address; what it is asked stands in rows of its own.
	if e.Dst.Host == "" && e.Channel != "dns" || e.TLS != nil && e.TLS.ECH {
		c.fire("T4", e.Seq)
	}
}

// Bounds of rule T9. A tunnel's names are long because they carry data, look random because it is encoded, and differ because it goes on: each alone also
// happens to honest services (content networks, blocklists, tracking), all three at once do not.
const (
	tunnelNames   = 100 // different names below one domain within an hour
	tunnelLength  = 24  // bytes below the domain, on average
	tunnelEntropy = 350 // hundredths of a bit a character; English words have some 300, base32 some 430
)

// lookup applies the rule that looks at one DNS query.
func (c *collector) lookup(e *ledger.Event) {
	z := e.DNS.Zone
	if z != nil && z.Queries > 0 && z.Names >= tunnelNames && z.Bytes/z.Queries >= tunnelLength && z.Entropy >= tunnelEntropy {
		c.fire("T9", e.Seq)
	}
}

// declared says whether a call to MIT is one that the license check is declared to make: by its addon, or where no addon can be seen by its host.
func (c *collector) declared(e *ledger.Event) bool {
	if e.Addon != nil {
		known := func(name string) bool { return slices.Contains(c.rules.LicenseAddons, name) }
		return known(e.Addon.Name) && (e.Addon.OnBehalfOf == "" || known(e.Addon.OnBehalfOf))
	}
	if c.rules.Install == "host" || c.rules.Install == "demo" {
		return false
	}
	return slices.Contains(c.rules.LicenseHosts, e.Dst.Host)
}

// license adds up what the declared components sent, day by day.
func (c *collector) license(e *ledger.Event, class string, out int64) {
	if class != "mit_bound" || !c.declared(e) {
		return
	}
	day := time.Unix(0, e.Logged).UTC().Format(time.DateOnly)
	before := c.budget[day]
	c.budget[day] += out
	if c.rules.DailyBudget > 0 && before <= c.rules.DailyBudget && c.budget[day] > c.rules.DailyBudget {
		c.fire("A4", e.Seq)
	}
}

// sealGrace is how long after midnight UTC a day may still be without its seal.
const sealGrace = time.Hour

// seals looks whether the last day that is over has its seal. Nobody seals rows that come from capture files.
func (c *collector) seals(ctx context.Context, src Source) error {
	if src.SealVerifierKey() == "" || c.rules.Install == "replay" || src.Size() == 0 {
		return nil
	}
	due := c.rules.Now.UTC().Add(-sealGrace).AddDate(0, 0, -1).Format(time.DateOnly)
	if last := src.LastSeal(); last != nil {
		c.report.LastSeal = last.Day
		if last.Day < due {
			c.fire("T6", 0)
			c.findings["T6"].Seqs = []uint64{}
		}
		return nil
	}
	return src.Rows(ctx, 0, func(row ledger.Row) bool { // not one day sealed: right only if the log began today
		e, err := ledger.ParseEvent(row.JSON)
		if err == nil && time.Unix(0, e.Logged).UTC().Format(time.DateOnly) <= due {
			c.fire("T6", 0)
			c.findings["T6"].Seqs = []uint64{}
		}
		return false
	})
}

func (c *collector) gapRow(e *ledger.Event) {
	if e.Gap == nil || e.Gap.Reason == "interface_down" && e.End != 0 {
		return // the end of a gap whose beginning has a row of its own
	}
	c.fire("T1", e.Seq)
	if len(c.report.Gaps) < mostGaps {
		g := Gap{Seq: e.Seq, Reason: e.Gap.Reason, Iface: e.Gap.Iface, Count: e.Gap.Count, Start: time.Unix(0, e.Start).UTC()}
		if e.End != 0 {
			g.End = time.Unix(0, e.End).UTC()
		}
		c.report.Gaps = append(c.report.Gaps, g)
	}
}

// mostGaps bounds the gaps that a report lists; the Audit Log has all.
const mostGaps = 100

// mostReasons bounds the different reasons why something is not known.
const mostReasons = 50

// witnessed counts how sure attribution was of a call, and why it was not.
func (c *collector) witnessed(e *ledger.Event) {
	if e.Evidence == nil {
		return
	}
	c.report.Attribution.Confidence[e.Evidence.Confidence]++
	if e.Addon != nil || e.Evidence.Reason == "" {
		return
	}
	list := c.report.Attribution.Reasons
	if i := slices.IndexFunc(list, func(r Reason) bool { return r.Why == e.Evidence.Reason }); i >= 0 {
		list[i].Count++
	} else if len(list) < mostReasons {
		c.report.Attribution.Reasons = append(list, Reason{e.Evidence.Reason, 1, e.Seq})
	}
}

// verdict puts the findings in order and says the one word.
func (c *collector) verdict(r *Report) {
	if c.rules.Damage != "" {
		c.fire("A1", 0)
		if c.broken == "" {
			c.findings["A1"].Seqs = []uint64{}
		}
	}
	if !c.watched(r.Coverage) && c.findings["T1"] == nil {
		c.findings["T1"] = &Finding{Rule: "T1", Count: 1, Seqs: []uint64{}}
	}
	r.License.Budget = c.rules.DailyBudget
	for day, n := range c.budget {
		if n > r.License.Largest || n == r.License.Largest && day < r.License.Day {
			r.License.Largest, r.License.Day = n, day
		}
	}
	r.Verdict = AllClear
	r.Findings = []Finding{}
	for _, text := range ruleTexts {
		f := c.findings[text.id]
		if f == nil {
			continue
		}
		f.Level, f.Title, f.Sentence = Attention, text.title, text.sentence
		if strings.HasPrefix(text.id, "A") {
			f.Level = Alarm
		}
		if strings.Contains(text.sentence, "%d") {
			f.Sentence = plural(fmt.Sprintf(text.sentence, f.Count), f.Count)
		}
		if text.id == "T1" && len(f.Seqs) == 0 {
			f.Sentence = "Part of this time was not watched."
		}
		if text.id == "A1" {
			f.Sentence = strings.TrimSpace(c.rules.Damage + " " + c.broken)
		}
		if f.Level == Alarm {
			r.Verdict = Alarm
		} else if r.Verdict == AllClear {
			r.Verdict = Attention
		}
		r.Findings = append(r.Findings, *f)
	}
	r.Sentence = sentence(r)
}

// watched says whether silence is proof. Rows from capture files have no watcher; that there are some is all that can be said of them.
func (c *collector) watched(v Coverage) bool {
	if !v.Known {
		return c.rules.Install == "replay" && c.coverage.first != 0
	}
	return v.Percent >= 100
}

// plural mends the words of a sentence that counts to one.
func plural(s string, n int) string {
	if n != 1 {
		return s
	}
	return strings.NewReplacer("1 calls", "1 call", "1 gaps", "1 gap", "1 days", "1 day", "1 times", "Once", "1 lookups", "1 lookup", " were not", " was not").Replace(s)
}

func sentence(r *Report) string {
	switch {
	case r.Verdict == Alarm:
		return r.Findings[0].Sentence
	case r.Size == 0:
		return "Nothing has been recorded yet."
	case r.Calls.Total == 0 && !r.Coverage.Known:
		return "Nobody was watching in this time: nothing can be said."
	case r.Verdict == Attention:
		return "No undeclared data went to MIT in what was seen. " + r.Findings[0].Sentence
	case r.Calls.MIT.Calls == 0:
		return "No call went to MIT."
	default:
		return "Every call to MIT was made by a declared license component and stayed within what was declared."
	}
}
