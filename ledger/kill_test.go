package ledger

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// writerVariable makes the test binary a writer that is going to be killed: see TestMain's init below.
const writerVariable = "NETAUDIT_TEST_WRITER"

func init() {
	if dir := os.Getenv(writerVariable); dir != "" {
		os.Exit(writeUntilKilled(dir))
	}
}

// writeUntilKilled appends rows and prints how many are acknowledged, each time they are.
func writeUntilKilled(dir string) int {
	l, err := Open(dir, Options{Create: true})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	fmt.Println("recovery", l.Recovery().Status)
	for i := 0; ; i++ {
		if err := l.Append(context.Background(), sample(int(l.Size())+i)); err != nil {
			fmt.Println("error", err)
			return 1
		}
		if i%17 == 0 {
			if err := l.Flush(context.Background()); err != nil {
				fmt.Println("error", err)
				return 1
			}
			fmt.Println("acknowledged", l.Size())
		}
	}
}

// killRounds is how often the writer is killed in make test; make soak sets NETAUDIT_KILL_ROUNDS.
func killRounds() int {
	if n, err := strconv.Atoi(os.Getenv("NETAUDIT_KILL_ROUNDS")); err == nil {
		return n
	}
	return 12
}

// TestKilledWriterLosesNoAcknowledgedRow kills a real process with SIGKILL at random moments, again and again on the same ledger.
func TestKilledWriterLosesNoAcknowledgedRow(t *testing.T) {
	dir, temporary := filepath.Join(t.TempDir(), "state"), t.TempDir()
	t.Setenv("TMPDIR", temporary)
	var acknowledged uint64
	for round := range killRounds() {
		after := time.Duration(rand.IntN(120)) * time.Millisecond
		if n := writeAndKill(t, dir, after); n > acknowledged {
			acknowledged = n
		}
		v := verify(t, dir)
		if acknowledged > 0 && (v.Status != Intact || v.Size < acknowledged) {
			t.Fatalf("round %d, killed after %v: %v with %d rows, %d were acknowledged; damage %+v", round, after, v.Status, v.Size, acknowledged, v.Damage)
		}
	}
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	next := uint64(0)
	err = l.Rows(t.Context(), 0, func(r Row) bool {
		if r.Seq != next {
			t.Errorf("row %d stands where %d should", r.Seq, next)
		}
		next++
		return true
	})
	if err != nil || next < acknowledged {
		t.Errorf("%d rows, %d were acknowledged, error %v", next, acknowledged, err)
	}
	if acknowledged == 0 {
		t.Error("the writer never acknowledged a row: nothing was tested")
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("the writer left files, perhaps keys, in the system's temporary directory: %v, %v", left, err)
	}
	t.Logf("%d rows, %d acknowledged at the last kill", next, acknowledged)
}

// writeAndKill lets a writer work for a while after its first acknowledgement and returns the last number that it printed.
func writeAndKill(t *testing.T, dir string, after time.Duration) (acknowledged uint64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), writerVariable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(out)
	killed := false
	for in.Scan() {
		word, rest, _ := strings.Cut(in.Text(), " ")
		switch word {
		case "acknowledged":
			if acknowledged, err = strconv.ParseUint(rest, 10, 64); err != nil {
				t.Fatal(err)
			}
		case "error":
			t.Errorf("the writer failed: %s", rest)
		}
		if !killed {
			killed = true
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait() // it was killed
	return acknowledged
}
