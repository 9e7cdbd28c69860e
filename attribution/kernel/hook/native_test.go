package hook

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"netaudit/attribution/native"
	"netaudit/attribution/pystack"
)

// throughC calls from threads of their own, directly and through a function of a shared object, whenever it is told to.
const throughC = `
import ctypes, socket, sys, threading
port = int(sys.argv[1])
library = ctypes.PyDLL(sys.argv[2])
def call():
    with socket.create_connection(("127.0.0.1", port)) as s:
        said.append(s.getsockname()[1])
    return 0
callback = ctypes.PYFUNCTYPE(ctypes.c_int)(call)
print("ready", flush=True)
while sys.stdin.readline():
    said = []
    for way in (call, lambda: library.through(callback)):
        t = threading.Thread(target=way)
        t.start()
        t.join()
    print(*said, flush=True)
`

func TestCompiledCodeIsRecordedWithItsCall(t *testing.T) {
	h := attached(t)
	if h.objects.pointer == 0 {
		t.Fatal("this kernel does not let programs see a thread's registers")
	}
	library := sharedObject(t)
	server := instantServer(t)
	c := startCaller(t, exec.Command("/usr/bin/python3", "-c", throughC, fmt.Sprint(server.Port()), library))
	p, err := pystack.Open(c.pid)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := p.Plan()
	if err != nil {
		t.Fatal(err)
	}
	serial, err := h.Announce(c.pid, plan)
	if err != nil {
		t.Fatal(err)
	}
	calls := func() [2]*Call { // directly, through C
		c.cue(t)
		var ports [2]uint16
		if line := c.line(t); line == "" {
			t.Fatal("nothing was said")
		} else if _, err := fmt.Sscan(line, &ports[0], &ports[1]); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		var list [2]*Call
		for i, port := range ports {
			call, ok := h.Lookup(ownNamespace(t), 6, netip.AddrPortFrom(server.Addr(), port), server)
			if !ok || call.Slots == nil {
				t.Fatalf("call %d: found %v, %+v", i, ok, call)
			}
			list[i] = call
		}
		return list
	}
	for i, call := range calls() {
		if call.Native != nil {
			t.Errorf("call %d: %d bytes of a machine stack that nobody asked for", i, len(call.Native))
		}
	}
	if err := h.WithNative(c.pid, serial, plan); err != nil {
		t.Fatal(err)
	}
	for i, call := range calls() {
		found, err := native.ObjectsIn(c.pid, call.Native, func(path string) bool { return path == library })
		if err != nil || call.Serial != serial || len(call.Native) < minNative || slices.Contains(found, library) != (i == 1) {
			t.Errorf("call %d: %d bytes, objects %v, %v", i, len(call.Native), found, err)
		}
	}
}

// sharedObject compiles a library with one function, which calls another.
func sharedObject(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "through.c"), []byte("int through(int (*f)(void)) { return f() + 1; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cc := exec.Command("cc", "-O1", "-shared", "-fPIC", "-o", "through.so", "through.c")
	cc.Dir = dir
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "through.so")
}

func TestMachineStackBelongsToItsThreadsNextCallOnly(t *testing.T) {
	s := newStore()
	remote := netip.MustParseAddrPort("192.0.2.1:443")
	for _, c := range []struct {
		what  string
		stack machineStack
		want  bool
	}{
		{"the same call", machineStack{7, 8, 9, make([]byte, 3)}, true},
		{"another socket", machineStack{7, 8, 10, make([]byte, 3)}, false},
		{"another process", machineStack{6, 8, 9, make([]byte, 3)}, false},
		{"another thread", machineStack{7, 5, 9, make([]byte, 3)}, false},
	} {
		s.addNative(c.stack)
		call := &Call{Caller: Caller{PID: 7, TID: 8}, Cookie: 9, Proto: 6, Remote: remote}
		s.addCall(call)
		if (call.Native != nil) != c.want {
			t.Errorf("%s: %d bytes", c.what, len(call.Native))
		}
		next := &Call{Caller: Caller{PID: 7, TID: 8}, Cookie: 9, Proto: 6, Remote: remote}
		if s.addCall(next); next.Native != nil {
			t.Errorf("%s: the call after it has the machine stack too", c.what)
		}
	}
	if s.slots != 3 {
		t.Errorf("%d bytes are counted", s.slots)
	}
	for i := range 10 * mostNatives {
		s.addNative(machineStack{1, i, 1, nil})
	}
	if len(s.natives) > mostNatives {
		t.Errorf("%d machine stacks wait", len(s.natives))
	}
}
