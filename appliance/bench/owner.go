package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"netaudit/appliance/sandbox"
	"netaudit/attribution"
	"netaudit/attribution/resolve"
	"netaudit/dissect"
	"netaudit/tap"
)

// caller is a Python program with addons: every thread makes one call after the other, each through another addon, and writes down the truth: local port and addon.
const caller = `
import importlib, sys, threading
threads, calls, ms, addons = map(int, sys.argv[1:])
work = [importlib.import_module("odoo.addons.bench_%d.work" % k) for k in range(addons)]
def run(first):
    for i in range(calls):
        k = (first + i) % addons
        port = work[k].call(ms)
        sys.stdout.write("%d bench_%d\n" % (port, k))  # one piece: print writes several, and threads would mix theirs
jobs = [threading.Thread(target=run, args=(t,)) for t in range(threads)]
for j in jobs: j.start()
for j in jobs: j.join()
`

// addonCode is the code of each of the addons.
const addonCode = `
import socket
def call(ms):
    with socket.create_connection(("203.0.113.10", 80), timeout=30) as s:
        s.sendall(b"GET /?ms=%d HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n" % ms)
        while s.recv(65536):
            pass
        return s.getsockname()[1]
`

// load is how much is called: connections = processes × threads × calls.
type load struct {
	processes, threads, calls, addons int
	ms                                int           // after which the servers answer
	delay                             time.Duration // of the link, one way
}

