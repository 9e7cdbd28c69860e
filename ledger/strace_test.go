package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// careerVariable makes the test binary a writer that goes through all that a ledger does, while strace makes its system calls fail.
const careerVariable = "NETAUDIT_TEST_CAREER"

func init() {
	if dir := os.Getenv(careerVariable); dir != "" {
		if err := career(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("finished")
		os.Exit(0)
	}
}

// career begins a log (or continues a damaged one), appends, seals days, takes one away and closes. It prints what was acknowledged as soon as it is.
func career(dir string) error {
	c := &clock{day0}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // a fault that stays keeps Flush from returning
	defer cancel()
	l, err := Open(dir, Options{Create: true, Continue: true, Clock: c.read})
	if err != nil {
		return err
	}
	tell := func() {
		p := l.Checkpoint()
		fmt.Println("acknowledged", l.Origin(), p.Size, hex.EncodeToString(p.Root[:]))
	}
	tell()
	for day := range 3 {
		c.now = day0.AddDate(0, 0, day)
		for i := range 10 {
			if err := l.Append(ctx, sample(i)); err != nil {
				return err
			}
		}
		if err := l.Flush(ctx); err != nil {
			return err
		}
		tell()
	}
	if l.Recovery().Status == "created" { // else the row that records the break would go
		if _, err := l.Retain(ctx, Policy{MaxAge: 30 * time.Hour}); err != nil {
			fmt.Println("retention", err)
		}
	}
	tell()
	return l.Close()
}

// traced runs a career under strace and returns what it printed and which calls strace saw.
func traced(t *testing.T, dir string, args ...string) (out string, calls []byte) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "trace")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "strace", append(append([]string{"-f", "-qq", "-y", "-o", trace}, args...), os.Args[0])...)
	cmd.Env = append(os.Environ(), careerVariable+"="+dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("strace: %v\n%s", err, stderr.String())
	}
	calls, err = os.ReadFile(trace)
	if err != nil {
		t.Fatalf("strace left no trace: %v\n%s", err, stderr.String())
	}
	return stdout.String(), calls
}

// faultCalls are the system calls by which a ledger reaches the disk.
var faultCalls = []string{"openat", "write", "pwrite64", "fsync", "fdatasync", "msync", "pread64", "ftruncate", "renameat", "unlinkat", "mkdirat", "fallocate"}

var faultKinds = []string{"error=EIO", "error=ENOSPC", "signal=KILL"}

var called = regexp.MustCompile(`(?m)^\d+ +(\w+)\(`)

// TestEverySystemCallMayFail runs a ledger's whole career once for each of its system calls on the disk (a sample in make test, all in make soak), each time with another one of them failing or killing the process. What was
// acknowledged is there afterwards, the log was not forked, and it goes on; a log that had no row yet is begun anew.
func TestEverySystemCallMayFail(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("needs strace (make deps-test installs it)")
	}
	_, calls := traced(t, filepath.Join(t.TempDir(), "state"), "-e", "trace="+strings.Join(faultCalls, ","))
	counts := map[string]int{}
	for _, m := range called.FindAllSubmatch(calls, -1) {
		counts[string(m[1])]++
	}
	type fault struct {
		call, kind string
		when       int
	}
	var faults []fault
	for call, n := range counts {
		for when := 1; when <= n; when++ {
			for _, kind := range faultKinds {
				faults = append(faults, fault{call, kind, when})
			}
		}
	}
	all := len(faults)
	rand.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	faults = faults[:min(len(faults), faultsTried())]
	injected, outcomes := 0, map[string]int{}
	for _, f := range faults {
		dir := filepath.Join(t.TempDir(), "state")
		out, calls := traced(t, dir, "-e", "trace="+f.call, "-e", fmt.Sprintf("inject=%s:%s:when=%d", f.call, f.kind, f.when))
		if bytes.Contains(calls, []byte("(INJECTED)")) || bytes.Contains(calls, []byte("+++ killed by SIGKILL")) {
			injected++
		}
		if !t.Run(fmt.Sprintf("%s-%d-%s", f.call, f.when, f.kind), func(t *testing.T) { outcomes[afterwards(t, dir, fmt.Sprintf("%+v", f), out)]++ }) {
			t.Logf("the writer said:\n%s", out)
		}
	}
	t.Logf("%d of %d faults tried, %d of them hit (strace counts the calls of each thread): %v", len(faults), all, injected, outcomes)
	if injected == 0 {
		t.Error("no fault was injected: nothing was tested")
	}
}

