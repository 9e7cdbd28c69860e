package pystack

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestRestLastsUntilTheThreadRunsAgain runs with the kernel's counters and without.
func TestRestLastsUntilTheThreadRunsAgain(t *testing.T) {
	t.Run("counted", restLasts)
	t.Run("counted, runs on", restEndsInSpin)
	uncountedKernel(t)
	t.Run("not counted", restLasts)
	t.Run("not counted, runs on", restEndsInSpin)
}

// uncountedKernel takes away the file that counts how often a thread is given a processor, as on a kernel without CONFIG_SCHED_INFO.
func uncountedKernel(t *testing.T) {
	t.Helper()
	schedstat = "no such file"
	t.Cleanup(func() { schedstat = "schedstat" })
}

// restEndsInSpin looks at a thread that wakes and then never leaves its processor by itself.
func restEndsInSpin(t *testing.T) {
	cmd := exec.Command("sh", "-c", "read line; while :; do :; done")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it was killed
	pid := cmd.Process.Pid
	var rest Rest
	for deadline := time.Now().Add(10 * time.Second); !rest.Lasts() && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		rest = Resting(pid, pid)
	}
	if !rest.Lasts() {
		t.Fatal("a shell that waits for input does not rest")
	}
	before := runsOf(t, pid)
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); runsOf(t, pid) == before && time.Now().Before(deadline); { // until then it waits for a processor
		time.Sleep(100 * time.Microsecond)
	}
	if rest.Lasts() {
		t.Error("the rest lasts although the thread runs")
	}
}

// runsOf is how often the only thread of a process was given a processor, as the kernel that runs this test counts.
func runsOf(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) != 3 {
		t.Fatalf("%q, %v", text, err)
	}
	return fields[2]
}

func restLasts(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() }) // it ends with its input
	echo := bufio.NewReader(out)
	say := func() {
		if _, err := io.WriteString(in, "run\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := echo.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	say()
	rest := Resting(cmd.Process.Pid, cmd.Process.Pid)
	for deadline := time.Now().Add(10 * time.Second); !rest.Lasts() && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		rest = Resting(cmd.Process.Pid, cmd.Process.Pid)
	}
	for range 2 {
		if !rest.Lasts() {
			t.Fatal("a thread that waits for input does not rest")
		}
	}
	say()
	if rest.Lasts() {
		t.Error("the rest lasts although the thread has answered")
	}
	if (Rest{}).Lasts() {
		t.Error("a rest that nobody saw begin lasts")
	}
}
