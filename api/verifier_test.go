package api

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netaudit/ledger"
	"netaudit/ledger/ledgertest"
	"netaudit/ledger/report"
)

// changedBehindItsBack is a ledger in which an old row was changed after everything had been verified and recorded.
func changedBehindItsBack(t *testing.T) *ledger.Ledger {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	open := func() *ledger.Ledger {
		l, err := ledger.Open(dir, ledger.Options{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open()
	for range 1500 {
		if err := l.Append(t.Context(), ledger.Event{Kind: "config", Message: "something"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, err := NewVerifier(l).Verify(t.Context()); err != nil || v.Status != ledger.Intact {
		t.Fatalf("%+v, %v", v.Damage, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	err := ledgertest.ChangeRows(dir, func(stored []byte) ([]byte, bool) {
		first, rest, found := bytes.Cut(stored, []byte(`"v":1}`))
		return bytes.Join([][]byte{first, rest}, []byte(`"v";1}`)), found
	})
	if err != nil {
		t.Fatal(err)
	}
	return open()
}

func TestSelfCheckWritesDownWhatItFindsAndDoesNotForgetIt(t *testing.T) {
	l := changedBehindItsBack(t)
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	v := NewVerifier(l)
	if got, err := v.VerifyNew(t.Context()); err != nil || got.Status != ledger.Intact || got.From != 1500 {
		t.Fatalf("what came since is sound: %v from %d, %+v, %v", got.Status, got.From, got.Damage, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); v.Run(ctx, slog.New(slog.DiscardHandler)) }()
	deadline := time.After(time.Minute)
	for l.Size() == 1500 {
		select {
		case <-deadline:
			t.Fatal("the walk through the log writes nothing about the changed row")
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
	<-done
	row, err := l.Row(1500)
	if err != nil || !strings.Contains(string(row.JSON), `"kind":"finding"`) || !strings.Contains(string(row.JSON), "row 0") {
		t.Errorf("%s, %v", row.JSON, err)
	}
	if v.Damage() == "" || v.Last().Status != ledger.Tampered || v.Walk().Ended.IsZero() {
		t.Errorf("%q, %v, %+v", v.Damage(), v.Last().Status, v.Walk())
	}
	if got, err := v.VerifyNew(t.Context()); err != nil || got.Status != ledger.Tampered {
		t.Errorf("a later look at new rows forgets the damage: %v, %v", got.Status, err)
	}
	r, err := report.Build(t.Context(), l, time.Now().Add(-time.Hour), time.Now().Add(time.Second), report.Rules{Install: "replay"})   // as after a new start, without the verifier
	if err != nil || r.Verdict != report.Alarm || r.Findings[0].Rule != "A1" || !slices.Equal(r.Findings[0].Seqs, []uint64{0, 1500}) { // the row that cannot be read, and the finding
		t.Errorf("%+v, %v", r.Findings, err)
	}
}
