package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"netaudit/appliance"
	"netaudit/ledger"
	"netaudit/ledger/ledgertest"
)

// rowsPerBatch is how many rows the plain file takes between two fsyncs: the size of the ledger's own batches.
const rowsPerBatch = 4096

// rowsWritten is how many rows each writer is measured with.
const rowsWritten = 50_000

// eventsPrepared is how many different events are written, over and over: more would only be memory of the bench's own.
const eventsPrepared = 5000

// producers is how many goroutines append at once where that is measured.
const producers = 64

// benchLedger writes the same rows durably into the ledger, into Tessera's POSIX log and into a plain file, and then asks a long log what readers ask.
func benchLedger(ctx context.Context, o options) ([]figure, error) {
	dir, err := os.MkdirTemp("", "netaudit-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	written, err := benchWriting(ctx, dir)
	if err != nil {
		return nil, err
	}
	if o.ledger == "" {
		o.ledger = filepath.Join(dir, "long")
	}
	if err := fillLedger(ctx, o.ledger, o.rows); err != nil {
		return nil, err
	}
	read, err := benchReading(ctx, o)
	return append(written, read...), err
}

func benchWriting(ctx context.Context, dir string) ([]figure, error) {
	events := ledgertest.New(ledgertest.Options{}).Calls(eventsPrepared)
	took := map[string]time.Duration{}
	small, done := context.WithCancel(ctx)
	defer done()
	go appliance.StaySmall(small, int64(appliance.DefaultConfig().MemoryMB)<<20) // as netaudit run does
	for _, w := range []struct {
		name string
		run  func(context.Context, string, []ledger.Event) error
	}{{"plain", writeFile}, {"tessera", writeTessera}, {"one", writeLedger(1)}, {"many", writeLedger(producers)}} {
		begin := time.Now()
		if err := w.run(ctx, filepath.Join(dir, w.name), events); err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		took[w.name] = time.Since(begin)
	}
	rate := func(name string) float64 { return rowsWritten / took[name].Seconds() }
	paced, err := askChild(ctx, "write", 2, filepath.Join(dir, "paced"))
	if err != nil {
		return nil, err
	}
	return []figure{
		{What: "ledger: durable rows, one writer", Ours: rate("one"), Rival: rate("tessera"), Who: "Tessera POSIX", Unit: "rows/s", Goal: "≥ 40000, ratio ≥ 2.5"},
		{What: "ledger: durable rows, one writer", Ours: rate("one"), Rival: rate("plain"), Who: "plain file, fsync a batch", Unit: "rows/s"},
		{What: "ledger: durable rows, 64 producers", Ours: rate("many"), Rival: rate("tessera"), Who: "Tessera POSIX", Unit: "rows/s", Goal: "≥ 40000, ratio ≥ 2.5"},
		{What: "ledger: commit at 2,000 rows/s, p50", Ours: quantile(paced.CommitMS, 0.5), Unit: "ms"},
		{What: "ledger: commit at 2,000 rows/s, p99", Ours: quantile(paced.CommitMS, 0.99), Unit: "ms", Goal: "≤ 50"},
		{What: "ledger: peak memory at 2,000 rows/s", Ours: paced.PeakMiB, Unit: "MiB", Goal: "≤ 200"},
	}, nil
}

// writeLedger appends from so many goroutines and returns when every row is durable.
func writeLedger(writers int) func(context.Context, string, []ledger.Event) error {
	return func(ctx context.Context, dir string, events []ledger.Event) error {
		l, err := ledger.Open(dir, ledger.Options{Create: true})
		if err != nil {
			return err
		}
		var group sync.WaitGroup
		errs := make([]error, writers)
		for w := range writers {
			group.Go(func() {
				for i := w; i < rowsWritten && errs[w] == nil; i += writers {
					errs[w] = l.Append(ctx, events[i%len(events)])
				}
			})
		}
		group.Wait()
		return errors.Join(append(errs, l.Flush(ctx), l.Close())...)
	}
}

func writeFile(_ context.Context, path string, events []ledger.Event) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for from := 0; from < rowsWritten; from += rowsPerBatch {
		var text []byte
		for i := from; i < min(from+rowsPerBatch, rowsWritten); i++ {
			text = append(events[i%len(events)].AppendJSON(text), '\n')
		}
		if _, err := f.Write(text); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// Pace of pacedCommits: so many rows at a time, so often, for half a minute.
const (
	pacedRows   = 100
	pacedEvery  = 50 * time.Millisecond
	pacedRounds = 600
)

// pacedCommits appends 2,000 rows a second and measures until each hundred is durable, in milliseconds.
func pacedCommits(ctx context.Context, dir string) (took []float64, err error) {
	events := ledgertest.New(ledgertest.Options{}).Calls(eventsPrepared)
	l, err := ledger.Open(dir, ledger.Options{Create: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	tick := time.NewTicker(pacedEvery)
	defer tick.Stop()
	next := 0
	for range pacedRounds {
		<-tick.C
		begin := time.Now()
		for range pacedRows {
			if err = l.Append(ctx, events[next%len(events)]); err != nil {
				return nil, err
			}
			next++
		}
		if err = l.Flush(ctx); err != nil {
			return nil, err
		}
		took = append(took, milliseconds(begin))
	}
	return took, nil
}

func quantile(values []float64, q float64) float64 {
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}
