package pystack

import (
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// workload is a program that calls and returns all the time, and what its stacks can be.
type workload struct {
	name    string
	script  string
	root    map[string]bool           // functions that may be outermost
	calls   map[string]map[string]int // caller → callee → the caller's line while it runs
	deepest int                       // frames
}

var workloads = []workload{
	{
		name:   "recursion",
		script: "\ndef ping(n): return pong(n - 1) if n else 0\ndef pong(n): return ping(n - 1) if n else 0\nprint('ready', flush=True)\nwhile True: ping(20)\n",
		root:   map[string]bool{"<module>": true}, deepest: 22,
		calls: map[string]map[string]int{"<module>": {"ping": 5}, "ping": {"pong": 2}, "pong": {"ping": 3}},
	},
	{
		name: "threads",
		script: "import threading\ndef ping(n): return pong(n - 1) if n else 0\ndef pong(n): return ping(n - 1) if n else 0\n" +
			"def work():\n    while True: ping(20)\nfor _ in range(3): threading.Thread(target=work, daemon=True).start()\nprint('ready', flush=True)\nwork()\n",
		root: map[string]bool{"<module>": true, "_bootstrap": true}, deepest: 30,
		calls: map[string]map[string]int{
			"<module>": {"work": 8}, "work": {"ping": 5}, "ping": {"pong": 2}, "pong": {"ping": 3},
			"_bootstrap": {"_bootstrap_inner": 0}, "_bootstrap_inner": {"run": 0}, "run": {"work": 0},
		},
	},
	{
		name: "generators",
		script: "\ndef leaf(n): return n\ndef walk(n):\n    if n: yield from walk(n - 1)\n    yield leaf(n)\ndef drive():\n    for _ in walk(12): pass\n" +
			"print('ready', flush=True)\nwhile True: drive()\n",
		root: map[string]bool{"<module>": true}, deepest: 17,
		calls: map[string]map[string]int{"<module>": {"drive": 9}, "drive": {"walk": 7}, "walk": {"walk": 4, "leaf": 5}},
	},
	{
		name: "callbacks from C",
		script: "\ndef ping(n): return pong(n - 1) if n else 0\ndef pong(n): return ping(n - 1) if n else 0\ndef key(x): return ping(6)\n" +
			"print('ready', flush=True)\nwhile True: sorted([3, 1, 2], key=key)\n",
		root: map[string]bool{"<module>": true}, deepest: 10,
		calls: map[string]map[string]int{"<module>": {"key": 6}, "key": {"ping": 4}, "ping": {"pong": 2}, "pong": {"ping": 3}},
	},
	{
		// Its pauses are short and long, so that a machine of any speed both meets stacks that change and stacks that stand. They are drawn before: random.choice has frames of its own.
		name:   "deep",
		script: "import itertools, random, time; pauses = itertools.cycle(random.choices([0.002] * 100 + [0.05] * 8 + [1], k=9973))\ndef down(n):\n    if n: return down(n - 1)\n    time.sleep(next(pauses))\nprint('ready', flush=True)\nwhile True: down(500)\n",
		root:   map[string]bool{"<module>": true}, deepest: 502,
		calls: map[string]map[string]int{"<module>": {"down": 6}, "down": {"down": 3}},
	},
}

// samples is how often a workload is looked at; make soak sets NETAUDIT_SAMPLES.
func samples(t *testing.T) int {
	t.Helper()
	text := os.Getenv("NETAUDIT_SAMPLES")
	if text == "" {
		return 100
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Sampling a thread that calls and returns all the time may give up, but a stack that is returned must be one that the program can have, with every line right.
func TestBusyThreadsAreNeverReportedWrong(t *testing.T) {
	for _, w := range workloads {
		t.Run(w.name, func(t *testing.T) {
			each(t, func(t *testing.T, py python) { w.sample(t, py, samples(t)) })
		})
	}
}

func (w *workload) sample(t *testing.T, py python, n int) {
	t.Helper()
	pid, _ := py.start(t, w.script)
	p := open(t, pid)
	tids := []int{pid}
	if all, err := p.hostThreads(); err == nil {
		for _, tid := range all {
			if tid != pid {
				tids = append(tids, tid)
			}
		}
	}
	wrong, torn := 0, 0
	for range n {
		th, err := p.Thread(tids[rand.IntN(len(tids))])
		switch {
		case errors.Is(err, ErrTorn):
			torn++
		case err != nil:
			t.Fatal(err)
		case !w.possible(th.Frames):
			if wrong++; wrong < 3 {
				t.Errorf("impossible: %+v", th.Frames)
			}
		}
	}
	t.Logf("%s: %d samples, %d wrong, %d given up", p.Version(), n, wrong, torn)
	if torn == n {
		t.Error("no stack was ever read")
	}
}

// possible goes from the root inwards.
func (w *workload) possible(frames []Frame) bool {
	if len(frames) == 0 {
		return w.name == "threads" // a thread that begins
	}
	if len(frames) > w.deepest || !w.root[methodName(frames[len(frames)-1])] {
		return false
	}
	for i := len(frames) - 1; i > 0; i-- {
		line, ok := w.calls[methodName(frames[i])][methodName(frames[i-1])]
		if !ok || line != 0 && line != frames[i].Line {
			return false
		}
	}
	return true
}

// methodName is the last part of a qualified name.
func methodName(f Frame) string {
	for i := len(f.Function) - 1; i >= 0; i-- {
		if f.Function[i] == '.' {
			return f.Function[i+1:]
		}
	}
	return f.Function
}
