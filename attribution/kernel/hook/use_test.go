package hook

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"netaudit/attribution/pystack"
	"netaudit/attribution/pystack/interpreters"
)

// shares is a program whose threads use one connection in turns, with pauses, and say when each has sent.
const shares = `
import socket, sys, threading, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
source = """
def use_%d():
    now = time.time_ns()
    s.sendall(b"x")
    said.append(("use_%d", now, time.time_ns() - now))
    s.recv(1)
"""
said = []
for i in range(4):
    exec(source % (i, i))
print("ready", flush=True)
sys.stdin.readline()
for i in (0, 1, 2, 3, 2, 1):
    held_up = True
    while held_up: # by a busy machine between the clock and the send
        time.sleep(0.06)
        t = threading.Thread(target=globals()["use_%d" % i])
        t.start()
        t.join()
        globals()["use_0"]() # at once: the connection was not quiet
        _, again, took = said.pop()
        _, sent, before = said[-1]
        if held_up := before > 10_000_000 or again + took - sent > 30_000_000:
            said.pop()
for name, sent, took in said:
    print(name, sent)
print("end", flush=True)
sys.stdin.readline()
`

// echo answers every byte, and tells the ends of the latest connection as its client sees them.
func echo(t *testing.T) (port int, ends func() (local, remote netip.AddrPort)) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	accepted := make(chan net.Conn, 1)
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	serving.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		accepted <- c
		b := make([]byte, 1)
		for {
			if _, err := c.Read(b); err != nil {
				_ = c.Close()
				return
			}
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	})
	return l.Addr().(*net.TCPAddr).Port, func() (netip.AddrPort, netip.AddrPort) {
		c := <-accepted
		return netip.MustParseAddrPort(c.RemoteAddr().String()), netip.MustParseAddrPort(c.LocalAddr().String())
	}
}

func TestEveryUserOfAKeptConnectionHasItsStack(t *testing.T) {
	h := attached(t)
	if err := h.NoUses(); err != nil {
		t.Fatal(err)
	}
	for _, py := range interpreters.All(t) {
		t.Run(py.String(), func(t *testing.T) {
			port, ends := echo(t)
			c := startCaller(t, py.Command("-c", shares, fmt.Sprint(port)))
			local, remote := ends()
			p := announced(t, h, c.pid)
			call, ok := h.Lookup(ownNamespace(t), 6, local, remote)
			if !ok {
				t.Fatal("the call was not recorded")
			}
			c.cue(t)
			n := 0
			for line := c.line(t); line != "end"; line = c.line(t) {
				n++
				var name string
				var sent int64
				if _, err := fmt.Sscan(line, &name, &sent); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				u, ok := h.UseOf(call.Cookie, time.Unix(0, sent))
				if !ok || u.PID != c.pid {
					t.Errorf("%s: found %v, %+v", name, ok, u)
					continue
				}
				frames, err := p.Recorded(u.Slots)
				if err != nil || !slices.ContainsFunc(frames, func(f pystack.Frame) bool { return f.Function == name && f.Line == 4 }) {
					t.Errorf("%s: %v, %+v", name, err, frames)
				}
				if _, ok := h.UseOf(call.Cookie, time.Unix(0, sent).Add(-2*madeWithin)); ok {
					t.Errorf("%s: a packet from long before is of this use", name)
				}
				if _, ok := h.UseOf(call.Cookie, time.Unix(0, sent).Add(2*madeWithin)); ok {
					t.Errorf("%s: a packet from long after is of this use", name)
				}
			}
			if n != 6 {
				t.Errorf("%d uses, want 6", n)
			}
		})
	}
}

func TestUsesAreBounded(t *testing.T) {
	s := newStore()
	slots := make([]byte, 64*pystack.SlotSize)
	const n = 3 * mostUses
	for i := range n {
		s.addUse(&Use{Caller: Caller{Slots: slots, At: time.Unix(int64(i), 0)}, Cookie: uint64(i / 20)})
	}
	kept := 0
	for _, list := range s.uses {
		kept += len(list)
		if len(list) > mostOfSocket {
			t.Fatalf("%d uses of one socket", len(list))
		}
	}
	if kept > mostUses || s.used.len() > mostUses || s.useSlots > mostUseSlot || s.useSlots != s.used.len()*len(slots) || s.useOf(0, time.Unix(1, 0)) != nil || s.useOf((n-1)/20, time.Unix(n-1, 0)) == nil {
		t.Errorf("%d uses, %d queued, %d bytes", kept, s.used.len(), s.useSlots)
	}
}
