package resolve

import (
	"bytes"
	"log/slog"
	"os/exec"
	"testing"

	"netaudit/attribution/kernel"
	"netaudit/attribution/kernel/hook"
)

// TestProcessThatEndedIsNoWarning tells of the fork of a process when that is over already, as the kernel does of those that end at once.
func TestProcessThatEndedIsNoWarning(t *testing.T) {
	needRoot(t)
	h, err := hook.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var log bytes.Buffer
	r, err := New(Config{Hook: h, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer r.stacks.close()
	var both []kernel.Process
	for range 2 {
		cmd := exec.Command("/usr/bin/python3", "-c", "print(flush=True); input()")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		p, err := kernel.Describe(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, p)
		end := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() } // it was killed
		if len(both) == 2 {
			end()
		} else {
			defer end()
		}
	}
	if _, _, err := r.stacks.get(both[0]); err != nil {
		t.Fatal(err)
	}
	r.stacks.forked(both[0].PID, both[1])
	if n := r.Stats().EndedEarly; n != 1 || log.Len() != 0 {
		t.Errorf("%d ended early, want 1; log %q", n, log.String())
	}
}
