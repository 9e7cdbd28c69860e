package resolve

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netaudit/attribution"
	"netaudit/attribution/kernel"
	"netaudit/attribution/kernel/hook"
)

// recording is a resolver to which the kernel tells callers.
func recording(t *testing.T) *Resolver {
	t.Helper()
	needRoot(t)
	h, err := hook.Open()
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{Hook: h, Follow: true})
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
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t)
	})
	return r
}

// obedient is an addon that does on its standard input's word what its functions say, and says when it has done so.
const obedient = `
import library, os, socket, subprocess, sys, threading, time, types
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(1)
def pooled(port):
    return pool.submit(library.datagram, port).result()
def pooled_unasked(port):
    f = pool.submit(library.datagram, port)
    while not f.done(): time.sleep(0.01)
    return 0
def pooled_twice(port):
    pool.submit(library.stream, port)
    return pool.submit(library.hear).result()
evaluator = types.ModuleType("odoo.tools.safe_eval")
exec("def safe_eval(text, values, name='ir.actions.server(7,)'): exec(compile(text, name, 'exec'), values)", evaluator.__dict__)
actions, cron = types.ModuleType("odoo.addons.base.models.ir_actions"), types.ModuleType("odoo.addons.base.models.ir_cron")
for m in (actions, cron): sys.modules[m.__name__] = m
exec("def _run_action_code_multi(self, run, text, values, name): run(text, values, name)", actions.__dict__)
exec("def _callback(self, cron_name, server_action_id, run, *rest): run(self, *rest)", cron.__dict__)
class Registry:
    def __init__(self, name): self.db_name = name
Cron = type("ir.cron", (), {"pool": Registry("shop"), "__module__": "odoo.addons.base.models.ir_cron"})
def scheduled(number, call, port):
    values = {"call": call, "port": port}
    cron._callback(Cron(), "Job %d" % number, number, actions._run_action_code_multi, evaluator.safe_eval, "local = call(port)", values, "ir.actions.server(%d,)" % number)
    return values["local"]
def held(port):
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.recv(1); return s.getsockname()[1]
lru = type("LRU", (), {})()
lru._lock, lru._values = threading.RLock(), {}
modules = types.ModuleType("odoo.modules.registry")
modules.Registry = Registry
sys.modules[modules.__name__] = modules
def load(name):
    Registry.registries = lru
    lru._values[name] = Registry(name)
def load_shop(port): load("shop"); return port
def load_mill(port): load("mill"); return port
def drop_mill(port): del lru._values["mill"]; return port
def short_job(port): return scheduled(7, tcp4, port)
def long_job(port): return scheduled(8, held, port)
def told(port, word):
    return {name: f for name, f in globals().items() if callable(f)}[word](port)
def tcp4(port):
    with socket.create_connection(("127.0.0.1", port)) as s: return s.getsockname()[1]
def tcp6(port):
    with socket.create_connection(("::1", port)) as s: return s.getsockname()[1]
def dual(port):
    with socket.socket(socket.AF_INET6) as s:
        s.connect(("::ffff:127.0.0.1", port)); return s.getsockname()[1]
def nonblocking(port):
    with socket.socket() as s:
        s.setblocking(False); s.connect_ex(("127.0.0.1", port)); return s.getsockname()[1]
def udp4(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", port)); s.send(b"x"); return s.getsockname()[1]
def udp6(port):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.connect(("::1", port)); s.send(b"x"); return s.getsockname()[1]
def sendto4(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", ("127.0.0.1", port)); return s.getsockname()[1]
def sendto6(port):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", ("::1", port)); return s.getsockname()[1]
def evaluated(port):
    values = {"call": tcp4, "port": port}
    evaluator.safe_eval("local = call(port)", values); return values["local"]
def executed(port):
    values = {"call": tcp4, "port": port}
    exec("local = call(port)", values); return values["local"]
kept = []
def keep(port):
    kept.append(socket.create_connection(("127.0.0.1", port))); return kept[-1].getsockname()[1]
def reuse(port):
    import odoo.addons.other
    odoo.addons.other.speak(kept[-1]); return kept[-1].getsockname()[1]
def inherited(port):
    return kept[-1].getsockname()[1]
def fork(port):
    child = os.fork()
    if child: os.waitpid(child, 0); os._exit(0)
    return os.getpid()
CONNECT = "exec 3<>/dev/tcp/127.0.0.1/%d; true"
def program(port):
    p = subprocess.Popen(["bash", "-c", CONNECT % port]); p.wait(); return p.pid
def shell(port):
    p = subprocess.Popen(["sh", "-c", "bash -c '%s'; true" % (CONNECT % port)]); p.wait(); return p.pid
TEXT = "import socket, sys\nfor line in sys.stdin:\n    exec('socket.create_connection((\"127.0.0.1\", %d)).close()')\n    print(flush=True)"
def python(port):
    p = subprocess.Popen([sys.executable, "-c", TEXT % port], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    time.sleep(1); p.stdin.write(b"\n"); p.stdin.flush(); p.stdout.readline(); kept.append(p); return p.pid
def inside(port):
    program(port)
def copy(port):
    child = os.fork()
    if child == 0: inside(port); os._exit(0)
    os.waitpid(child, 0); return child
def again(port):
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
def run(port):
    print(os.getpid(), flush=True)
    for line in sys.stdin:
        print(told(int(line.split()[1]), line.split()[0]), flush=True)
`

