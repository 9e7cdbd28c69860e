package resolve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netaudit/attribution"
	"netaudit/attribution/kernel"
	"netaudit/attribution/pystack"
)

// needRoot fails in CI and skips on a developer's machine: reading other processes needs CAP_SYS_PTRACE.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root to read other processes; CI must run as root")
	}
	t.Skip("needs root to read other processes: run make test")
}

// resolver runs until the test ends.
func resolver(t testing.TB) *Resolver {
	t.Helper()
	r, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, test := t.(*testing.T); test { // a benchmark has goroutines of its own
			goleak.VerifyNone(t)
		}
	})
	return r
}

// ask asks about a connection and waits for the answer.
func ask(t *testing.T, r *Resolver, local, remote net.Addr) attribution.Owner {
	t.Helper()
	answer := make(chan attribution.Owner, 1)
	tuple := attribution.Tuple{Proto: 6, Local: netip.MustParseAddrPort(local.String()), Remote: netip.MustParseAddrPort(remote.String())}
	if !r.Ask(tuple, func(o attribution.Owner) { answer <- o }) {
		t.Fatal("the question was not taken")
	}
	select {
	case o := <-answer:
		return o
	case <-time.After(30 * time.Second):
		t.Fatal("no answer")
	}
	return attribution.Owner{}
}

