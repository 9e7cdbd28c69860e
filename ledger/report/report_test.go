package report

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netaudit/ledger"
)

// world is a real ledger and a clock; rows get the ledger's own ingest time, so windows begin before the test and end after it.
type world struct {
	t *testing.T
	l *ledger.Ledger
	n int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	l, err := ledger.Open(filepath.Join(t.TempDir(), "state"), ledger.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{t: t, l: l}
}

func (w *world) add(e ledger.Event) {
	w.t.Helper()
	e.V = 1
	if e.Start == 0 {
		e.Start, e.End = time.Now().UnixNano(), time.Now().UnixNano()
	}
	if err := w.l.Append(w.t.Context(), e); err != nil {
		w.t.Fatal(err)
	}
}

// call is an outbound call that nobody has to explain.
func (w *world) lookup(z ledger.Zone) {
	w.t.Helper()
	w.add(ledger.Event{
		Kind: "dns", Channel: "dns", Direction: "outbound", Src: &ledger.Endpoint{IP: "10.0.0.1"}, Dst: &ledger.Endpoint{IP: "192.0.2.53"},
		DNS: &ledger.DNS{Name: "x." + z.Name, Type: "A", RCode: "NOERROR", Zone: &z},
	})
}

func (w *world) call(host, class, addon string, sent int64, change ...func(*ledger.Event)) {
	w.t.Helper()
	w.n++
	e := ledger.Event{
		Kind: "flow", State: "closed", Direction: "outbound", Channel: "https", HasCounts: true, SrcBytes: sent, DstBytes: 10,
		FlowID: string(rune('a' + w.n)), Src: &ledger.Endpoint{IP: "10.0.0.1", Port: 1, HasPort: true},
		Dst:   &ledger.Endpoint{IP: "203.0.113.1", Port: 443, HasPort: true, Host: host, HostSource: "sni"},
		Party: &ledger.Party{Class: class, Name: host, Rule: "r"}, Process: &ledger.Process{PID: 9, Exe: "/usr/bin/python3", Name: "python3", Role: "odoo_http"},
		Addon: &ledger.Addon{Name: addon}, Evidence: &ledger.Evidence{Source: "thread", Confidence: "exact"},
	}
	for _, f := range change {
		f(&e)
	}
	w.add(e)
}

// awake says that the watcher was awake from the log's beginning until now.
func (w *world) awake() {
	w.add(ledger.Event{Kind: "lifecycle", Rule: "start", Message: "start"})
}

func (w *world) report(change ...func(*Rules)) Report {
	w.t.Helper()
	if err := w.l.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	rules := Rules{LicenseAddons: []string{"mit_license"}, LicenseHosts: []string{"license.mit-odoo.de"}, DailyBudget: 1000, Install: "host"}
	for _, f := range change {
		f(&rules)
	}
	r, err := Build(context.Background(), w.l, time.Now().Add(-time.Hour), time.Now().Add(time.Second), rules)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func rulesOf(r Report) (ids []string) {
	for _, f := range r.Findings {
		ids = append(ids, f.Rule)
	}
	return ids
}

func TestEveryRuleFiresForItsReasonAlone(t *testing.T) {
	for _, c := range []struct {
		name, verdict string
		rules         []string
		rows          func(*world)
		change        func(*Rules)
	}{
		{"nothing but declared and third-party calls", AllClear, nil, func(w *world) {
			w.call("license.mit-odoo.de", "mit_bound", "mit_license", 500)
			w.call("api.example", "third_party", "shop", 1e6)
		}, nil},
		{"the log was damaged", Alarm, []string{"A1"}, func(*world) {}, func(r *Rules) { r.Damage = "row 3: changed" }},
		{"netaudit called", Alarm, []string{"A2"}, func(w *world) {
			w.call("x.example", "third_party", "", 1, func(e *ledger.Event) { e.Addon, e.Process.Role = nil, "self" })
		}, nil},
		{"an undeclared addon called MIT", Alarm, []string{"A3"}, func(w *world) { w.call("sync.mit-odoo.de", "mit_bound", "mit_maildesk", 1) }, nil},
		{"the license addon called for another one", Alarm, []string{"A3"}, func(w *world) {
			w.call("license.mit-odoo.de", "mit_bound", "mit_license", 1, func(e *ledger.Event) { e.Addon.OnBehalfOf = "mit_maildesk" })
		}, nil},
		{"nobody could be named towards MIT", Alarm, []string{"A3", "T2"}, func(w *world) {
			w.call("license.mit-odoo.de", "mit_bound", "", 1, func(e *ledger.Event) { e.Addon, e.Process = nil, nil })
		}, nil},
		{"at a mirror port the declared host is enough", AllClear, nil, func(w *world) {
			w.call("license.mit-odoo.de", "mit_bound", "", 1, func(e *ledger.Event) { e.Addon, e.Process, e.Evidence = nil, nil, nil })
		}, func(r *Rules) { r.Install = "mirror" }},
		{"more than the budget", Alarm, []string{"A4"}, func(w *world) {
			w.call("license.mit-odoo.de", "mit_bound", "mit_license", 600)
			w.call("license.mit-odoo.de", "mit_bound", "mit_license", 600)
		}, nil},
		{"a disguised caller towards MIT", Alarm, []string{"A5"}, func(w *world) {
			w.call("license.mit-odoo.de", "mit_bound", "mit_license", 1, func(e *ledger.Event) { e.Evidence.Conflicts = []string{"path says other"} })
		}, nil},
		{"packets were lost", Attention, []string{"T1"}, func(w *world) {
			w.add(ledger.Event{Kind: "gap", Gap: &ledger.Gap{Reason: "kernel_drop", Iface: "eth0", Count: 5}})
		}, nil},
		{"no addon on an Odoo stack", Attention, []string{"T2"}, func(w *world) {
			w.call("api.example", "third_party", "", 1, func(e *ledger.Event) { e.Addon = nil })
		}, nil},
		{"another program is named by its process", AllClear, nil, func(w *world) {
			w.call("api.example", "third_party", "", 1, func(e *ledger.Event) { e.Addon, e.Process.Role = nil, "other" })
		}, nil},
		{"a bare address", Attention, []string{"T4"}, func(w *world) {
			w.call("", "third_party", "shop", 1, func(e *ledger.Event) { e.Dst.HostSource = "none" })
		}, nil},
		{"a name server's address hides nothing", AllClear, nil, func(w *world) {
			w.call("", "third_party", "shop", 1, func(e *ledger.Event) { e.Dst.HostSource, e.Channel = "none", "dns" })
		}, nil},
		{"an encrypted name", Attention, []string{"T4"}, func(w *world) {
			w.call("front.example", "third_party", "shop", 1, func(e *ledger.Event) { e.TLS = &ledger.TLS{Version: "1.3", SNI: "front.example", ECH: true} })
		}, nil},
		{"a name behind keys that DNS gave", Attention, []string{"T4"}, func(w *world) {
			w.call("front.example", "third_party", "shop", 1, func(e *ledger.Event) { e.TLS = &ledger.TLS{SNI: "front.example", ECH: true, ECHKind: "configured"} })
		}, nil},
		{"a browser's ECH without keys hides nothing", AllClear, nil, func(w *world) {
			w.call("front.example", "third_party", "shop", 1, func(e *ledger.Event) { e.TLS = &ledger.TLS{SNI: "front.example", ECH: true, ECHKind: "grease_like"} })
		}, nil},
		{"nor does ECH that the server refused", AllClear, nil, func(w *world) {
			w.call("front.example", "third_party", "shop", 1, func(e *ledger.Event) { e.TLS = &ledger.TLS{SNI: "front.example", ECH: true, ECHKind: "refused"} })
		}, nil},
		{"a disguised caller elsewhere", Attention, []string{"T7"}, func(w *world) {
			w.call("api.example", "third_party", "shop", 1, func(e *ledger.Event) { e.Evidence.Conflicts = []string{"x"} })
		}, nil},
		{"a tunnel through DNS", Attention, []string{"T9"}, func(w *world) {
			w.lookup(ledger.Zone{Name: "t.example", Queries: 500, Names: 480, Bytes: 500 * 60, Entropy: 430})
		}, nil},
		{"lookups of an honest service", AllClear, nil, func(w *world) {
			w.lookup(ledger.Zone{Name: "few.example", Queries: 500, Names: 20, Bytes: 500 * 60, Entropy: 430})
			w.lookup(ledger.Zone{Name: "words.example", Queries: 500, Names: 480, Bytes: 500 * 60, Entropy: 300})
			w.lookup(ledger.Zone{Name: "short.example", Queries: 500, Names: 480, Bytes: 500 * 10, Entropy: 430})
		}, nil},
		{"a crash", Attention, []string{"T8"}, func(w *world) { w.add(ledger.Event{Kind: "lifecycle", Rule: "recovered", Message: "x"}) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.awake()
			c.rows(w)
			change := c.change
			if change == nil {
				change = func(*Rules) {}
			}
			r := w.report(change)
			if r.Verdict != c.verdict || !slices.Equal(rulesOf(r), c.rules) {
				t.Errorf("verdict %s by %v, want %s by %v", r.Verdict, rulesOf(r), c.verdict, c.rules)
			}
			for _, f := range r.Findings {
				if f.Title == "" || f.Sentence == "" || f.Rule != "A1" && len(f.Seqs) == 0 {
					t.Errorf("finding %+v has no words or no rows", f)
				}
			}
		})
	}
}

func TestSentenceSaysWhatWasSeen(t *testing.T) {
	w := newWorld(t)
	if r := w.report(); r.Sentence != "Nothing has been recorded yet." || r.Verdict != Attention {
		t.Errorf("an empty log: %s, %q", r.Verdict, r.Sentence)
	}
	w.awake()
	if err := w.l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	later, err := Build(t.Context(), w.l, time.Now().Add(time.Hour), time.Now().Add(2*time.Hour), Rules{Install: "host", Now: time.Now().Add(2 * time.Hour)})
	if err != nil || later.Verdict != Attention || later.Sentence != "Nobody was watching in this time: nothing can be said." {
		t.Errorf("a time without rows: %s, %q, error %v", later.Verdict, later.Sentence, err)
	}
	if r := w.report(); r.Sentence != "No call went to MIT." {
		t.Errorf("no calls: %q", r.Sentence)
	}
	w.call("license.mit-odoo.de", "mit_bound", "mit_license", 5)
	if r := w.report(); !strings.HasPrefix(r.Sentence, "Every call to MIT was made by a declared") {
		t.Errorf("a declared call: %q", r.Sentence)
	}
	w.add(ledger.Event{Kind: "gap", Gap: &ledger.Gap{Reason: "kernel_drop", Count: 1}})
	if r := w.report(); !strings.HasPrefix(r.Sentence, "No undeclared data went to MIT in what was seen. 1 gap:") {
		t.Errorf("a gap: %q", r.Sentence)
	}
	w.call("sync.mit-odoo.de", "mit_bound", "mit_maildesk", 5)
	if r := w.report(); r.Sentence != "1 call to MIT was not made by a declared license component." {
		t.Errorf("an undeclared call: %q", r.Sentence)
	}
}

func TestVolumesCountEveryByteOnce(t *testing.T) {
	w := newWorld(t)
	w.awake()
	w.call("api.example", "third_party", "shop", 100, func(e *ledger.Event) { e.State, e.FlowID = "update", "long" })
	w.call("api.example", "third_party", "shop", 250, func(e *ledger.Event) {
		e.FlowID, e.HasNew, e.NewSrcBytes, e.NewDstBytes = "long", true, 150, 0
	})
	w.call("client.example", "third_party", "shop", 7, func(e *ledger.Event) { e.Direction = "inbound" })
	r := w.report()
	if got := r.Calls.ThirdParty; got.Calls != 2 || got.Out != 250+10 || got.In != 10+7 {
		t.Errorf("third parties %+v, want 2 calls, 260 out, 17 in", got)
	}
	if len(r.Modules) != 1 || r.Modules[0].Name != "shop" || r.Modules[0].Calls != 1 {
		t.Errorf("modules %+v", r.Modules)
	}
}

// TestCallThatWentOnIsJudged: a connection to MIT that was opened before the window and still sends is no less undeclared.
func TestCallThatWentOnIsJudged(t *testing.T) {
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	w, at := clocked(t, start)
	conflict := func(e *ledger.Event) { e.State, e.Evidence.Conflicts = "update", []string{"path says other"} }
	w.call("files.mit-odoo.de", "mit_bound", "mit_maildesk", 100, conflict)
	for hour := range 3 {
		at(start.Add(time.Duration(hour+1) * time.Hour))
		w.call("files.mit-odoo.de", "mit_bound", "mit_maildesk", 900, conflict, func(e *ledger.Event) { e.HasNew, e.NewSrcBytes = true, 800 })
	}
	r := w.over(start.Add(90*time.Minute), start.Add(5*time.Hour), 0)
	if r.Verdict != Alarm || r.Calls.MIT != (Volume{0, 1600, 0}) || findings(r)["A3"] != 1 || findings(r)["A5"] != 1 || !slices.Equal(r.Findings[0].Seqs, []uint64{2}) {
		t.Errorf("%s, %+v, MIT %+v", r.Verdict, r.Findings, r.Calls.MIT)
	}
	if whole := w.over(start, start.Add(5*time.Hour), 0); findings(whole)["A3"] != 1 || !slices.Equal(whole.Findings[0].Seqs, []uint64{0}) {
		t.Errorf("with its beginning: %+v", whole.Findings)
	}
}

// TestSecondUserOfADeclaredConnectionIsJudged: a connection that the license check opened hides nobody who sends over it later, also beside other undeclared calls.
func TestSecondUserOfADeclaredConnectionIsJudged(t *testing.T) {
	w := newWorld(t)
	w.awake()
	w.call("license.mit-odoo.de", "mit_bound", "mit_license", 100, func(e *ledger.Event) { e.State = "update" })
	w.call("license.mit-odoo.de", "mit_bound", "mit_maildesk", 900, func(e *ledger.Event) { e.HasNew, e.NewSrcBytes = true, 800 })
	w.call("files.mit-odoo.de", "mit_bound", "webshop", 10)
	r := w.report()
	if findings(r)["A3"] != 2 || !slices.Equal(r.Findings[0].Seqs, []uint64{2, 3}) {
		t.Errorf("%+v", r.Findings)
	}
}

func TestWordsNeverRoundAwayWhatMatters(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 65536: "66 kB", 999_499: "999 kB", 999_500: "1.0 MB", 5e18: "5.0 EB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	if got := PercentText(99.999); got != "99.9 %" {
		t.Errorf("99.999 became %q", got)
	}
	if got := Grouped(-1234567); got != "-1\u202f234\u202f567" {
		t.Errorf("grouped %q", got)
	}
}

func TestDayWithoutItsSealIsSaid(t *testing.T) {
	w := newWorld(t)
	w.awake()
	if r := w.report(); slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Rule == "T6" }) {
		t.Errorf("on the first day nothing is due: %+v", r.Findings)
	}
	overdue := func(r *Rules) { r.Now = time.Now().AddDate(0, 0, 2) }
	if r := w.report(overdue); !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Rule == "T6" }) {
		t.Errorf("two days later no seal is missed: %+v", r.Findings)
	}
	if r := w.report(overdue, func(r *Rules) { r.Install = "replay" }); slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Rule == "T6" }) {
		t.Errorf("rows from capture files want a seal: %+v", r.Findings)
	}
}

