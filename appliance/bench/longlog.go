package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"netaudit/appliance"
	"netaudit/ledger"
	"netaudit/ledger/ledgertest"
	"netaudit/ledger/report"
)

// fillLedger makes a log of about so many rows, with progress on standard error, unless the directory has one.
func fillLedger(ctx context.Context, dir string, rows int) error {
	if _, err := os.Stat(filepath.Join(dir, "anchor", "checkpoint")); err == nil {
		fmt.Fprintf(os.Stderr, "%s has a log already\n", dir)
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	shown := make(chan struct{})
	go func() { defer close(shown); showFilling(ctx, dir, rows) }()
	calls := rows * 5 / 8 // with lookups, requests and heartbeats a call is 1.6 rows
	l, _, err := ledgertest.Open(ctx, dir, ledgertest.Options{Days: 30, Calls: calls})
	if err == nil {
		err = l.Close()
	}
	cancel()
	<-shown
	return err
}

func showFilling(ctx context.Context, dir string, rows int) {
	begin, tick := time.Now(), time.NewTicker(2*time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(os.Stderr)
			return
		case <-tick.C:
		}
		text, err := os.ReadFile(filepath.Join(dir, "anchor", "checkpoint"))
		lines := bytes.Split(text, []byte("\n"))
		if err != nil || len(lines) < 2 {
			continue
		}
		if n, err := strconv.Atoi(string(lines[1])); err == nil {
			fmt.Fprintf(os.Stderr, "\rgenerated %d of about %d rows, %.0f rows/s ", n, rows, float64(n)/time.Since(begin).Seconds())
		}
	}
}

// asked is what a process says that opened the long log and asked it one thing.
type asked struct {
	Rows       uint64
	OpenMS     float64
	Memory     resident
	VerifyRate float64
	PagesMS    []float64
	ReportMS   []float64
	Pages      []loadedPage
	CommitMS   []float64
	PeakMiB    float64
}

// askVariable tells a child process what to ask which log: "verify 2 DIR", "read 2 DIR" or "write 2 DIR"; the number is that of the cores.
const askVariable = "NETAUDIT_BENCH_ASK"