// puppet is a process with the addon above.
type puppet struct {
	t   *testing.T
	pid int
	in  io.Writer
	out *bufio.Reader
	cmd *exec.Cmd
}

func startPuppet(t *testing.T, r *Resolver) *puppet {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{
		"odoo/__init__.py": "", "odoo/addons/__init__.py": "", "odoo/addons/caller/__init__.py": "", "odoo/addons/caller/work.py": obedient,
		"odoo/addons/other/__init__.py": "import time\ndef idle():\n    time.sleep(600)\ndef speak(s):\n    s.send(b'x')\n",
		"library.py": `import socket
kept = []
def datagram(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", port)); s.send(b"x"); s.recv(1); return s.getsockname()[1]
def stream(port):
    kept.append(socket.create_connection(("127.0.0.1", port)))
def hear():
    kept[-1].recv(1); return 0
`,
		"odoo-bin": "import threading\nfrom odoo.addons import other\nfrom odoo.addons.caller import work\nthreading.Thread(target=other.idle, daemon=True).start()\nwork.run(0)\n",
	} {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/usr/bin/python3", "odoo-bin")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
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
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it was killed
	p := &puppet{t: t, in: in, out: bufio.NewReader(out), cmd: cmd}
	p.pid = p.answer()
	p.met(r)
	return p
}

// do has a function of the addon run.
func (p *puppet) do(what string, port uint16) int {
	p.t.Helper()
	p.begin(what, port)
	return p.answer()
}

func (p *puppet) begin(what string, port uint16) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, what, port); err != nil {
		p.t.Fatal(err)
	}
}

