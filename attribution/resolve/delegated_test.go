package resolve

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"netaudit/attribution"
	"netaudit/attribution/odoo"
)

// TestWorkOfAPoolIsItsWhoWaitsForIt lets a library's function call from a thread that has no frame of an addon, while the addon waits for it or does not.
func TestWorkOfAPoolIsItsWhoWaitsForIt(t *testing.T) {
	const before = `
import asyncio, threading, time
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen
pool = ThreadPoolExecutor(4)
`
	for name, c := range map[string]struct {
		run    string
		reason string // where nobody may be named
	}{
		"result":   {run: "pool.submit(urlopen, url).result()"},
		"asyncio":  {run: "asyncio.run(ask(url))"},
		"later":    {run: "f = pool.submit(urlopen, url); time.sleep(0.008); f.result()"},
		"join":     {run: "t = threading.Thread(target=urlopen, args=[url]); t.start(); t.join()"},
		"nobody":   {run: "pool.submit(urlopen, url); time.sleep(600)", reason: odoo.ByPool},
		"another":  {run: "pool.submit(urlopen, url); pool.submit(time.sleep, 600).result()", reason: odoo.ByPool},
		"unjoined": {run: "threading.Thread(target=urlopen, args=[url]).start(); time.sleep(600)", reason: odoo.ByThread},
	} {
		t.Run(name, func(t *testing.T) {
			needRoot(t)
			r := resolver(t)
			accept := world(t, before+`
async def ask(url):
    await asyncio.get_running_loop().run_in_executor(None, urlopen, url)
def run(port):
    url = 'http://127.0.0.1:%d/' % port
    `+c.run+`
`)
			conn := accept()
			o := ask(t, r, conn.RemoteAddr(), conn.LocalAddr())
			switch {
			case c.reason != "":
				if o.Addon != nil || o.Evidence.Reason != c.reason {
					t.Errorf("addon %+v, evidence %+v; want %s", o.Addon, o.Evidence, c.reason)
				}
			case o.Addon == nil || o.Addon.Name != "caller" || o.Evidence.Source != attribution.SourceThread || o.Evidence.Confidence != attribution.ConfidenceHigh || o.Evidence.Reason != odoo.ForWaiting:
				t.Errorf("addon %+v, evidence %+v", o.Addon, o.Evidence)
			case o.Stack[0].Module != "socket" || o.Stack[len(o.Stack)-1].Function != "<module>":
				t.Errorf("stack %+v", o.Stack)
			}
		})
	}
}

// TestRecordedWorkOfAPoolIsItsWhoWaitsForIt has the call recorded by the kernel.
func TestRecordedWorkOfAPoolIsItsWhoWaitsForIt(t *testing.T) {
	r := recording(t)
	p := startPuppet(t, r)
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	port := netip.MustParseAddrPort(server.LocalAddr().String()).Port()
	for _, c := range []struct {
		what  string
		addon string // "": nobody may be named
	}{{"pooled", "caller"}, {"pooled_unasked", ""}} {
		p.begin(c.what, port)
		_, client, err := server.ReadFrom(make([]byte, 1))
		if err != nil {
			t.Fatal(err)
		}
		o := askOf(t, r.Ask, tupleFrom(17, "127.0.0.1", netip.MustParseAddrPort(client.String()).Port(), port))
		switch {
		case c.addon == "" && (o.Addon != nil || o.Evidence.Reason != odoo.ByPool || o.Evidence.Source != attribution.SourceKernel):
			t.Errorf("%s: addon %+v, evidence %+v", c.what, o.Addon, o.Evidence)
		case c.addon != "" && (o.Addon == nil || o.Addon.Name != c.addon || o.Addon.Method != c.what || o.Evidence.Reason != odoo.ForWaiting || o.Evidence.TID == p.pid):
			t.Errorf("%s: addon %+v, evidence %+v", c.what, o.Addon, o.Evidence)
		}
		if _, err := server.WriteTo([]byte("x"), client); err != nil {
			t.Fatal(err)
		}
		p.answer()
	}
}

// TestRecordedWorkOfAPoolIsNotItsWhoUsesTheConnectionLater lets one piece of work open a connection, and the next one, for another that waits, use it.
func TestRecordedWorkOfAPoolIsNotItsWhoUsesTheConnectionLater(t *testing.T) {
	r := recording(t)
	p := startPuppet(t, r)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	p.begin("pooled_twice", port)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	time.Sleep(200 * time.Millisecond)
	o := askOf(t, r.Ask, tupleFrom(6, "127.0.0.1", netip.MustParseAddrPort(c.RemoteAddr().String()).Port(), port))
	if o.Addon != nil || o.Evidence.Reason != odoo.ByPool || o.Evidence.Source != attribution.SourceKernel {
		t.Errorf("addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	p.answer()
}

// TestWorkOfAnEarlierMomentIsNoPartOfTheOnlyThread: a thread that worked for another was seen, and ended before it could be believed.
func TestWorkOfAnEarlierMomentIsNoPartOfTheOnlyThread(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	c := world(t, "import socket, threading\nthreading.Thread.start = lambda self: None\ndef run(port):\n    socket.create_connection(('127.0.0.1', port)).recv(1)\n")()
	o := ask(t, r, c.RemoteAddr(), c.LocalAddr())
	if o.Process == nil {
		t.Fatalf("%+v", o.Evidence)
	}
	p, stacks := stacksOf(t, r, o)
	w := &witness{r: r, process: p, own: 99, early: &lone{o.Evidence.TID, "caller"}}
	if o = w.fromAll(attribution.Owner{Process: o.Process}, stacks, false); o.Addon == nil || o.Evidence.Confidence != attribution.ConfidenceLow {
		t.Errorf("addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
}