// world writes addons and runs a script against a server on loopback, whose connections it returns.
func world(t testing.TB, script string) (accept func() net.Conn) {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{
		"odoo/__init__.py": "", "odoo/addons/__init__.py": "",
		"odoo/addons/caller/__init__.py":     "",
		"odoo/addons/caller/__manifest__.py": "{'name': 'Caller', 'version': '19.0.1.0', 'author': 'Somebody'}",
		"odoo/addons/caller/work.py":         script,
		"odoo/addons/other/__init__.py":      "import time\ndef idle():\n    time.sleep(600)\n",
		"main.py": "import sys, threading\nfrom odoo.addons import other\nfrom odoo.addons.caller import work\n" +
			"threading.Thread(target=other.idle, daemon=True).start()\nwork.run(int(sys.argv[1]))\n",
	} {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	cmd := exec.Command("python3", "main.py", port)
	cmd.Dir = dir
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	go func() {
		var text strings.Builder
		for in := bufio.NewScanner(out); in.Scan(); {
			text.WriteString(in.Text() + "\n")
		}
		said <- text.String()
	}()
	t.Cleanup(func() {
		_ = l.Close()
		_ = cmd.Process.Kill()
		if text := <-said; t.Failed() {
			t.Log(text)
		}
		_ = cmd.Wait() // it was killed
	})
	return func() net.Conn {
		t.Helper()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

func TestWaitingThreadIsNamedAmongOthersWithAddonCode(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	accept := world(t, "import socket\ndef run(port):\n    s = socket.create_connection(('127.0.0.1', port))\n    s.recv(1)\n")
	c := accept()
	o := ask(t, r, c.RemoteAddr(), c.LocalAddr())
	if o.Addon == nil || o.Addon.Name != "caller" || o.Addon.Version != "19.0.1.0" || o.Addon.Author != "Somebody" || o.Evidence.Source != attribution.SourceThread || o.Evidence.Confidence != attribution.ConfidenceExact {
		t.Errorf("addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
	if o.Addon != nil && !strings.HasSuffix(o.Addon.CallSite, "work.py:4 run") {
		t.Errorf("call site %q", o.Addon.CallSite)
	}
	if o.Process == nil || o.Process.PID == os.Getpid() || len(o.Stack) == 0 {
		t.Errorf("process %+v, %d frames", o.Process, len(o.Stack))
	}
}

// TestChildIsJoinedToTheThreadThatWaitsForItAmongOthers starts two programs from two threads at the same time, one waited for by its process id and
// one by its output.
func TestChildIsJoinedToTheThreadThatWaitsForItAmongOthers(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	accept := world(t, `
import subprocess, sys, threading
CALL = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); s.sendall(sys.argv[2].encode()); s.recv(1)"
def by_id(port):
    subprocess.run([sys.executable, "-S", "-c", CALL, str(port), "i"])
def by_output(port):
    subprocess.run([sys.executable, "-S", "-c", CALL, str(port), "o"], capture_output=True)
def through_shell(port):
    subprocess.run("sleep 0; %s -S -c \"%s\" %d s; true" % (sys.executable, CALL, port), shell=True)
def run(port):
    jobs = [threading.Thread(target=f, args=(port,)) for f in (by_id, by_output, through_shell)]
    for j in jobs: j.start()
    for j in jobs: j.join()
`)
	want := map[byte]string{'i': "by_id", 'o': "by_output", 's': "through_shell"}
	for range want {
		c := accept()
		var who [1]byte
		if _, err := c.Read(who[:]); err != nil {
			t.Fatal(err)
		}
		o := ask(t, r, c.RemoteAddr(), c.LocalAddr())
		// The program is Python without addon code itself, like any other program.
		if o.Addon == nil || o.Addon.Name != "caller" || !strings.HasSuffix(o.Addon.CallSite, " "+want[who[0]]) {
			t.Errorf("%s: addon %+v, evidence %+v, process %+v", want[who[0]], o.Addon, o.Evidence, o.Process)
		}
	}
}

func TestWhatIsGoneIsSaidToBeGone(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	gone := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	o := ask(t, r, gone, l.Addr())
	if o.Addon != nil || o.Process != nil || o.Evidence.Confidence != attribution.ConfidenceUnknown || !strings.Contains(o.Evidence.Reason, "gone") {
		t.Errorf("%+v", o)
	}
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if o := ask(t, r, c.LocalAddr(), l.Addr()); o.Process == nil || o.Process.Role != "self" || o.Addon != nil {
		t.Errorf("our own call: %+v", o.Process)
	}
	if s := r.Stats(); s.Asked != 2 || s.BySource[attribution.SourceNone] != 1 {
		t.Errorf("%+v", s)
	}
}

func TestFullQueueIsSaidAtOnce(t *testing.T) {
	r, err := New(Config{Queue: 2})
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for i := range 5 { // nobody runs: nothing is answered
		if r.Ask(attribution.Tuple{Proto: 6, Local: netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", i+1))}, func(attribution.Owner) {}) {
			taken++
		}
	}
	if s := r.Stats(); taken != 2 || s.QueueFull != 3 {
		t.Errorf("%d taken, stats %+v", taken, s)
	}
}

// TestUserOfAKeptConnectionIsNobodyWhoMerelyRuns leaves a connection open that nobody waits on, while one thread has code of an addon on its stack.
func TestUserOfAKeptConnectionIsNobodyWhoMerelyRuns(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	accept := world(t, `
plain = {"__name__": "main"}
exec("import socket, time\ndef run(port):\n    kept = socket.create_connection(('127.0.0.1', port))\n    time.sleep(600)", plain)
import threading
def run(port):
    threading.Thread(target=plain["run"], args=(port,)).start()
`)
	c := accept()
	o := askOf(t, usedNow(r), attribution.Tuple{Proto: 6, Local: netip.MustParseAddrPort(c.RemoteAddr().String()), Remote: netip.MustParseAddrPort(c.LocalAddr().String())})
	if o.Addon != nil || o.Process == nil || len(o.Evidence.Candidates) != 1 || o.Evidence.Candidates[0] != "other" {
		t.Errorf("addon %+v, process %+v, evidence %+v", o.Addon, o.Process, o.Evidence)
	}
}

// TestCallerThatWasNotCaughtIsNamedOnlyIfNobodyElseIsThere lets a process keep a connection that nobody waits on: by a thread among others, and by its only thread.
func TestCallerThatWasNotCaughtIsNamedOnlyIfNobodyElseIsThere(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	const call, alone = "import socket, time\ndef run(port):\n    kept = socket.create_connection(('127.0.0.1', port))\n    time.sleep(600)\n", "import threading\nthreading.Thread.start = lambda self: None\n"
	c := world(t, call)()
	o := ask(t, r, c.RemoteAddr(), c.LocalAddr())
	if o.Addon != nil || o.Process == nil || !slices.Equal(o.Evidence.Candidates, []string{"caller", "other"}) || o.Evidence.Confidence != attribution.ConfidenceUnknown {
		t.Errorf("among others: addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
	c = world(t, alone+call)()
	o = ask(t, r, c.RemoteAddr(), c.LocalAddr())
	if o.Addon == nil || o.Addon.Name != "caller" || o.Evidence.Source != attribution.SourceProcess || o.Evidence.Confidence != attribution.ConfidenceLow {
		t.Errorf("alone: addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
}

// stacksOf opens the process that an answer names.
func stacksOf(t *testing.T, r *Resolver, o attribution.Owner) (kernel.Process, *pystack.Process) {
	t.Helper()
	p, err := kernel.Describe(o.Process.PID)
	if err != nil {
		t.Fatal(err)
	}
	stacks, _, err := r.stacks.get(p)
	if err != nil {
		t.Fatal(err)
	}
	return p, stacks
}

// TestOnlyThreadThatWentOnIsNotNamed looks at a process whose only thread runs another addon's code at the last look than at the first.
func TestOnlyThreadThatWentOnIsNotNamed(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	c := world(t, "import socket, threading\nthreading.Thread.start = lambda self: None\nfrom odoo.addons import other\ndef run(port):\n    kept = socket.create_connection(('127.0.0.1', port))\n    kept.recv(1)\n    other.idle()\n")()
	o := ask(t, r, c.RemoteAddr(), c.LocalAddr())
	if o.Addon == nil || o.Addon.Name != "caller" {
		t.Fatalf("while it waits: addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
	p, stacks := stacksOf(t, r, o)
	w := &witness{r: r, process: p}
	seen := func() *lone {
		t.Helper()
		now := &witness{r: r, process: p}
		now.lookEarly(stacks)
		return now.early // nil when it runs: looked at again
	}
	first := seen()
	if first == nil || first.addon != "caller" {
		t.Fatalf("%+v", first)
	}
	if _, err := c.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for now := seen(); now == nil || now.addon != "other"; now = seen() {
		if time.Now().After(deadline) {
			t.Fatal("it does not go on")
		}
		time.Sleep(time.Millisecond)
	}
	w.early = first
	if o := w.fromAll(attribution.Owner{}, stacks, false); o.Addon != nil || o.Evidence.Confidence != attribution.ConfidenceUnknown || !slices.Equal(o.Evidence.Candidates, []string{"other"}) {
		t.Errorf("addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
}

// TestOnlyThreadThatNeverSleepsIsReadInTheEnd lets the only thread of a process keep a connection and compute.
func TestOnlyThreadThatNeverSleepsIsReadInTheEnd(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	c := world(t, "import socket, threading\nthreading.Thread.start = lambda self: None\ndef run(port):\n    kept = socket.create_connection(('127.0.0.1', port))\n    kept.recv(1)\n    while True: pass\n")()
	o := ask(t, r, c.RemoteAddr(), c.LocalAddr())
	if o.Addon == nil || o.Addon.Name != "caller" {
		t.Fatalf("while it waits: addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
	p, stacks := stacksOf(t, r, o)
	w := &witness{r: r, process: p}
	if w.lookEarly(stacks); w.early == nil {
		t.Fatal("the only thread was not read while it slept")
	}
	if _, err := c.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	for running := 0; running < 20; time.Sleep(time.Millisecond) {
		if _, err := stacks.Asleep(pystack.Resting(p.PID, p.PID)); !errors.Is(err, pystack.ErrTorn) {
			running = -1
		}
		running++
	}
	if o := w.fromAll(attribution.Owner{}, stacks, false); o.Addon == nil || o.Addon.Name != "caller" || o.Evidence.Confidence != attribution.ConfidenceLow {
		t.Errorf("addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
}
