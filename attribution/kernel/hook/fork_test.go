package hook

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"netaudit/attribution/pystack"
	"netaudit/attribution/pystack/interpreters"
)

// starts is a program whose threads start others, each through a function of its own, and say which process that was.
const starts = `
import subprocess, sys, threading
said = []
source = """
def start_%d():
    p = subprocess.Popen(["/bin/true"])
    p.wait()
    said.append((p.pid, "start_%d"))
"""
for i in range(4):
    exec(source % (i, i))
print("ready", flush=True)
sys.stdin.readline()
jobs = [threading.Thread(target=globals()["start_%d" % i]) for i in range(4) for _ in range(5)]
for j in jobs: j.start()
for j in jobs: j.join()
for pid, name in said:
    print(pid, name)
print("end", flush=True)
sys.stdin.readline()
`

func TestStarterOfEveryProgramHasItsStack(t *testing.T) {
	h := attached(t)
	if err := h.NoForks(); err != nil {
		t.Fatal(err)
	}
	for _, py := range interpreters.All(t) {
		t.Run(py.String(), func(t *testing.T) {
			c := startCaller(t, py.Command("-c", starts))
			p := announced(t, h, c.pid)
			c.cue(t)
			n := 0
			for line := c.line(t); line != "end"; line = c.line(t) {
				n++
				var pid int
				var name string
				if _, err := fmt.Sscan(line, &pid, &name); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				f, ok := h.ForkOf(pid)
				if !ok || f.PID != c.pid || f.Child != pid {
					t.Errorf("process %d by %s: found %v, %+v", pid, name, ok, f)
					continue
				}
				frames, err := p.Recorded(f.Slots)
				starter := func(f pystack.Frame) bool { return f.Function == name && f.Line == 3 }
				if err != nil || !slices.ContainsFunc(frames, starter) {
					t.Errorf("process %d by %s: %v, %+v", pid, name, err, frames)
				}
			}
			if n != 20 {
				t.Errorf("%d programs, want 20", n)
			}
		})
	}
}

func TestDescendantsOfAForkAreBounded(t *testing.T) {
	s := newStore()
	slots := make([]byte, 64*pystack.SlotSize)
	const n = 3 * mostForks
	for i := range n {
		s.addFork(&Fork{Caller{PID: 1, Comm: "python3", Serial: 7, Slots: slots}, 10 + i})
	}
	if len(s.byChild) > mostForks || s.forks.len() != len(s.byChild) || s.forkSlots > mostForkSlot || s.forkSlots != s.forks.len()*len(slots) || s.byChild[9+n] == nil || s.byChild[10] != nil {
		t.Errorf("%d forks, %d queued, %d bytes", len(s.byChild), s.forks.len(), s.forkSlots)
	}
	for _, c := range []struct {
		what string
		fork Fork
		want bool
	}{
		{"another program", Fork{Caller{PID: 9 + n, Comm: "sh"}, 5}, true},
		{"a copy of the Python", Fork{Caller{PID: 9 + n, Comm: "python3"}, 5}, false},
		{"a Python whose stack could not be recorded", Fork{Caller{PID: 9 + n, Comm: "x", Serial: 8, Reason: "busy"}, 5}, false},
		{"a stranger", Fork{Caller{PID: 4, Comm: "sh"}, 5}, false},
	} {
		s.addFork(&c.fork)
		if (s.byChild[5] != nil) != c.want {
			t.Errorf("the child of %s: %s", c.what, strconv.FormatBool(!c.want))
		}
	}
}
