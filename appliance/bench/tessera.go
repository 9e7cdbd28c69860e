package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"netaudit/ledger"
)

// writeTessera appends the same rows to Tessera's log on a file system, with its batches as large as ours, and returns when every row has its index: that is when it is durable.
func writeTessera(ctx context.Context, dir string, events []ledger.Event) error {
	skey, _, err := note.GenerateKey(rand.Reader, "bench.example/log")
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return err
	}
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return fmt.Errorf("begin a log: %w", err)
	}
	o := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithBatching(rowsPerBatch, 250*time.Millisecond).WithPushback(rowsWritten + 1)
	log, stop, _, err := tessera.NewAppender(ctx, driver, o)
	if err != nil {
		return fmt.Errorf("begin a log: %w", err)
	}
	futures := make([]tessera.IndexFuture, 0, rowsWritten)
	for i := range rowsWritten {
		e := events[i%len(events)]
		e.Seq = uint64(i)
		futures = append(futures, log.Add(ctx, tessera.NewEntry(e.AppendJSON(nil))))
	}
	for _, f := range futures {
		if _, err := f(); err != nil {
			return errors.Join(fmt.Errorf("append: %w", err), stop(ctx))
		}
	}
	return stop(ctx)
}