// afterwards opens what a career left behind and compares it with what it printed.
func afterwards(t *testing.T, dir, what, out string) (outcome string) {
	t.Helper()
	var h history
	origin := ""
	for line := range strings.Lines(out) {
		var size uint64
		var root string
		if n, err := fmt.Sscanf(line, "acknowledged %s %d %s", &origin, &size, &root); err == nil && n == 3 {
			b, err := hex.DecodeString(root)
			if err != nil || len(b) != 32 {
				continue // the last line of a writer that was killed
			}
			h.note(size, [32]byte(b))
		}
	}
	c := &clock{day0.AddDate(0, 0, 3)}
	l, err := Open(dir, Options{Create: true, Clock: c.read})
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return ""
	}
	if origin != "" && l.Origin() != origin {
		t.Errorf("%s: the log is %s, it was %s", what, l.Origin(), origin)
	}
	h.holds(t, l)
	addRows(t, l, 2)
	closeLedger(t, l)
	if v := verify(t, dir); v.Status != Intact {
		t.Errorf("%s: %v, %+v", what, v.Status, v.Damage)
	}
	last := "killed"
	switch {
	case strings.Contains(out, "finished"):
		last = "went on"
	case strings.Contains(out, "error "):
		last = "gave up"
	}
	return last + ", next start " + l.Recovery().Status
}

// TestBreakIsRecordedThoughTheNewLogIsInterrupted kills the writer at each rename and removal while it puts a damaged log aside and begins a new one.
func TestBreakIsRecordedThoughTheNewLogIsInterrupted(t *testing.T) {
	whole := newPlace(t)
	l, err := Open(whole.dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	old := l.Origin()
	closeLedger(t, l)
	remove(t, anchorPath(whole.dir))
	interrupted := 0
	for _, call := range []string{"renameat", "unlinkat", "mkdirat"} {
		for when := 1; when <= 16; when += 1 + rand.IntN(straceStep()) {
			p := whole.copy(t)
			out, _ := traced(t, p.dir, "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, when))
			if !strings.Contains(out, "acknowledged") {
				interrupted++
			}
			l, err := Open(p.dir, Options{Create: true, Continue: true, Clock: p.clock.read})
			if err != nil {
				t.Fatalf("%s %d: %v", call, when, err)
			}
			first, err := l.Row(0)
			if err != nil {
				t.Fatalf("%s %d: %v", call, when, err)
			}
			e, err := ParseEvent(first.JSON)
			if err != nil || e.Predecessor == nil || e.Predecessor.Origin != old || l.Origin() == old {
				t.Fatalf("%s %d: first row %s", call, when, first.JSON)
			}
			closeLedger(t, l)
			if v := verify(t, p.dir); v.Status != Intact {
				t.Errorf("%s %d: %+v", call, when, v.Damage)
			}
			for _, file := range []string{"badger/MANIFEST", "anchor/genesis.json", "keys/checkpoint", "seal/2026-02-27"} {
				if _, err := os.Stat(filepath.Join(p.dir, e.Predecessor.Kept, file)); err != nil {
					t.Errorf("%s %d: of the damaged log there is no %s: %v", call, when, file, err)
				}
			}
		}
	}
	t.Logf("%d beginnings were interrupted", interrupted)
	if interrupted == 0 {
		t.Error("no beginning was interrupted: nothing was tested")
	}
}

// straceStep is how many system calls are passed over at most between two that are tried.
func straceStep() int {
	if faultsTried() > faultSample {
		return 1
	}
	return 10
}

// faultSample is how many faults make test tries; make soak sets NETAUDIT_FAULTS to as many as there are.
const faultSample = 8

func faultsTried() int {
	if n, err := strconv.Atoi(os.Getenv("NETAUDIT_FAULTS")); err == nil {
		return n
	}
	return faultSample
}