// maybeAsk does the work of a child process. Each question has a process of its own, so that memory and cores are its own.
func maybeAsk() {
	what := strings.SplitN(os.Getenv(askVariable), " ", 3)
	if len(what) != 3 {
		return
	}
	cores, err := strconv.Atoi(what[1])
	if err == nil {
		runtime.GOMAXPROCS(cores)
		ctx, done := context.WithCancel(context.Background())
		defer done()
		go appliance.StaySmall(ctx, int64(appliance.DefaultConfig().MemoryMB)<<20) // as netaudit run does
		var a asked
		if a, err = ask(ctx, what[0], what[2]); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(a)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func ask(ctx context.Context, what, dir string) (a asked, err error) {
	if what == "write" {
		if a.CommitMS, err = pacedCommits(ctx, dir); err == nil {
			var kib int64
			kib, err = peakKiB(os.Getpid())
			a.PeakMiB = float64(kib) / 1024
		}
		return a, err
	}
	return askLog(ctx, what, dir)
}

func askLog(ctx context.Context, what, dir string) (a asked, err error) {
	begin := time.Now()
	l, err := ledger.Open(dir, ledger.Options{})
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	a.OpenMS, a.Rows = milliseconds(begin), l.Size()
	if what == "verify" {
		v, err := l.Verify(ctx, nil)
		if err != nil || v.Status != ledger.Intact {
			return a, fmt.Errorf("verify: %v %+v, %w", v.Status, v.Damage, err)
		}
		a.VerifyRate = float64(v.Size) / v.Elapsed.Seconds()
		a.Memory, err = residentMemory()
		return a, err
	}
	if a.PagesMS, err = firstPages(ctx, l); err != nil {
		return a, err
	}
	if a.ReportMS, err = reports(ctx, l); err != nil {
		return a, err
	}
	if a.Memory, err = residentMemory(); err != nil {
		return a, err
	}
	now, err := newest(l)
	if err != nil {
		return a, err
	}
	a.Pages, err = loadPages(ctx, l, now)
	return a, err
}

// newest is when the newest row was logged.
func newest(l *ledger.Ledger) (time.Time, error) {
	row, err := l.Row(l.Size() - 1)
	if err != nil {
		return time.Time{}, err
	}
	e, err := ledger.ParseEvent(row.JSON)
	return time.Unix(0, e.Logged), err
}

func milliseconds(since time.Time) float64 { return time.Since(since).Seconds() * 1000 }

// firstPages asks for the newest fifty rows of every filter, alone and together, also of values that are nowhere.
func firstPages(ctx context.Context, l *ledger.Ledger) (took []float64, err error) {
	queries := []ledger.Query{
		{},
		{Kind: "flow"},
		{Kind: "gap"},
		{Kind: "flow", NotChannel: "dns"},
		{Channel: "https"},
		{Channel: "smtp"},
		{Channel: "nowhere"},
		{Party: "mit_bound"},
		{Party: "third_party"},
		{Addon: "mit_license"},
		{Addon: "nowhere"},
		{Dest: "license.mit-odoo.de"},
		{Dest: "nowhere.example"},
		{Process: "odoo"},
		{Process: "nowhere"},
		{State: "update"},
		{Direction: "inbound"},
		{Kind: "flow", Party: "mit_bound", Channel: "https", Direction: "outbound"},
		{Kind: "dns", Party: "mit_bound"},
		{Name: "mit"},
		{Name: "nowhere"},
		{Text: "license"},
		{Text: "stands nowhere"},
	}
	const rounds, page = 10, 50
	for range rounds {
		for _, q := range queries {
			q.Backward = true
			n, begin := 0, time.Now()
			if _, err := l.Search(ctx, q, func(ledger.Row, *ledger.Event) bool { n++; return n < page }); err != nil {
				return nil, err
			}
			took = append(took, milliseconds(begin))
		}
	}
	return took, nil
}

// reports builds the Trust Report over the last day of the log: the first time, and again.
func reports(ctx context.Context, l *ledger.Ledger) (took []float64, err error) {
	at, err := newest(l)
	if err != nil {
		return nil, err
	}
	to := at.Add(1)
	for range 5 {
		begin := time.Now()
		if _, err := report.Build(ctx, l, to.Add(-24*time.Hour), to, report.Rules{Install: "host", Now: to, LicenseAddons: []string{"mit_license"}}); err != nil {
			return nil, err
		}
		took = append(took, milliseconds(begin))
	}
	return took, nil
}

// resident is what the kernel counts as memory of this process, in MiB.
type resident struct {
	All  float64
	File float64 // of All: mapped from files, the program itself among them
}

// residentMemory reads it from proc_pid_statm(5).
func residentMemory() (r resident, err error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return r, err
	}
	var pages, all, file int
	if _, err = fmt.Sscan(string(text), &pages, &all, &file); err != nil {
		return r, fmt.Errorf("read how much memory this process has: %w", err)
	}
	mib := func(pages int) float64 { return float64(pages*os.Getpagesize()) / (1 << 20) }
	return resident{All: mib(all), File: mib(file)}, nil
}

func askChild(ctx context.Context, what string, cores int, dir string) (a asked, err error) {
	self, err := os.Executable()
	if err != nil {
		return a, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", askVariable, what, cores, dir))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return a, fmt.Errorf("%s: %w", what, err)
	}
	return a, json.Unmarshal(out, &a)
}

// benchReading asks a long log what readers ask.
func benchReading(ctx context.Context, o options) ([]figure, error) {
	one, err := askChild(ctx, "verify", 1, o.ledger)
	if err != nil {
		return nil, err
	}
	two, err := askChild(ctx, "verify", 2, o.ledger)
	if err != nil {
		return nil, err
	}
	read, err := askChild(ctx, "read", 2, o.ledger)
	if err != nil {
		return nil, err
	}
	bytes, err := bytesOf(filepath.Join(o.ledger, "badger"))
	if err != nil {
		return nil, err
	}
	first, later := func(p loadedPage) float64 { return p.FirstMS }, func(p loadedPage) float64 { return p.MS }
	once, again := slowest(read.Pages, first), slowest(read.Pages, later)
	name := func(what string) string { return fmt.Sprintf("ledger of %d rows: %s", read.Rows, what) }
	return []figure{
		{What: name("on disk with its index"), Ours: float64(bytes) / float64(read.Rows), Unit: "B/row", Goal: "≤ 250"},
		{What: name("verify, one core"), Ours: one.VerifyRate, Unit: "rows/s"},
		{What: name("verify, two cores"), Ours: two.VerifyRate, Rival: one.VerifyRate, Who: "one core", Unit: "rows/s", Goal: "≥ 300000"},
		{What: name("first page of a filter, p50"), Ours: quantile(read.PagesMS, 0.5), Unit: "ms"},
		{What: name("first page of a filter, p99"), Ours: quantile(read.PagesMS, 0.99), Unit: "ms", Goal: "≤ 20"},
		{What: name("Trust Report of a day, first"), Ours: read.ReportMS[0], Unit: "ms"},
		{What: name("Trust Report of a day, median"), Ours: quantile(read.ReportMS, 0.5), Unit: "ms", Goal: "≤ 50"},
		{What: name("slowest page the first time (" + once.Path + ")"), Ours: once.FirstMS, Unit: "ms"},
		{What: name("slowest page later (" + again.Path + ")"), Ours: again.MS, Unit: "ms", Goal: "≤ 100"},
		{What: name("start"), Ours: read.OpenMS, Unit: "ms", Goal: "≤ 2000"},
		{What: name("memory after that"), Ours: read.Memory.All, Unit: "MiB", Goal: "≤ 200"},
		{What: name("… of it mapped from files"), Ours: read.Memory.File, Unit: "MiB"},
		{What: name("memory after verifying, two cores"), Ours: two.Memory.All, Unit: "MiB", Goal: "≤ 200"},
	}, nil
}

// bytesOf adds up what a directory's files occupy.
func bytesOf(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if st, ok := info.Sys().(*syscall.Stat_t); err == nil && ok {
			sum += st.Blocks * 512 // stat(2)
		}
		return err
	})
	return sum, err
}
