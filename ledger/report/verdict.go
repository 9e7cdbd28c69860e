package report

import (
	"context"
	"errors"
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
	{"T4", "Hidden destinations", "%d calls did not show where they went: there is no name, or one that may stand in front of an encrypted one."},
	{"T6", "A daily seal is overdue", "The last day that is over has no seal: its rows could still be rewritten by whoever gets hold of this host."},
	{"T7", "Disguised call", "%d calls to third parties came from code whose names contradict each other."},
	{"T8", "Recovered after a crash", "%d times netaudit had to recover its log after a crash."},
	{"T9", "Data in names", "%d lookups had long, random-looking names below one domain: data may be leaving through DNS."},
}

// mostRowsBehind bounds the rows that a finding lists.
const mostRowsBehind = 50

// fire takes calls, or whatever else a rule counts, and rows behind them.
func (c *collector) fire(rule string, count int, seqs ...uint64) {
	f := c.findings[rule]
	if f == nil {
		f = &Finding{Rule: rule, Seqs: []uint64{}}
		c.findings[rule] = f
	}
	f.Count += count
	f.Seqs = append(f.Seqs, seqs...)
	if len(f.Seqs) >= 4*mostRowsBehind {
		f.firstRows()
	}
}

// firstRows keeps the first rows.
func (f *Finding) firstRows() {
	slices.Sort(f.Seqs)
	f.Seqs = slices.Compact(f.Seqs)
	f.Seqs = f.Seqs[:min(len(f.Seqs), mostRowsBehind)]
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
			c.fire("T6", 1)
		}
		return nil
	}
	return src.Rows(ctx, 0, func(row ledger.Row) bool { // not one day sealed: right only if the log began today
		e, err := ledger.ParseEvent(row.JSON)
		if err == nil && time.Unix(0, e.Logged).UTC().Format(time.DateOnly) <= due {
			c.fire("T6", 1)
		}
		return false
	})
}

// gaps reads the first of the gap rows.
func (c *collector) gaps(src Source) error {
	f := c.findings["T1"]
	if f == nil {
		return nil
	}
	f.firstRows()
	for _, seq := range f.Seqs {
		row, err := src.Row(seq)
		if errors.Is(err, ledger.ErrWithheld) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read a gap: %w", err)
		}
		e, err := ledger.ParseEvent(row.JSON)
		if err != nil || e.Gap == nil {
			c.fire("A1", 1, seq)
			continue
		}
		g := Gap{Seq: e.Seq, Reason: e.Gap.Reason, Iface: e.Gap.Iface, Count: e.Gap.Count, Start: time.Unix(0, e.Start).UTC()}
		if e.End != 0 {
			g.End = time.Unix(0, e.End).UTC()
		}
		c.report.Gaps = append(c.report.Gaps, g)
	}
	return nil
}

// verdict puts the findings in order and says the one word.
func (c *collector) verdict(r *Report) {
	if c.rules.Damage != "" {
		c.fire("A1", 1)
	}
	if !c.watched(r.Coverage) && c.findings["T1"] == nil {
		c.findings["T1"] = &Finding{Rule: "T1", Count: 1, Seqs: []uint64{}}
	}
	r.License.Budget = c.rules.DailyBudget
	r.License.Largest, r.License.Day = c.budget.largest()
	r.Verdict = AllClear
	r.Findings = []Finding{}
	for _, text := range ruleTexts {
		f := c.findings[text.id]
		if f == nil {
			continue
		}
		f.firstRows()
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
		if said := strings.TrimSpace(c.rules.Damage + " " + c.broken); text.id == "A1" && said != "" {
			f.Sentence = said
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
		return c.rules.Install == "replay" && c.coverage.rows
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
