package hook

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"netaudit/attribution/pystack"
	"netaudit/attribution/pystack/interpreters"
)

// calls is a program that waits for its cue, then makes many short calls from several threads at once, each through functions that are its own, and writes down the truth: which local port was
// opened by which thread's function, and below how many others.
const calls = `
import socket, sys, threading
port, threads, rounds = map(int, sys.argv[1:])
class Model:
    pass
Model.__name__ = "bench.model"
def deep(n, f, *args):
    return deep(n - 1, f, *args) if n else f(*args)
def through_generator(f, *args):
    def g():
        yield f(*args)
    return next(g())
def through_callback(f, *args):
    return max([1], key=lambda x: f(*args) or 1)
source = """
def work_%d(self, depth):
    keep = lambda: self  # makes a cell of self
    def call():
        with socket.create_connection(("127.0.0.1", port)) as s:
            said.append((s.getsockname()[1], "work_%d", depth))
    WAYS[%d %% 3](depth, call)
"""
def by_generator(n, f):
    return through_generator(deep, n, f)
def by_callback(n, f):
    return through_callback(deep, n, f)
said = []
WAYS = [deep, by_generator, by_callback]
for i in range(threads):
    exec(source % (i, i, i))
def run(i):
    for k in range(rounds):
        globals()["work_%d" % i](Model(), (k * 7 + i) % 40)
print("ready", flush=True)
sys.stdin.readline()
jobs = [threading.Thread(target=run, args=(i,)) for i in range(threads)]
for j in jobs: j.start()
for j in jobs: j.join()
for port, name, depth in said:
    print(port, name, depth)
print("end", flush=True)
sys.stdin.readline()
`

// caller is a running program.
type caller struct {
	pid int
	in  interface{ Write([]byte) (int, error) }
	out *bufio.Reader
}

func startCaller(t testing.TB, cmd *exec.Cmd) caller {
	t.Helper()
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
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it was killed
	c := caller{cmd.Process.Pid, in, bufio.NewReader(out)}
	if line := c.line(t); line != "ready" {
		t.Fatalf("the program said %q", line)
	}
	return c
}

func (c caller) line(t testing.TB) string {
	t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func (c caller) cue(t testing.TB) {
	t.Helper()
	if _, err := c.in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
}

// instantServer closes every connection at once.
func instantServer(t testing.TB) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close() // nothing is written
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestEveryCallOfEveryPythonHasItsStack(t *testing.T) {
	h := attached(t)
	const threads, rounds = 6, 30
	for _, py := range interpreters.All(t) {
		t.Run(py.String(), func(t *testing.T) {
			server := instantServer(t)
			c := startCaller(t, py.Command("-c", calls, fmt.Sprint(server.Port()), fmt.Sprint(threads), fmt.Sprint(rounds)))
			p := announced(t, h, c.pid)
			c.cue(t)
			n := 0
			for line := c.line(t); line != "end"; line = c.line(t) {
				n++
				var port uint16
				var name string
				var depth int
				if _, err := fmt.Sscan(line, &port, &name, &depth); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				checkStack(t, h, p, netip.AddrPortFrom(server.Addr(), port), server, name, depth)
			}
			if n != threads*rounds {
				t.Errorf("%d calls, want %d", n, threads*rounds)
			}
		})
	}
}

func TestThreadsOfAContainerAreFoundByTheirOwnNumbers(t *testing.T) {
	h := attached(t)
	server := instantServer(t)
	cmd := exec.Command("/usr/bin/python3", "-c", calls, fmt.Sprint(server.Port()), "3", "5")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	c := startCaller(t, cmd)
	p := announced(t, h, c.pid)
	c.cue(t)
	for line := c.line(t); line != "end"; line = c.line(t) {
		var port uint16
		var name string
		var depth int
		if _, err := fmt.Sscan(line, &port, &name, &depth); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		checkStack(t, h, p, netip.AddrPortFrom(server.Addr(), port), server, name, depth)
	}
}

func announced(t testing.TB, h *Hook, pid int) *pystack.Process {
	t.Helper()
	p, err := pystack.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := p.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if plan.Cell == 0 {
		t.Error("PyCell_Type was not found")
	}
	if _, err := h.Announce(pid, plan); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Forget(pid); err != nil {
			t.Error(err)
		}
	})
	return p
}

func checkStack(t *testing.T, h *Hook, p *pystack.Process, local, remote netip.AddrPort, name string, depth int) {
	t.Helper()
	call, ok := h.Lookup(ownNamespace(t), 6, local, remote)
	if !ok || call.Slots == nil {
		t.Errorf("%s at depth %d: found %v, %+v", name, depth, ok, call)
		return
	}
	frames, err := p.Recorded(call.Slots)
	if err != nil {
		t.Errorf("%s at depth %d: %v", name, depth, err)
		return
	}
	deeps, works := 0, 0
	for _, f := range frames {
		switch {
		case f.Function == "deep":
			deeps++
		case strings.HasPrefix(f.Function, "work_") && !strings.Contains(f.Function, "."):
			// To 3.10 an argument that an inner function uses is no more among the locals.
			unseen := strings.HasPrefix(p.Version(), "3.8.") || strings.HasPrefix(p.Version(), "3.9.") || strings.HasPrefix(p.Version(), "3.10")
			if works++; f.Function != name || f.Arg0Type != "bench.model" && !unseen || f.Module != "__main__" || f.Line != 7 {
				t.Errorf("a call of %s was recorded in %+v", name, f)
			}
		}
	}
	root := frames[len(frames)-1]
	if deeps != depth+1 || works != 1 || !strings.HasSuffix(root.Function, "_bootstrap") || frames[0].Function != "create_connection" {
		t.Errorf("%s at depth %d: %d frames, %d of them deep, %d works, from %s to %s", name, depth, len(frames), deeps, works, frames[0].Function, root.Function)
	}
}
