package ledger

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestATransactionIsFilledByWhatItStores: rows that compress well do not end a batch, rows that do not compress do, with whole groups.
func TestATransactionIsFilledByWhatItStores(t *testing.T) {
	salt := "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
	random := func(seed uint64) string {
		var b strings.Builder
		for range 2700 {
			seed = seed*6364136223846793005 + 1442695040888963407
			b.WriteByte(salt[seed>>58])
		}
		return b.String()
	}
	const rows = 2048
	for name, test := range map[string]struct {
		message     func(i int) string
		least, most int // transactions
	}{
		"rows alike":      {func(int) string { return strings.Repeat("x", 2700) }, 1, 1},
		"rows of noise":   {func(i int) string { return random(uint64(i)) }, 3, 5},
		"rows very short": {func(int) string { return "" }, 1, 1},
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
			for i := range rows {
				if err := l.Append(t.Context(), Event{Kind: "lifecycle", Message: test.message(i)}); err != nil {
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
