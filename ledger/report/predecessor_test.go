package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netaudit/ledger"
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