// benchOwner measures the time from the capture time of a SYN to the answer who made the call, and compares answers with the truth that the callers wrote down themselves, for servers
// that answer after 1 to 100 ms on a link without delay.
func benchOwner(ctx context.Context, _ options) ([]figure, error) {
	quiet, err := callAndAsk(ctx, load{processes: 1, threads: 1, calls: 200, addons: 1, ms: 5, delay: 5 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	figures := []figure{
		{What: fmt.Sprintf("SYN to owner, p50 of %d calls", quiet.seen()), Ours: quiet.percentile(0.5), Unit: "µs", Goal: "≤ 300"},
		{What: "SYN to owner, p99", Ours: quiet.percentile(0.99), Unit: "µs", Goal: "≤ 2000"},
	}
	for _, ms := range []int{1, 5, 20, 100} {
		r, err := callAndAsk(ctx, load{processes: 4, threads: 4, calls: 60, addons: 4, ms: ms})
		if err != nil {
			return nil, err
		}
		goal := "≥ 99.9"
		if ms < 5 {
			goal = "≥ 95"
		}
		what := fmt.Sprintf("servers answer after %d ms, %d calls: ", ms, r.calls)
		figures = append(figures,
			figure{What: what + "addon right", Ours: 100 * float64(r.right) / float64(r.calls), Unit: "%", Goal: goal},
			figure{What: what + "addon unknown", Ours: float64(r.unknown), Unit: "calls"},
			figure{What: what + "addon WRONG", Ours: float64(r.wrong), Unit: "calls", Goal: "0"},
			figure{What: what + "netaudit's CPU time a call", Ours: float64(r.cpu.Microseconds()) / float64(r.calls), Unit: "µs"},
		)
	}
	return figures, nil
}

// comparison is what came of a load.
type comparison struct {
	calls, right, unknown, wrong int
	latencies                    []time.Duration // sorted
	cpu                          time.Duration   // of this process: capture, dissection, attribution, and the wire of the sandbox
}

func (c *comparison) seen() int { return len(c.latencies) }

func (c *comparison) percentile(q float64) float64 {
	if len(c.latencies) == 0 {
		return 0
	}
	return float64(c.latencies[int(q*float64(len(c.latencies)-1))].Microseconds())
}

func callAndAsk(ctx context.Context, l load) (c comparison, err error) {
	dir, err := os.MkdirTemp("", "netaudit-bench-")
	if err != nil {
		return c, err
	}
	defer os.RemoveAll(dir)
	if err := writeCallers(dir, l.addons); err != nil {
		return c, err
	}
	box, err := sandbox.New(ctx, sandbox.Config{
		Dir: dir, Delay: l.delay,
		Hosts: []sandbox.Host{{Name: "bench.example", Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.10")}}},
	})
	if err != nil {
		return c, err
	}
	before := cpuTime()
	answers, truth, err := measureOwners(ctx, box, dir, l)
	c.cpu = cpuTime() - before
	if err = errors.Join(err, box.Close()); err != nil {
		return c, err
	}
	c.compare(answers, truth)
	return c, nil
}

// compare counts. A call that was not seen is unknown too.
func (c *comparison) compare(answers map[uint16]answer, truth map[uint16]string) {
	c.calls = len(truth)
	for port, addon := range truth {
		a, ok := answers[port]
		switch {
		case !ok || a.owner.Addon == nil:
			c.unknown++
		case a.owner.Addon.Name == addon:
			c.right++
		default:
			c.wrong++
		}
		if ok {
			c.latencies = append(c.latencies, a.latency)
		}
	}
	slices.Sort(c.latencies)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func writeCallers(dir string, addons int) error {
	files := map[string]string{"caller.py": caller, "odoo/__init__.py": "", "odoo/addons/__init__.py": ""}
	for k := range addons {
		files[fmt.Sprintf("odoo/addons/bench_%d/__init__.py", k)] = ""
		files[fmt.Sprintf("odoo/addons/bench_%d/work.py", k)] = addonCode
	}
	for path, text := range files {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

type answer struct {
	owner   attribution.Owner
	latency time.Duration
}

// asker is a Sink that asks for the owner of every TCP flow and keeps how long the answer took.
type asker struct {
	resolver *resolve.Resolver
	netns    uint64
	mu       sync.Mutex
	answers  map[uint16]answer // by local port
	pending  sync.WaitGroup
}

func (a *asker) FlowOpened(f *dissect.Flow) {
	if f.Proto != 6 {
		return
	}
	start, port := f.Start, f.Src.Port()
	a.pending.Add(1)
	asked := a.resolver.Ask(attribution.Tuple{Proto: 6, Local: f.Src, Remote: f.Dst, NetNS: a.netns}, func(o attribution.Owner) {
		defer a.pending.Done()
		took := time.Duration(time.Now().UnixNano() - start)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.answers[port] = answer{o, took}
	})
	if !asked {
		a.pending.Done()
	}
}
func (*asker) FlowActive(*dissect.Flow)                 {}
func (*asker) FlowUpdated(*dissect.Flow)                {}
func (*asker) FlowClosed(*dissect.Flow)                 {}
func (*asker) DNSMessage(*dissect.Flow, *dissect.DNS)   {}
func (*asker) HTTPBegan(*dissect.Flow, *dissect.HTTP)   {}
func (*asker) HTTPRequest(*dissect.Flow, *dissect.HTTP) {}

// measureOwners runs the callers under a capture; answers and truth are by local port.
func measureOwners(ctx context.Context, box *sandbox.Sandbox, dir string, l load) (map[uint16]answer, map[uint16]string, error) {
	resolver, err := resolve.New(resolve.Config{})
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = resolver.Run(ctx) }) // it ends with ctx, and that is its only error
	defer running.Wait()
	defer stop()
	source, err := tap.OpenLive(tap.LiveConfig{Iface: sandbox.OdooInterface, NetNS: box.OdooNetNS()})
	if err != nil {
		return nil, nil, err
	}
	defer source.Close()
	sink := &asker{resolver: resolver, netns: box.OdooNetNSInode(), answers: map[uint16]answer{}}
	outputs := make([]bytes.Buffer, l.processes)
	var callers errgroup.Group
	for i := range outputs {
		cmd := box.Command(ctx, box.Python(), filepath.Join(dir, "caller.py"), fmt.Sprint(l.threads), fmt.Sprint(l.calls), fmt.Sprint(l.ms), fmt.Sprint(l.addons))
		cmd.Stdout, cmd.Stderr = &outputs[i], os.Stderr
		callers.Go(cmd.Run)
	}
	ended := make(chan error, 1)
	go func() { ended <- callers.Wait() }()
	local := func(a netip.Addr) bool { return a == sandbox.OdooAddr4 || a == sandbox.OdooAddr6 }
	engine := dissect.New(dissect.Config{Local: local, Names: dissect.NewNames(0)}, sink)
	var p tap.Packet
	for {
		select {
		case err := <-ended:
			sink.pending.Wait()
			return sink.answers, truthOf(outputs), err
		default:
		}
		if err := source.Next(ctx, &p); err == nil {
			engine.Packet(&p)
		} else if !errors.Is(err, tap.ErrIdle) {
			return nil, nil, err
		}
	}
}

// truthOf reads what the callers wrote. A port that was used twice says nothing and is left out.
func truthOf(outputs []bytes.Buffer) map[uint16]string {
	truth, twice := map[uint16]string{}, map[uint16]bool{}
	for i := range outputs {
		for line := range strings.Lines(outputs[i].String()) {
			var port uint16
			var addon string
			if _, err := fmt.Sscan(line, &port, &addon); err != nil {
				continue // the interpreter's own words
			}
			twice[port] = truth[port] != ""
			truth[port] = addon
		}
	}
	maps.DeleteFunc(truth, func(port uint16, _ string) bool { return twice[port] })
	return truth
}