func TestNewDestinationsAreThoseThatTheSumsOfEarlierHoursDoNotKnow(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	l, err := ledger.Open(filepath.Join(t.TempDir(), "state"), ledger.Options{Create: true, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, l: l}
	call := func(at time.Time, host string) {
		t.Helper()
		now = at
		w.call(host, "third_party", "sale", 1)
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	start := now
	call(start, "long.example")
	from := start.AddDate(0, 0, 10)
	call(from.Add(-10*time.Minute), "moment.example") // in the hour in which the window begins
	for _, host := range []string{"long.example", "moment.example", "fresh.example"} {
		call(from.Add(time.Minute), host)
	}
	r, err := Build(t.Context(), l, from, from.Add(time.Hour), Rules{Install: "host", Now: from.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Rule == "T3" })
	if i < 0 || r.Findings[i].Count != 1 || !slices.Equal(r.Findings[i].Seqs, []uint64{4}) {
		t.Errorf("%+v", r.Findings)
	}
	young, err := Build(t.Context(), l, start.AddDate(0, 0, 2), start.AddDate(0, 0, 11), Rules{Install: "host", Now: from.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(young.Findings, func(f Finding) bool { return f.Rule == "T3" }) {
		t.Error("a log of two days knows what is new")
	}
}

func TestCoverageSaysWhatIsNotKnownAndWhy(t *testing.T) {
	w := newWorld(t)
	w.awake()
	w.add(ledger.Event{Kind: "gap", Iface: "eth0", End: time.Now().UnixNano(), Gap: &ledger.Gap{Reason: "kernel_drop", Iface: "eth0", Count: 12}})
	w.call("a.example", "third_party", "sale", 1)
	for _, why := range []string{"gone", "torn", "torn"} {
		w.call("b.example", "third_party", "", 1, func(e *ledger.Event) {
			e.Addon, e.Evidence = nil, &ledger.Evidence{Source: "none", Confidence: "unknown", Reason: why}
		})
	}
	r := w.report()
	a := r.Attribution
	if len(r.Gaps) != 1 || r.Gaps[0].Count != 12 || r.Gaps[0].Iface != "eth0" || r.Gaps[0].Seq != 1 {
		t.Errorf("%+v", r.Gaps)
	}
	if a.Confidence["exact"] != 1 || a.Confidence["unknown"] != 3 || len(a.Reasons) != 2 || a.Reasons[0] != (Reason{"torn", 2, 4}) {
		t.Errorf("%+v", a)
	}
}
