package report

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"netaudit/ledger"
)

// clocked is a world whose rows are logged when the test says.
func clocked(t *testing.T, start time.Time) (w *world, at func(time.Time)) {
	t.Helper()
	now := start
	l, err := ledger.Open(filepath.Join(t.TempDir(), "state"), ledger.Options{Create: true, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	w = &world{t: t, l: l}
	return w, func(to time.Time) {
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = to
	}
}

func (w *world) over(from, to time.Time, seen uint64) Report {
	w.t.Helper()
	if err := w.l.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	r, err := Build(w.t.Context(), w.l, from, to, Rules{LicenseAddons: []string{"mit_license"}, DailyBudget: 1000, Install: "host", Now: to, SeenUpTo: seen})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestWhatMITReceivedIsAddedUpByComponentAndDay(t *testing.T) {
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	w, at := clocked(t, start)
	w.call("license.mit-odoo.de", "mit_bound", "mit_license", 500)
	w.call("license.mit-odoo.de", "mit_bound", "mit_license", 100)
	w.call("files.mit-odoo.de", "mit_bound", "mit_maildesk", 9000)
	w.call("api.example", "third_party", "shop", 9000)
	at(start.AddDate(0, 0, 1))
	w.call("license.mit-odoo.de", "mit_bound", "mit_license", 700, func(e *ledger.Event) { e.Addon.OnBehalfOf = "shop" })
	got := w.over(start, start.AddDate(0, 0, 2), 0).License
	want := []LicenseUse{
		{"2026-03-02", "mit_license", false, Volume{1, 700, 10}},
		{"2026-03-01", "mit_maildesk", false, Volume{1, 9000, 10}},
		{"2026-03-01", "mit_license", true, Volume{2, 600, 20}},
	}
	if !slices.Equal(got.Use, want) || got.Budget != 1000 {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestPeriodBeforeIsComparedOnlyWhenThereWasOne(t *testing.T) {
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	w, at := clocked(t, start)
	w.call("license.mit-odoo.de", "mit_bound", "mit_license", 500)
	w.call("api.example", "third_party", "shop", 40)
	w.call("db.internal", "internal", "shop", 4)
	day := 24 * time.Hour
	at(start.Add(day + time.Hour))
	w.call("api.example", "third_party", "shop", 1)
	r := w.over(start.Add(day), start.Add(2*day), 0)
	if r.Before == nil || *r.Before != (Counts{3, Volume{1, 500, 10}, Volume{1, 40, 10}, Volume{1, 4, 10}}) || r.Calls.Total != 1 {
		t.Errorf("before %+v, now %+v", r.Before, r.Calls)
	}
	if r := w.over(start, start.Add(day), 0); r.Before != nil {
		t.Errorf("a period before the log began: %+v", r.Before)
	}
	if r := w.over(start.Add(day), start.Add(day+time.Hour), 0); r.Before != nil {
		t.Errorf("hours are compared: %+v", r.Before)
	}
}

func TestFreshIsWhatTheReaderHasNotSeen(t *testing.T) {
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	w, at := clocked(t, start)
	w.call("license.mit-odoo.de", "mit_bound", "mit_license", 500)
	w.call("api.example", "third_party", "shop", 40)
	at(start.Add(time.Hour))
	w.call("api.example", "third_party", "shop", 1)
	w.call("new.example", "third_party", "shop", 1)
	w.call("license.mit-odoo.de", "mit_bound", "mit_license", 500)
	end := start.Add(2 * time.Hour)
	if f := w.over(start, end, 2).Fresh; f == nil || f.Calls != 3 || f.MIT != 1 || !slices.Equal(f.Destinations, []string{"new.example"}) {
		t.Errorf("%+v", f)
	}
	if f := w.over(start, end, 5).Fresh; f == nil || f.Calls != 0 || len(f.Destinations) != 0 {
		t.Errorf("everything was seen: %+v", f)
	}
	r := w.over(start, end, 0)
	if r.Fresh != nil {
		t.Errorf("nobody has seen anything: %+v", r.Fresh)
	}
	var sum int64
	for _, n := range r.Destinations[0].Series {
		sum += n
	}
	if len(r.Destinations[0].Series) != destinationSteps || sum != int64(r.Destinations[0].Calls) || r.Destinations[0].Series[0] == 0 {
		t.Errorf("%+v", r.Destinations[0])
	}
}

// TestSleepAtTheBeginOfAWindowIsNoCoverage: whoever looks at a day does not learn of its first half by starting netaudit at noon.
func TestSleepAtTheBeginOfAWindowIsNoCoverage(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	w, at := clocked(t, start)
	beat := func(from, to time.Time) {
		at(to)
		w.add(ledger.Event{Kind: "heartbeat", Start: from.UnixNano(), End: to.UnixNano(), Heartbeat: &ledger.Heartbeat{}})
	}
	beat(start, start.Add(time.Hour))
	beat(start.Add(18*time.Hour), start.Add(24*time.Hour))
	r := w.over(start.Add(12*time.Hour), start.Add(24*time.Hour+time.Second), 0)
	if p := r.Coverage.Percent; p < 49.9 || p > 50.1 || !r.Coverage.Begin.Equal(start.Add(12*time.Hour)) {
		t.Errorf("%.2f %% of a window whose first half nobody watched, from %s", p, r.Coverage.Begin)
	}
	if p := w.over(start.Add(-12*time.Hour), start.Add(time.Hour+time.Minute), 0).Coverage; p.Percent < 99 || !p.Begin.Equal(start.Add(time.Hour)) { // the log began in it
		t.Errorf("%+v", p)
	}
}
