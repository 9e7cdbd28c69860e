package kernel

import (
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root; CI must run as root")
	}
	t.Skip("needs root: run make test")
}

func TestBeginningProgramAndEndOfProcessesAreTold(t *testing.T) {
	needRoot(t)
	e, err := WatchProcesses()
	if err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("sh", "-c", "sleep 0 & wait; exec sleep 0")
	if err := shell.Run(); err != nil {
		t.Fatal(err)
	}
	pid := shell.Process.Pid
	timer := time.AfterFunc(time.Minute, func() { _ = e.Close() }) // a test that hangs tells less
	defer timer.Stop()
	var child int
	want := []ProcessEvent{{ProcessForked, pid, os.Getpid()}, {ProcessExeced, pid, 0}, {ProcessForked, -1, pid}, {ProcessExeced, -1, 0}, {ProcessExited, -1, 0}, {ProcessExeced, pid, 0}, {ProcessExited, pid, 0}}
	for len(want) > 0 {
		got, err := e.Next()
		if err != nil {
			t.Fatalf("%v; still to come: %+v", err, want)
		}
		if got.Parent == pid && got.Kind == ProcessForked {
			child = got.PID
			for i := range want {
				if want[i].PID == -1 {
					want[i].PID = child
				}
			}
		}
		if got == want[0] {
			want = want[1:]
		}
	}
	if child == 0 {
		t.Error("the shell's child was not told")
	}
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := e.Next(); err != nil {
				ended <- err
				return
			}
		}
	}()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func FuzzProcessEvents(f *testing.F) {
	m := make([]byte, idsAt+24)
	m[0], m[eventAt] = byte(len(m)), byte(ProcessForked)
	f.Add(m)
	f.Add(append(append([]byte(nil), m...), m[:20]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if list := parseProcessEvents(b, nil); len(list) > len(b)/netlinkHeader {
			t.Errorf("%d events of %d bytes", len(list), len(b))
		}
	})
}
