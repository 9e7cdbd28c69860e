package report

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netaudit/ledger"
	"netaudit/ledger/ledgertest"
)

// TestLogThatFollowsADamagedOneIsAnAlarmUntilItIsAcknowledged damages a real log and looks at the one that follows, over windows with and without its first row.
func TestLogThatFollowsADamagedOneIsAnAlarmUntilItIsAcknowledged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l, err := ledger.Open(dir, ledger.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	old := l.Origin()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "keys", "checkpoint")); err != nil {
		t.Fatal(err)
	}
	if l, err = ledger.Open(dir, ledger.Options{Continue: true}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	row, err := l.Row(0)
	if err != nil {
		t.Fatal(err)
	}
	first, err := ledger.ParseEvent(row.JSON)
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []time.Duration{-time.Hour, time.Hour} {
		for _, c := range []struct {
			acknowledged []string
			alarm        bool
		}{{nil, true}, {[]string{"netaudit/another"}, true}, {[]string{old}, false}, {[]string{"x", first.Predecessor.Kept}, false}} {
			begin := time.Now().Add(from)
			r, err := Build(t.Context(), l, begin, begin.Add(2*time.Hour), Rules{Install: "host", Acknowledged: c.acknowledged})
			if err != nil {
				t.Fatal(err)
			}
			alarm := r.Verdict == Alarm && r.Findings[0].Rule == "A1" && strings.Contains(r.Sentence, old) && len(r.Findings[0].Seqs) == 1
			if alarm != c.alarm {
				t.Errorf("acknowledged %q: %s, %q", c.acknowledged, r.Verdict, r.Sentence)
			}
		}
	}
}

// TestRetentionDoesNotForgetADamagedLog takes every day away up to the present one, twice, and looks whether the alarm about the log before stays.
func TestRetentionDoesNotForgetADamagedLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	open := func(o ledger.Options) *ledger.Ledger {
		t.Helper()
		o.Clock = func() time.Time { return now }
		l, err := ledger.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open(ledger.Options{Create: true})
	old := l.Origin()
	if err := errors.Join(l.Close(), os.Remove(filepath.Join(dir, "keys", "checkpoint"))); err != nil {
		t.Fatal(err)
	}
	l = open(ledger.Options{Continue: true})
	for range 2 {
		now = now.AddDate(0, 0, 3)
		if err := errors.Join(l.Append(t.Context(), ledger.Event{Kind: "lifecycle", Rule: "start", Start: now.UnixNano()}), l.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
		if done, err := l.Retain(t.Context(), ledger.Policy{MaxAge: 24 * time.Hour}); err != nil || done.Days == 0 {
			t.Fatalf("%+v, %v", done, err)
		}
		if _, err := l.Row(0); !errors.Is(err, ledger.ErrWithheld) {
			t.Fatalf("row 0: %v", err)
		}
		r, err := Build(t.Context(), l, now.Add(-time.Hour), now.Add(time.Hour), Rules{Install: "host", Now: now})
		if err != nil || r.Verdict != Alarm || r.Findings[0].Rule != "A1" || !strings.Contains(r.Sentence, old) || r.Findings[0].Seqs[0] != l.Size()-1 {
			t.Errorf("%v, %q, %+v, %v", r.Verdict, r.Sentence, r.Findings, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestMissingFirstRowIsAnAlarm takes the row away that would speak of a damaged log before.
func TestMissingFirstRowIsAnAlarm(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l, err := ledger.Open(dir, ledger.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 600 { // more than the newest rows that are read again at a start
		if err := l.Append(t.Context(), ledger.Event{Kind: "lifecycle", Rule: "start", Start: time.Now().UnixNano()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ledgertest.ChangeRows(dir, func([]byte) ([]byte, bool) { return nil, true }); err != nil {
		t.Fatal(err)
	}
	if l, err = ledger.Open(dir, ledger.Options{}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	now := time.Now().Add(time.Hour)
	r, err := Build(t.Context(), l, now, now.Add(time.Hour), Rules{Install: "host"})
	if err != nil || r.Verdict != Alarm || !strings.Contains(r.Sentence, "The log is damaged at row 0") {
		t.Errorf("%v, %q, %v", r.Verdict, r.Sentence, err)
	}
}
