package report

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"netaudit/ledger"
)

var propertyDay = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

var propertyRules = Rules{LicenseAddons: []string{"mit_license"}, DailyBudget: 5000, Install: "host", Now: propertyDay.Add(24 * time.Hour)}

// randomCall is one of the rows that rules look at, or one that none does.
func randomCall(r *rand.Rand, i int) ledger.Event {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	e := ledger.Event{
		Kind: "flow", State: "closed", Direction: pick("outbound", "outbound", "outbound", "inbound"), Channel: "https", HasCounts: true, SrcBytes: int64(r.IntN(2000)), DstBytes: 10,
		FlowID: fmt.Sprintf("f%d", i), Src: &ledger.Endpoint{IP: "10.0.0.1"}, Dst: &ledger.Endpoint{IP: "203.0.113.1", Host: pick("", "a.example", "b.example", "license.mit-odoo.de")},
		Party: &ledger.Party{Class: pick("mit_bound", "third_party", "internal")}, Process: &ledger.Process{Name: "odoo", Role: pick("odoo_http", "odoo_cron", "other", "self")},
		Addon: &ledger.Addon{Name: pick("mit_license", "mit_license", "sale", "mit_maildesk")}, Evidence: &ledger.Evidence{Confidence: "exact"},
	}
	switch r.IntN(8) {
	case 0:
		e.Addon = nil
	case 1:
		e.Evidence.Conflicts = []string{"path says other"}
	case 2:
		e.TLS = &ledger.TLS{ECH: true, ECHKind: pick("", "offered", "configured", "grease_like", "refused")}
	case 3:
		return ledger.Event{Kind: "lifecycle", Rule: pick("recovered", "stop"), Message: "x"}
	case 4:
		return ledger.Event{Kind: "gap", Gap: &ledger.Gap{Reason: "kernel_drop", Count: 3}}
	}
	return e
}

// logOf writes rows a minute apart, those of an hour's quarter at the same time.
func logOf(t *testing.T, events []ledger.Event) *ledger.Ledger {
	t.Helper()
	now := propertyDay
	l, err := ledger.Open(filepath.Join(t.TempDir(), "state"), ledger.Options{Create: true, Clock: func() time.Time { return now }, MaxDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	for i, e := range events {
		if i%15 == 0 {
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			now = propertyDay.Add(time.Duration(i) * time.Minute)
		}
		if err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func randomCalls(seed uint64, n int) (events []ledger.Event) {
	r := rand.New(rand.NewPCG(seed, 7))
	for i := range n {
		events = append(events, randomCall(r, i))
	}
	return events
}

// findings are the counts of the rules that look at single rows.
func findings(r Report) map[string]int {
	out := map[string]int{}
	for _, f := range r.Findings {
		out[f.Rule] = f.Count
	}
	return out
}

func TestVerdictDoesNotDependOnTheOrderOfSimultaneousRows(t *testing.T) {
	for seed := range uint64(4) {
		events := randomCalls(seed, 300)
		build := func(events []ledger.Event) Report {
			r, err := Build(t.Context(), logOf(t, events), propertyDay, propertyDay.Add(24*time.Hour), propertyRules)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		want := build(events)
		shuffled := append([]ledger.Event(nil), events...)
		random := rand.New(rand.NewPCG(seed, 8))
		for at := 0; at < len(shuffled); at += 15 {
			part := shuffled[at:min(at+15, len(shuffled))]
			random.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
		}
		got := build(shuffled)
		if got.Verdict != want.Verdict || !reflect.DeepEqual(findings(got), findings(want)) || got.Calls != want.Calls || !reflect.DeepEqual(got.License, want.License) || got.SelfEgress != want.SelfEgress || len(findings(want)) < 7 {
			t.Errorf("seed %d: %s %v %+v, in another order %s %v %+v", seed, want.Verdict, findings(want), want.Calls, got.Verdict, findings(got), got.Calls)
		}
	}
}

// perRow are the rules that fire for single rows, whatever stands in others.
var perRow = []string{"A2", "A3", "A5", "T2", "T4", "T7", "T8", "T9"}

func TestLargerWindowNeverFindsLess(t *testing.T) {
	l := logOf(t, randomCalls(9, 600))
	build := func(t *rapid.T, from, to int) Report {
		r, err := Build(t.Context(), l, propertyDay.Add(time.Duration(from)*time.Minute), propertyDay.Add(time.Duration(to)*time.Minute), propertyRules)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	worse := map[string]int{AllClear: 0, Attention: 1, Alarm: 2}
	rapid.Check(t, func(t *rapid.T) {
		from, to := rapid.IntRange(0, 600).Draw(t, "from"), rapid.IntRange(0, 600).Draw(t, "to")
		if from > to {
			from, to = to, from
		}
		small, large := build(t, from, to), build(t, max(0, from-rapid.IntRange(0, 60).Draw(t, "earlier")), to+rapid.IntRange(0, 60).Draw(t, "later"))
		if again := build(t, from, to); !reflect.DeepEqual(small, again) {
			t.Fatalf("the same rows give another report: %+v, %+v", small, again)
		}
		a, b := findings(small), findings(large)
		for _, rule := range perRow {
			if a[rule] > b[rule] {
				t.Errorf("%s: %d in the window, %d in the larger one", rule, a[rule], b[rule])
			}
		}
		if small.Calls.Total > large.Calls.Total || small.Calls.Total > 0 && worse[small.Verdict] == 2 && worse[large.Verdict] < 2 && a["A4"] == 0 {
			t.Errorf("%s with %d calls, in the larger window %s with %d", small.Verdict, small.Calls.Total, large.Verdict, large.Calls.Total)
		}
		for _, f := range small.Findings {
			if (f.Count > 0) != (len(f.Seqs) > 0) && f.Rule != "T1" && f.Rule != "T6" {
				t.Errorf("%+v has no rows", f)
			}
		}
	})
}
