package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/schollz/progressbar/v3"

	"netaudit/appliance"
	"netaudit/attribution/party"
	"netaudit/dissect"
	"netaudit/ledger"
	"netaudit/tap"
)

type replayCommand struct {
	Files   []string `arg:"" name:"file" help:"Capture files: pcap or pcapng, also compressed by gzip, zstd or lz4; - is standard input." completion-predictor:"file"`
	State   string   `help:"Append the events to the ledger in this directory instead of printing them." placeholder:"DIR" type:"path"`
	Format  string   `help:"native: one JSON event a line; none: read and count only (for measuring)." enum:"native,none" default:"native"`
	Strict  bool     `help:"Strict redaction: paths, internal names, client addresses and user agents become keyed hashes."`
	Workers int      `help:"How many share the flows of a file, at most 5. 0: as many as there are processors, if the file is worth it. The events are the same, and in the same order. What is appended to a ledger is followed by one, and standard input too unless N says more." default:"0" placeholder:"N"`
	Parties []string `help:"Catalogue file that extends or overrides the built-in one (repeatable)." placeholder:"FILE" type:"existingfile"`
}

// Help implements kong.HelpProvider.
func (replayCommand) Help() string {
	return `Reads captures and prints one event per line on standard output. Exit status 0: all read; 1: a file is damaged or no capture
(what could be read was printed, the place and the reason are on standard error).

Examples:
  netaudit replay capture.pcapng | jq 'select(.party.class == "mit_bound")'
  tcpdump -i eth0 -w - | netaudit replay -
  netaudit replay --workers 1 capture.pcap
  netaudit replay --state ./case-17 monday.pcap.gz tuesday.pcap.gz`
}

// Validate is called before Run.
func (c *replayCommand) Validate() error {
	if c.Workers < 0 || c.Workers > dissect.Shards {
		return fmt.Errorf("--workers=%d: name 1 to %d workers, or 0 to leave it to the file", c.Workers, dissect.Shards)
	}
	return nil
}

// Run prints the events of all files, or appends them to a ledger.
func (c *replayCommand) Run(s *session) error {
	collectLate()
	parties, err := party.Load(c.Parties...)
	if err != nil {
		return err
	}
	r := &appliance.Replay{Parties: parties, Strict: c.Strict, Workers: c.Workers, Failed: tellFailure(s.stderr)}
	if c.Strict {
		if _, err := rand.Read(r.Key[:]); err != nil { // a key that stays the same would let anybody try names; with --state the ledger's is taken
			return fmt.Errorf("make a key: %w", err)
		}
	}
	done := showProgress(s, r)
	if c.State != "" {
		err = appliance.ReplayInto(s.ctx, c.State, r, c.Files)
		done()
		if err == nil {
			tellMalformed(s.stderr, r.Malformed)
			fmt.Fprintf(s.stderr, "%d packets are in the ledger %s; check it with: netaudit verify %s\n", r.Packets, c.State, c.State)
		}
		return fileDamage(err)
	}
	out := bufio.NewWriterSize(s.stdout, 1<<18)
	r.Line, r.Out = lineOf(c.Format), out
	var errs []error
	for _, path := range c.Files {
		if err := r.Run(s.ctx, path); err != nil {
			errs = append(errs, err)
		}
	}
	done()
	tellMalformed(s.stderr, r.Malformed)
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the events: %w", err)
	}
	return fileDamage(errors.Join(errs...))
}

// lateCollection is the size at which the heap is collected first, as a percentage of the 4 MiB that Go's runtime begins with: 40 MiB, which most replays never need. Collecting the
// caches while they fill costs a fifth of the time, and makes memory resident that nobody has written to.
const lateCollection = 1000

// collectLate puts the first garbage collection off. After it the heap grows as it always does. Whoever sets GOGC decides instead.
func collectLate() {
	if os.Getenv("GOGC") != "" {
		return
	}
	usual := debug.SetGCPercent(lateCollection)
	runtime.AddCleanup(new(*byte), func(percent int) { debug.SetGCPercent(percent) }, usual) // it runs once the first collection finds nobody who points there
}

// tellMalformed says what could not be read. It is no error: networks carry such packets, and their flows are kept with what is known.
func tellMalformed(w io.Writer, reasons map[string]uint64) {
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(w, "not readable: %s (%d times)\n", why, reasons[why])
	}
}

// tellFailure reports the first mistake of the program itself that a file brought to light; the others are counted.
func tellFailure(w io.Writer) func(dissect.Failure) {
	var once sync.Once
	return func(f dissect.Failure) {
		once.Do(func() {
			fmt.Fprintf(w, "A mistake in netaudit: %v\nThe packet's conversation is not read any further, all others are. Please report it with this:\n%s\n", f.Value, f.Stack)
		})
	}
}

// lineOf returns how an event is written. It costs no allocation.
func lineOf(format string) func([]byte, *ledger.Event) []byte {
	if format == "none" {
		return func(b []byte, _ *ledger.Event) []byte { return b }
	}
	return func(b []byte, e *ledger.Event) []byte { return append(e.AppendJSON(b), '\n') }
}

// fileDamage gives damaged captures exit status 1: the file was checked and is not ok.
func fileDamage(err error) error {
	var damage *tap.FileError
	if errors.As(err, &damage) {
		return &exitError{code: 1, err: err}
	}
	return err
}

// showProgress draws a bar on a terminal, for files whose size is known.
func showProgress(s *session, r *appliance.Replay) (done func()) {
	if !isTerminal(s.stderr) {
		return func() {}
	}
	var bar *progressbar.ProgressBar
	r.Progress = func(read, total uint64) {
		if total == 0 {
			return
		}
		if bar == nil {
			bar = progressbar.NewOptions64(int64(total), progressbar.OptionSetWriter(s.stderr), progressbar.OptionShowBytes(true),
				progressbar.OptionSetDescription("reading"), progressbar.OptionClearOnFinish())
		}
		_ = bar.Set64(int64(read)) // a bar that cannot be drawn is no reason to stop
	}
	return func() {
		if bar != nil {
			_ = bar.Finish()
		}
	}
}
