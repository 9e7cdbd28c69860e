package appliance

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"netaudit/attribution/party"
	"netaudit/ledger"
)

// BenchmarkReplay replays the captures in NETAUDIT_BENCH_CAPTURES, one after the other; make profile learns from it which way through the program is the usual one.
func BenchmarkReplay(b *testing.B) {
	files, err := filepath.Glob(filepath.Join(os.Getenv("NETAUDIT_BENCH_CAPTURES"), "*.pcap"))
	if err != nil || os.Getenv("NETAUDIT_BENCH_CAPTURES") == "" {
		b.Skip("name a directory with captures in NETAUDIT_BENCH_CAPTURES")
	}
	parties, err := party.Load()
	if err != nil {
		b.Fatal(err)
	}
	r := Replay{Parties: parties, Workers: 1, Out: io.Discard, Line: func(line []byte, e *ledger.Event) []byte { return append(e.AppendJSON(line), '\n') }}
	for b.Loop() {
		for _, file := range files {
			if err := r.Run(b.Context(), file); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(r.Packets), "ns/packet")
}