func (p *puppet) answer() int {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// met waits until the resolver knows the process, which it must learn by itself.
func (p *puppet) met(r *Resolver) {
	p.t.Helper()
	for range 3000 {
		if r.stacks.has(p.pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatalf("nobody noticed process %d", p.pid)
}

func askOf(t *testing.T, ask func(attribution.Tuple, func(attribution.Owner)) bool, tuple attribution.Tuple) attribution.Owner {
	t.Helper()
	answer := make(chan attribution.Owner, 1)
	if !ask(tuple, func(o attribution.Owner) { answer <- o }) {
		t.Fatal("the question was not taken")
	}
	return <-answer
}

// listeners hear TCP and UDP on the same port of both families.
func listeners(t *testing.T) uint16 {
	t.Helper()
	tcp, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tcp.Close(); _ = udp.Close() })
	return netip.MustParseAddrPort(tcp.Addr().String()).Port()
}

func tupleFrom(proto uint8, address string, local, remote uint16) attribution.Tuple {
	a := netip.MustParseAddr(address)
	return attribution.Tuple{Proto: proto, Local: netip.AddrPortFrom(a, local), Remote: netip.AddrPortFrom(a, remote)}
}

func named(t *testing.T, what string, o attribution.Owner, pid int) {
	t.Helper()
	if o.Addon == nil || o.Addon.Name != "caller" || o.Addon.Method != what || o.Evidence.Source != attribution.SourceKernel || o.Evidence.Confidence != attribution.ConfidenceExact ||
		o.Process == nil || o.Process.PID != pid || o.Evidence.TID != pid || o.Evidence.At.IsZero() {
		t.Errorf("%s by process %d: addon %+v, process %+v, evidence %+v", what, pid, o.Addon, o.Process, o.Evidence)
	}
}

func TestClosedSocketsOfEveryKindHaveTheirCaller(t *testing.T) {
	r := recording(t)
	p := startPuppet(t, r)
	port := listeners(t)
	for _, c := range []struct {
		what, address string
		proto         uint8
	}{
		{"tcp4", "127.0.0.1", 6},
		{"tcp6", "::1", 6},
		{"dual", "127.0.0.1", 6},
		{"nonblocking", "127.0.0.1", 6},
		{"udp4", "127.0.0.1", 17},
		{"udp6", "::1", 17},
		{"sendto4", "127.0.0.1", 17},
		{"sendto6", "::1", 17},
	} {
		local := uint16(p.do(c.what, port))
		named(t, c.what, askOf(t, r.Ask, tupleFrom(c.proto, c.address, local, port)), p.pid)
	}
	if s := r.Stats(); s.Hook.Calls == 0 || s.Hook.Stacks == 0 || s.Hook.Lost != 0 || s.BySource[attribution.SourceKernel] != 8 {
		t.Errorf("%+v", s)
	}
}

func TestTextOutOfTheDatabaseMayBeGoneWhenItsCallIsNamed(t *testing.T) {
	r := recording(t)
	p := startPuppet(t, r)
	port := listeners(t)
	for range 20 {
		named(t, "tcp4", askOf(t, r.Ask, tupleFrom(6, "127.0.0.1", uint16(p.do("evaluated", port)), port)), p.pid)
		// Nobody knows that this text was no code of an addon, on whose behalf the call was made.
		if o := askOf(t, r.Ask, tupleFrom(6, "127.0.0.1", uint16(p.do("executed", port)), port)); o.Addon != nil || !strings.Contains(o.Evidence.Reason, "gone") {
			t.Errorf("addon %+v, evidence %+v", o.Addon, o.Evidence)
		}
	}
}

func TestDatabaseIsThatWhichTheProcessAloneHasLoaded(t *testing.T) {
	r := recording(t)
	p := startPuppet(t, r)
	port := listeners(t)
	processOf := func(how string) *attribution.Process {
		o := askOf(t, r.Ask, tupleFrom(6, "127.0.0.1", uint16(p.do(how, port)), port))
		if o.Process == nil {
			t.Fatalf("%s: %+v", how, o.Evidence)
		}
		return o.Process
	}
	for _, step := range []struct{ does, database, by string }{
		{"", "", ""},
		{"load_shop", "shop", attribution.DatabaseByRegistry},
		{"load_mill", "", ""},
		{"drop_mill", "", ""}, // a thread may still work on it
	} {
		if step.does != "" {
			p.do(step.does, 0)
		}
		if got := processOf("tcp4"); got.Database != step.database || got.DatabaseBy != step.by {
			t.Errorf("after %q: %+v, want %q by %q", step.does, got, step.database, step.by)
		}
		if got := processOf("short_job"); got.Database != "shop" || got.DatabaseBy != attribution.DatabaseByModel {
			t.Errorf("a model's call after %q: %+v", step.does, got)
		}
	}
}

func TestJobAndDatabaseAreThoseOfTheCall(t *testing.T) {
	r := recording(t)
	p := startPuppet(t, r)
	closed := listeners(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	here := netip.MustParseAddrPort(l.Addr().String())
	before := tupleFrom(6, "127.0.0.1", uint16(p.do("short_job", closed)), closed)
	p.begin("long_job", here.Port())
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	running := attribution.Tuple{Proto: 6, Local: netip.MustParseAddrPort(c.RemoteAddr().String()), Remote: here}
	o := askOf(t, r.Ask, running)
	named(t, "held", o, p.pid)
	if o.Process.Job != "Job 8 (ir.actions.server 8)" || o.Process.Database != "shop" || o.Process.Role != "odoo_other" {
		t.Errorf("%+v", o.Process)
	}
	// The thread runs another job by now, whose name is not this one's.
	if o := askOf(t, r.Ask, before); o.Process == nil || o.Process.Job != "" && o.Process.Job != "ir.actions.server 7" || o.Process.Database != "shop" {
		t.Errorf("%+v, evidence %+v", o.Process, o.Evidence)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	p.answer()
}

func TestNameOfAJobIsForgotten(t *testing.T) {
	var c jobs
	k, now := job{1, 2, "shop", 7}, time.Unix(1000, 0)
	c.put(k, "Daily check", now)
	if c.get(k, now) != "Daily check" || c.get(job{1, 2, "other", 7}, now) != "" || c.get(job{1, 3, "shop", 7}, now) != "" || c.get(k, now.Add(2*jobLife)) != "" {
		t.Errorf("%+v", c.known)
	}
}

func TestLaterUserIsNotTheOpener(t *testing.T) {
	r := recording(t)
	p := startPuppet(t, r)
	port := listeners(t)
	tuple := tupleFrom(6, "127.0.0.1", uint16(p.do("keep", port)), port)
	named(t, "keep", askOf(t, r.Ask, tuple), p.pid)
	// The opener has gone on; nobody waits on the socket now.
	if o := askOf(t, usedNow(r), tuple); o.Process == nil || o.Process.PID != p.pid || o.Evidence.Source == attribution.SourceKernel || o.Addon != nil || !slices.Equal(o.Evidence.Candidates, []string{"caller", "other"}) {
		t.Errorf("addon %+v, process %+v, evidence %+v", o.Addon, o.Process, o.Evidence)
	}
}

// usedNow asks who uses a connection from this moment on.
func usedNow(r *Resolver) func(attribution.Tuple, func(attribution.Owner)) bool {
	return func(t attribution.Tuple, done func(attribution.Owner)) bool { return r.AskUser(t, time.Now(), done) }
}

func TestLaterUserIsWhoSends(t *testing.T) {
	r := recording(t)
	if err := r.config.Hook.NoUses(); err != nil {
		t.Fatal(err)
	}
	p := startPuppet(t, r)
	port := listeners(t)
	tuple := tupleFrom(6, "127.0.0.1", uint16(p.do("keep", port)), port)
	named(t, "keep", askOf(t, r.Ask, tuple), p.pid)
	for range 3 {
		time.Sleep(60 * time.Millisecond) // quiet, or it is no new use
		at := time.Now()
		p.do("reuse", port)
		o := askOf(t, func(tuple attribution.Tuple, done func(attribution.Owner)) bool { return r.AskUser(tuple, at, done) }, tuple)
		if o.Addon == nil || o.Addon.Name != "other" || !slices.Equal(o.Addon.Chain, []string{"other", "caller"}) || o.Evidence.Source != attribution.SourceKernel || o.Process.PID != p.pid {
			t.Errorf("addon %+v, process %+v, evidence %+v", o.Addon, o.Process, o.Evidence)
		}
	}
}

func TestSocketsAreNamedAcrossForkAndExec(t *testing.T) {
	r := recording(t)
	p := startPuppet(t, r)
	port := listeners(t)
	parent := p.pid
	kept := uint16(p.do("keep", port))
	p.pid = p.do("fork", port)
	p.met(r)
	named(t, "tcp4", askOf(t, r.Ask, tupleFrom(6, "127.0.0.1", uint16(p.do("tcp4", port)), port)), p.pid)
	if inherited := uint16(p.do("inherited", port)); inherited != kept {
		t.Fatalf("port %d, want %d", inherited, kept)
	}
	named(t, "keep", askOf(t, r.Ask, tupleFrom(6, "127.0.0.1", kept, port)), parent) // who holds it now did not open it
	before, _, err := r.stacks.get(mustDescribe(t, r, p.pid))
	if err != nil {
		t.Fatal(err)
	}
	if pid := p.do("again", port); pid != p.pid {
		t.Fatalf("process %d, want %d", pid, p.pid)
	}
	met := false
	for n := 0; n < 3000 && !met; n++ {
		after, _, err := r.stacks.get(mustDescribe(t, r, p.pid))
		if met = err == nil && after != before; !met {
			time.Sleep(10 * time.Millisecond)
		}
	}
	if !met {
		t.Error("nobody noticed that the process runs another program")
	}
	named(t, "tcp4", askOf(t, r.Ask, tupleFrom(6, "127.0.0.1", uint16(p.do("tcp4", port)), port)), p.pid)
}

func TestCallerThatEndedKeepsItsIdentity(t *testing.T) {
	r := recording(t)
	p := startPuppet(t, r)
	port := listeners(t)
	local := uint16(p.do("tcp4", port))
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // it was killed
	o := askOf(t, r.Ask, tupleFrom(6, "127.0.0.1", local, port))
	if o.Process == nil || o.Process.PID != p.pid || !strings.HasPrefix(filepath.Base(o.Process.Exe), "python3") || o.Addon != nil || !strings.Contains(o.Evidence.Reason, "ended") {
		t.Errorf("addon %+v, process %+v, evidence %+v", o.Addon, o.Process, o.Evidence)
	}
}

func mustDescribe(t *testing.T, r *Resolver, pid int) kernel.Process {
	t.Helper()
	p, err := r.processes.Describe(pid)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
