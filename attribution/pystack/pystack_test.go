package pystack

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"netaudit/attribution/pystack/interpreters"
)

const script = `
import threading, time
class Modèle:
    def warte_ü(self):
        print(threading.get_native_id(), flush=True)
        time.sleep(60)
def gen(m):
    yield m.warte_ü()
def key(m):
    return next(gen(m))
t = threading.Thread(target=lambda: sorted([Modèle()], key=key))
t.start()
t.join()
`

func TestStackNamesGeneratorCalledFromSortInAThread(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, line := py.start(t, script)
		tid := number(t, line)
		th := settled(t, open(t, pid), tid, "warte_ü")
		f := th.Frames
		if len(f) < 5 || f[0].Line != 6 || f[0].Module != "__main__" || f[0].Arg0Type != "Modèle" ||
			f[1].Function != "gen" || f[1].Line != 8 || f[2].Function != "key" || f[2].Line != 10 || f[3].Function != "<lambda>" {
			t.Errorf("%+v", f)
		}
		root := f[len(f)-1]
		if filepath.Base(root.File) != "threading.py" || root.Module != "threading" || root.Arg0Type != "Thread" {
			t.Errorf("the root is %+v", root)
		}
		if th.HoldsGIL || th.TID != tid || th.NativeID != tid || th.Truncated {
			t.Errorf("%+v", th)
		}
	})
}

// hiding builds a class as Odoo does, out of a definition with a module and a name with a dot, and calls a method of it whose code pretends to be a library's.
const hiding = `
import threading, time, types
forged = {"__name__": "requests.sessions", "__builtins__": __builtins__, "time": time, "threading": threading}
exec("def steal(self):\n print(threading.get_native_id(), flush=True)\n time.sleep(60)", forged)
class Base: __module__ = "odoo.models"
class Honest(Base):
    __module__ = "odoo.addons.honest.models"
    def steal(self): pass
class Hidden(Base):
    __module__ = "odoo.addons.hidden.models"
    steal = forged["steal"]
for i in range(300): setattr(Hidden, "attribute%d" % i, i)
registered = type("mit.hidden", (Hidden, Honest, Base), {})
def outer(model): model.steal()
outer(registered())
`

func TestMethodIsFoundInItsClassWhateverItCallsItself(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, line := py.start(t, hiding)
		tid := number(t, line)
		f := settled(t, open(t, pid), tid, "steal").Frames
		if len(f) < 2 || f[0].Module != "requests.sessions" || f[0].Arg0Type != "mit.hidden" || f[0].OwnerModule != "odoo.addons.hidden.models" {
			t.Errorf("the method is %+v", f[0])
		}
		if f[1].Function != "outer" || f[1].Arg0Type != "mit.hidden" || f[1].OwnerModule != "" {
			t.Errorf("a function that is no method has an owner: %+v", f[1])
		}
	})
}

// serving handles a connection in the way of socketserver, and calls functions that are only called alike.
const serving = `
import threading
class Server:
    def process_request_thread(self, request, client_address): inner(self)
    def process_request(self, client, addr): self.process_request_thread(client, addr)
def inner(x): process_request(1, 2, x)
def process_request(a, b, c):
    print(threading.get_native_id(), flush=True)
    threading.Event().wait()
Server().process_request(None, ("192.0.2.7", 40001))
`

func TestServerFrameTellsItsClient(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, line := py.start(t, serving)
		f := settled(t, open(t, pid), number(t, line), "wait").Frames
		want := netip.MustParseAddrPort("192.0.2.7:40001")
		seen := map[string]netip.AddrPort{}
		for _, frame := range f {
			seen[frame.Function[strings.LastIndexByte(frame.Function, '.')+1:]+fmt.Sprint(frame.Line)] = frame.Client
		}
		if seen["process_request_thread4"] != want || seen["process_request5"] != want || seen["process_request9"].IsValid() {
			t.Errorf("clients %v", seen)
		}
	})
}

func TestThreadsFindsEveryThreadOnce(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, _ := py.start(t, `
import threading
go = threading.Barrier(9)
def wait(): go.wait(); threading.Event().wait()
for _ in range(8): threading.Thread(target=wait).start()
go.wait()
print("ready", flush=True)
threading.Event().wait()`)
		p := open(t, pid)
		settled(t, p, pid, "wait")
		threads, err := p.Threads()
		if err != nil || len(threads) != 9 {
			t.Fatalf("%d threads, %v", len(threads), err)
		}
		seen := map[int]bool{}
		for _, th := range threads {
			if seen[th.TID] || len(th.Frames) == 0 {
				t.Errorf("thread %d twice or empty: %+v", th.TID, th)
			}
			seen[th.TID] = true
		}
	})
}

func TestCoroutinesAwaitingEachOtherAreOneStack(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, _ := py.start(t, `
import asyncio, time
async def inner():
    print("ready", flush=True)
    time.sleep(60)
async def outer():
    await inner()
asyncio.run(outer())`)
		f := settled(t, open(t, pid), pid, "inner").Frames
		if len(f) < 3 || f[1].Function != "outer" || f[1].Line != 7 || f[len(f)-1].Function != "<module>" {
			t.Errorf("%+v", f)
		}
	})
}

