package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"netaudit/appliance/recorder"
	"netaudit/attribution/party"
	"netaudit/dissect"
	"netaudit/ledger"
	"netaudit/tap"
)

// Replay reads capture files and hands out their events in the order in which they end. Who made a call cannot be known from
// packets alone, so the events have no process and no addon.
type Replay struct {
	Parties  *party.Catalogue         // required
	Emit     func(ledger.Event)       // required; called from Run's goroutine. With Reuse what the event points to is good until Emit returns
	Reuse    bool                     // Emit keeps nothing of an event
	Key      [32]byte                 // salt of the fingerprints, and of what strict redaction hides
	Strict   bool                     // also paths, internal names, client addresses and user agents become keyed hashes
	RunID    string                   // first part of every flow_id, default "r"
	Progress func(read, total uint64) // optional; total is 0 when unknown

	Packets, Bytes uint64            // what was read; valid after Run
	Malformed      map[string]uint64 // packets and messages that could not be read, by "layer: reason"; valid after Run
}

// progressEvery is how many packets pass between two calls of Progress.
const progressEvery = 1 << 16

// Run reads one file ("-" is standard input). A damaged file gives its readable part and a *tap.FileError.
func (r *Replay) Run(ctx context.Context, path string) error {
	source, err := tap.OpenFile(path)
	if err != nil {
		return err
	}
	runID := r.RunID
	if runID == "" {
		runID = "r"
	}
	c := recorder.Config{Parties: r.Parties, Emit: r.Emit, RunID: runID, Reuse: r.Reuse}
	if r.Strict {
		c.Strict = recorder.NewRedaction(r.Key)
	}
	rec, err := recorder.New(c)
	if err != nil {
		return errors.Join(err, source.Close())
	}
	engine := dissect.New(dissect.Config{FingerprintKey: r.Key, Names: dissect.NewNames(0), RunID: runID}, rec)
	err = r.pump(ctx, source, engine)
	engine.Close()
	for why, n := range engine.Stats().Malformed {
		if r.Malformed == nil {
			r.Malformed = map[string]uint64{}
		}
		r.Malformed[why] += n
	}
	return errors.Join(err, source.Close())
}

func (r *Replay) pump(ctx context.Context, source tap.Source, engine *dissect.Engine) error {
	var p tap.Packet
	for {
		err := source.Next(ctx, &p)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		engine.Packet(&p)
		r.Packets++
		r.Bytes += uint64(p.Length)
		if r.Progress != nil && r.Packets%progressEvery == 0 {
			s := source.Stats()
			r.Progress(s.FileBytesRead, s.FileBytesTotal)
		}
	}
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
