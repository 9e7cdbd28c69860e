package pystack

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"netaudit/attribution/pystack/interpreters"
)

// python is an interpreter of this machine.
type python struct{ interpreters.Python }

// start runs a script until it has printed its first line, which is handed back. The test's end kills it.
func (p python) start(t testing.TB, script string) (pid int, line string) {
	t.Helper()
	cmd := p.Command("-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, strings.TrimSpace(line)
}

func open(t testing.TB, pid int) *Process {
	t.Helper()
	p, err := Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// settled reads the thread until its innermost function is the one named: the line printed by a script arrives before the
// script sleeps, and between the two it may wait a moment for the interpreter lock: only a rest that lasts counts.
func settled(t *testing.T, p *Process, tid int, function string) Thread {
	t.Helper()
	var th Thread
	var err error
	for range 500 {
		before, none := begin(p.pid, tid, turn{})
		time.Sleep(10 * time.Millisecond)
		th, err = p.Thread(tid)
		if err == nil && len(th.Frames) > 0 && none == nil && before.lasted() && strings.HasSuffix(th.Frames[0].Function, function) {
			return th
		}
	}
	t.Fatalf("thread %d never slept in %s: %+v, %v", tid, function, th.Frames, err)
	return th
}

// each runs a test for all interpreters of this machine.
func each(t *testing.T, test func(t *testing.T, py python)) {
	t.Helper()
	for _, py := range allPythons(t) {
		t.Run(py.String(), func(t *testing.T) { test(t, py) })
	}
}

func allPythons(t testing.TB) []python {
	t.Helper()
	var list []python
	for _, py := range interpreters.All(t) {
		list = append(list, python{py})
	}
	return list
}
