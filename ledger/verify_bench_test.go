package ledger

import (
	"os"
	"testing"
)

// BenchmarkVerify verifies the ledger in NETAUDIT_BENCH_DIR.
func BenchmarkVerify(b *testing.B) {
	dir := os.Getenv("NETAUDIT_BENCH_DIR")
	if dir == "" {
		b.Skip("name a ledger in NETAUDIT_BENCH_DIR")
	}
	l, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for b.Loop() {
		v, err := l.Verify(b.Context(), nil)
		if err != nil || v.Status != Intact {
			b.Fatal(v.Damage, err)
		}
		b.ReportMetric(float64(v.Size)/v.Elapsed.Seconds(), "rows/s")
	}
}