func TestDeepRecursionIsCutAtTheBound(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, _ := py.start(t, `
import sys, threading, time
sys.setrecursionlimit(100000)
threading.stack_size(256 << 20)
def down(n):
    if n: return down(n - 1)
    print(threading.get_native_id(), flush=True)
    time.sleep(60)
t = threading.Thread(target=down, args=(5000,))
t.start()
t.join()`)
		p := open(t, pid)
		var deepest Thread
		threads, err := p.Threads()
		if err != nil {
			t.Fatal(err)
		}
		for _, th := range threads {
			if th.TID != pid {
				deepest = th
			}
		}
		if !deepest.Truncated || len(deepest.Frames) != maxFrames || deepest.Frames[maxFrames-1].Function != "down" {
			t.Errorf("truncated %v, %d frames", deepest.Truncated, len(deepest.Frames))
		}
	})
}

func TestForkedChildHasItsOwnThread(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		_, line := py.start(t, `
import os, time, threading
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
def in_child():
    time.sleep(60)
pid = os.fork()
if not pid: in_child()
print(pid, flush=True)
try: os.waitpid(pid, 0)
finally: pass`)
		child := number(t, line)
		t.Cleanup(func() {
			if proc, err := os.FindProcess(child); err == nil {
				_ = proc.Kill()
			}
		})
		p := open(t, child)
		if th := settled(t, p, child, "in_child"); th.Frames[0].Line != 5 {
			t.Errorf("%+v", th.Frames)
		}
		threads, err := p.Threads()
		if err != nil || len(threads) != 1 {
			t.Errorf("%d threads, %v", len(threads), err)
		}
	})
}

func TestUnusualRootIsReadWhenTheThreadSleeps(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, _ := py.start(t, `
import atexit, time
@atexit.register
def at_the_end():
    print("ready", flush=True)
    time.sleep(60)`)
		f := settled(t, open(t, pid), pid, "at_the_end").Frames
		if len(f) != 1 || f[0].Line != 6 {
			t.Errorf("%+v", f)
		}
	})
}

func TestExecutableDeletedAfterStartIsStillRead(t *testing.T) {
	py := python{interpreters.Python{Path: filepath.Join(t.TempDir(), "renamed")}}
	system, err := os.Open("/usr/bin/python3")
	if err != nil {
		t.Fatal(err)
	}
	defer system.Close()
	content, err := io.ReadAll(system)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(py.Path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	py.Home = "/usr"
	pid, _ := py.start(t, "import time; print('ready', flush=True); time.sleep(60)")
	if err := os.Remove(py.Path); err != nil {
		t.Fatal(err)
	}
	settled(t, open(t, pid), pid, "<module>")
}

func TestExitedProcessIsAnErrorNotAStack(t *testing.T) {
	py := allPythons(t)[0]
	cmd := py.Command("-c", "input()")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	var p *Process
	for range 10000 { // until execve and the interpreter's start are done
		if p, err = Open(pid); err == nil {
			if _, err = p.Thread(pid); err == nil {
				break
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // EOFError
	if th, err := p.Thread(pid); !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("%+v, %v", th, err)
	}
	if threads, err := p.Threads(); err == nil {
		t.Errorf("%+v", threads)
	}
	if _, err := Open(pid); err == nil {
		t.Error("a process that is gone was opened")
	}
}

func TestVersionIsTheInterpretersOwn(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, want := py.start(t, "import sys, time; print('%d.%d.%d' % sys.version_info[:3], flush=True); time.sleep(60)")
		if got := open(t, pid).Version(); got != want {
			t.Errorf("got %s, it is %s", got, want)
		}
	})
}

func TestOpenSaysThatAShellIsNotPython(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if _, err := Open(cmd.Process.Pid); !errors.Is(err, ErrNotPython) {
		t.Error(err)
	}
}

func TestUnknownMinorIsRefusedByName(t *testing.T) {
	err := error(&UnsupportedError{Version: "3.15.2"})
	if _, ok := layoutFor(15); ok || !strings.Contains(err.Error(), "3.15.2") {
		t.Error(err)
	}
}

func TestFormatEscapesWhatCouldDriveATerminal(t *testing.T) {
	var b strings.Builder
	Format(&b, 7, []Thread{{TID: 8, NativeID: 2, Name: "odoo", HoldsGIL: true, Truncated: true, Frames: []Frame{
		{File: "/a/\x1b[2J.py", Line: 3, Function: "größe\n", Module: "odoo.addons.x", Arg0Type: "res.partner"},
	}}})
	want := fmt.Sprintf("Process 7: 1 Python threads\n\nThread 8 odoo (2 in its namespace) [holds the GIL]\n"+
		"    größe\\n  /a/\\x1b[2J.py:3  in odoo.addons.x  on res.partner\n    … more than %d frames\n", maxFrames)
	if b.String() != want {
		t.Errorf("%q\n%q", b.String(), want)
	}
}

func number(t *testing.T, line string) int {
	t.Helper()
	n, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
