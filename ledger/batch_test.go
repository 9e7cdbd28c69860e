package ledger

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestATransactionIsFilledByWhatItStores: rows that compress well do not end a batch, rows that do not compress do, with whole groups.
func TestATransactionIsFilledByWhatItStores(t *testing.T) {
	const rows = 2048
	for name, test := range map[string]struct {
		message     func() string
		least, most int // transactions
	}{
		"rows alike":      {func() string { return strings.Repeat("x", 2700) }, 1, 1},
		"rows of noise":   {func() string { return noise(2700) }, 3, 5},
		"rows very short": {func() string { return "" }, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var begins []uint64
			var l *Ledger
			fault := func(step string, done bool) error {
				if l != nil && step == "store" && !done {
					begins = append(begins, l.Size())
				}
				return nil
			}
			var err error
			if l, err = Open(filepath.Join(t.TempDir(), "state"), Options{Create: true, MaxBatch: rows, MaxDelay: time.Hour, fault: fault}); err != nil {
				t.Fatal(err)
			}
			defer closeLedger(t, l)
			for range rows {
				if err := l.Append(t.Context(), Event{Kind: "lifecycle", Message: test.message()}); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(begins) < test.least || len(begins) > test.most || l.Size() != rows {
				t.Errorf("%d rows in transactions that began at %v, want %d to %d of them", l.Size(), begins, test.least, test.most)
			}
			for _, begin := range begins {
				if begin%groupRows != 0 {
					t.Errorf("a transaction ended inside a group: %v", begins)
				}
			}
		})
	}
}

// TestATransactionThatIsTooLargeIsMadeSmaller: to try the same again would never end.
func TestATransactionThatIsTooLargeIsMadeSmaller(t *testing.T) {
	l, err := Open(filepath.Join(t.TempDir(), "state"), Options{Create: true, MaxBatch: 2048, MaxDelay: time.Hour, full: 5 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer closeLedger(t, l)
	for range 2048 {
		if err := l.Append(t.Context(), Event{Kind: "lifecycle", Message: noise(2700)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.Size() != 2048+1 { // a gap row says that nothing could be written for a moment
		t.Errorf("%d rows", l.Size())
	}
	if v, err := l.Verify(t.Context(), nil); err != nil || v.Status != Intact {
		t.Errorf("%+v, %v", v.Damage, err)
	}
}
