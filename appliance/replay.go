package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"netaudit/attribution/party"
	"netaudit/dissect"
	"netaudit/ledger"
)

// Replay reads capture files and hands out their events in the order in which they end, the same however many workers there are. Who made a call cannot be known from
// packets alone, so the events have no process and no addon.
type Replay struct {
	Parties *party.Catalogue // required

	// One of the two is required. Emit is called from Run's goroutine, and one worker does all. Line appends what Out gets of an event; workers call it at the same time, and keep nothing of the event.
	Emit func(ledger.Event)
	Line func(b []byte, e *ledger.Event) []byte
	Out  io.Writer

	Workers  int                      // that share the flows of a file; 0: as many as there are processors, if they have something to share
	Key      [32]byte                 // salt of the fingerprints, and of what strict redaction hides
	Strict   bool                     // also paths, internal names, client addresses and user agents become keyed hashes
	RunID    string                   // first part of every flow_id, default "r"
	Progress func(read, total uint64) // optional, called from one goroutine; total is 0 when unknown
	Failed   func(dissect.Failure)    // told of panics that are survived, by several goroutines; nil: none is

	Packets, Bytes uint64            // what was read; valid after Run
	Malformed      map[string]uint64 // packets and messages that could not be read, by "layer: reason"; valid after Run
}

// progressEvery is how many packets pass between two calls of Progress.
const progressEvery = 1 << 16

// Run reads one file ("-" is standard input). A damaged file gives its readable part and a *tap.FileError.
func (r *Replay) Run(ctx context.Context, path string) error {
	workers, owner := r.share(ctx, path)
	t, err := r.newTeam(workers, owner)
	if err != nil {
		return err
	}
	err = t.run(ctx, path)
	r.Packets += t.packets
	r.Bytes += t.bytes
	for _, w := range t.workers {
		for why, n := range w.engine.Stats().Malformed {
			if r.Malformed == nil {
				r.Malformed = map[string]uint64{}
			}
			r.Malformed[why] += n
		}
	}
	return err
}

// ReplayInto appends the events of capture files to the ledger in dir, which is made if it is not there. It returns the
// first error about a file after the others have been read, so that one damaged capture does not hide the rest.
func ReplayInto(ctx context.Context, dir string, r *Replay, paths []string) error {
	l, err := ledger.Open(dir, ledger.Options{Create: true})
	if err != nil {
		return err
	}
	if r.Key, err = fingerprintKey(dir); err != nil {
		return errors.Join(err, l.Close())
	}
	var appendErr error
	r.Emit = func(e ledger.Event) {
		if appendErr == nil {
			appendErr = l.Append(ctx, e)
		}
	}
	start := l.Size()
	var errs []error
	for i, path := range paths {
		r.RunID = "r" + strconv.FormatUint(start, 36) + "." + strconv.Itoa(i)
		if err := r.Run(ctx, path); err != nil {
			errs = append(errs, fmt.Errorf("replay %s: %w", filepath.Base(path), err))
		}
		if appendErr != nil {
			errs = append(errs, fmt.Errorf("append to the ledger: %w", appendErr))
			break
		}
	}
	return errors.Join(errors.Join(errs...), l.Close())
}

// InstallOf is the kind of installation whose rows a ledger holds: that of its newest heartbeat, InstallReplay when it has none.
func InstallOf(ctx context.Context, l *ledger.Ledger) (string, error) {
	install := InstallReplay
	_, err := l.Search(ctx, ledger.Query{Kind: "heartbeat", Backward: true}, func(_ ledger.Row, e *ledger.Event) bool {
		if e.Heartbeat != nil && e.Heartbeat.Install != "" {
			install = e.Heartbeat.Install
		}
		return install == InstallReplay
	})
	if err != nil {
		return "", fmt.Errorf("find the kind of installation: %w", err)
	}
	return install, nil
}
