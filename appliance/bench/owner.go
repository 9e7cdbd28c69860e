package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"netaudit/appliance/sandbox"
)

// caller is a Python program with addons: every thread makes one call after the other, each through another addon, and writes down the truth: local port and addon.
const caller = `
import importlib, sys, threading, time
threads, calls, ms, addons, every = map(int, sys.argv[1:])
work = [importlib.import_module("odoo.addons.bench_%d.work" % k) for k in range(addons)]
def run(first):
    for i in range(calls):
        k = (first + i) % addons
        begun = time.perf_counter_ns()
        port = work[k].call(ms)
        took = time.perf_counter_ns() - begun
        sys.stdout.write("%d bench_%d %d\n" % (port, k, took))  # one piece: print writes several, and threads would mix theirs
        time.sleep(max(0, every / 1e3 - took / 1e9))
jobs = [threading.Thread(target=run, args=(t,)) for t in range(threads)]
for j in jobs: j.start()
for j in jobs: j.join()
`

// addonCode is the code of each of the addons.
const addonCode = `
import socket
def call(ms):
    with socket.create_connection(("203.0.113.10", 80), timeout=30) as s:
        if ms == 0:
            return s.getsockname()[1]
        s.sendall(b"GET /?ms=%d HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n" % ms)
        while s.recv(65536):
            pass
        return s.getsockname()[1]
`

// load is how much is called: connections = processes × threads × calls.
type load struct {
	processes, threads, calls, addons int
	ms                                int           // after which the servers answer; 0: nothing is asked, the connection is closed at once
	delay                             time.Duration // of the link, one way
	every                             time.Duration // from call to call of a thread; 0: one right after the other
	recorded                          bool          // by the kernel
}

// benchOwner measures the time from the capture time of a SYN to the answer who made the call, and compares answers with the truth that the callers wrote down themselves, for connections that are
// closed at once and for servers that answer after 1 to 100 ms, on a link without delay: with and without callers recorded by the kernel.
func benchOwner(ctx context.Context, o options) ([]figure, error) {
	var figures []figure
	for _, recorded := range o.witnesses() {
		name := "threads caught: "
		if recorded {
			name = "kernel records: "
		}
		quiet, err := callAndAsk(ctx, load{processes: 1, threads: 1, calls: 200, addons: 1, ms: 5, delay: 5 * time.Millisecond, recorded: recorded})
		if err != nil {
			return nil, err
		}
		figures = append(figures,
			figure{What: fmt.Sprintf("%sSYN to owner, p50 of %d calls", name, quiet.seen()), Ours: quiet.percentile(0.5), Unit: "µs", Goal: "≤ 300"},
			figure{What: name + "SYN to owner, p99", Ours: quiet.percentile(0.99), Unit: "µs", Goal: "≤ 2000"},
			figure{What: name + "one call after another: netaudit's CPU time a call", Ours: quiet.cpuOfCall(), Unit: "µs"},
		)
		const each = 40 * time.Millisecond
		hundred, err := callAndAsk(ctx, load{processes: 4, threads: 1, calls: 150, addons: 4, ms: 5, delay: 5 * time.Millisecond, every: each, recorded: recorded})
		if err != nil {
			return nil, err
		}
		figures = append(figures, figure{
			What: name + "100 calls a second: netaudit's CPU time", Ours: 100 * hundred.cpuOfCall() / float64(each.Microseconds()/4), Unit: "% of a core", Goal: "≤ 2",
		})
		for _, ms := range []int{0, 1, 5, 20, 100} {
			calls := 60
			if ms == 0 {
				calls = 500
			}
			r, err := callAndAsk(ctx, load{processes: 4, threads: 4, calls: calls, addons: 4, ms: ms, recorded: recorded})
			if err != nil {
				return nil, err
			}
			figures = append(figures, r.figures(name, ms, recorded)...)
		}
	}
	if o.sleepers == 0 {
		return figures, nil
	}
	crowded, err := amongSleepers(ctx, o)
	return append(figures, crowded...), err
}

// amongSleepers repeats a case on a host with many processes that do nothing.
func amongSleepers(ctx context.Context, o options) (figures []figure, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	crowd := exec.CommandContext(ctx, "sh", "-c", `i=0; while [ $i -lt "$1" ]; do sleep 3600 & i=$((i+1)); done; echo ready; wait`, "sh", strconv.Itoa(o.sleepers))
	crowd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	crowd.Cancel = func() error { return syscall.Kill(-crowd.Process.Pid, syscall.SIGKILL) }
	out, err := crowd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := crowd.Start(); err != nil {
		return nil, err
	}
	defer func() { stop(); _ = crowd.Wait() }() // it was killed
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("start %d sleepers: %w", o.sleepers, err)
	}
	for _, recorded := range o.witnesses() {
		r, err := callAndAsk(ctx, load{processes: 4, threads: 4, calls: 60, addons: 4, ms: 5, recorded: recorded})
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("%d other processes, threads caught: ", o.sleepers)
		if recorded {
			name = fmt.Sprintf("%d other processes, kernel records: ", o.sleepers)
		}
		figures = append(figures, r.figures(name, 5, recorded)...)
	}
	return figures, nil
}

// figures are the lines of one case.
func (c *comparison) figures(name string, ms int, recorded bool) []figure {
	what := fmt.Sprintf("%sanswer after %d ms, %d calls: ", name, ms, c.calls)
	if ms == 0 {
		what = fmt.Sprintf("%sclosed at once after %d µs, %d calls: ", name, c.length.Microseconds(), c.calls)
	}
	goal := "≥ 99.9"
	switch {
	case recorded:
		goal = "≥ 99.99"
	case ms == 0:
		goal = ""
	case ms < 5:
		goal = "≥ 95"
	}
	return []figure{
		{What: what + "addon right", Ours: 100 * float64(c.right) / float64(c.calls), Unit: "%", Goal: goal},
		{What: what + "addon unknown", Ours: float64(c.unknown), Unit: "calls"},
		{What: what + "addon WRONG", Ours: float64(c.wrong), Unit: "calls", Goal: "0"},
		{What: what + "SYN to owner, p50", Ours: c.percentile(0.5), Unit: "µs"},
		{What: what + "SYN to owner, p99", Ours: c.percentile(0.99), Unit: "µs"},
		{What: what + "netaudit's CPU time a call", Ours: c.cpuOfCall(), Unit: "µs"},
	}
}

// comparison is what came of a load.
type comparison struct {
	calls, right, unknown, wrong int
	reasons                      map[string]int  // why callers are unknown
	latencies                    []time.Duration // sorted
	length                       time.Duration   // of a call, in the middle
	cpu                          time.Duration   // of the process that watches: capture, dissection, attribution
}

func (c *comparison) seen() int { return len(c.latencies) }

// cpuOfCall is in microseconds.
func (c *comparison) cpuOfCall() float64 {
	return float64(c.cpu.Microseconds()) / float64(max(1, c.calls))
}

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
		Dir: dir, Delay: max(l.delay, time.Nanosecond), // not a bare veth pair: sixteen threads would make more calls in a second there than two processors can look at
		Hosts: []sandbox.Host{{Name: "bench.example", Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.10")}}},
	})
	if err != nil {
		return c, err
	}
	watched, truth, err := callUnderWatch(ctx, box, dir, l)
	if err = errors.Join(err, box.Close()); err != nil {
		return c, err
	}
	c.cpu = watched.CPU
	c.compare(watched.Answers, truth)
	if watched.Lost > 0 || watched.QueueFull > 0 {
		fmt.Fprintf(os.Stderr, "answer after %d ms, recorded %t: the capture lost %d packets, and %d calls could not be asked about since too many waited\n", l.ms, l.recorded, watched.Lost, watched.QueueFull)
	}
	for _, reason := range slices.Sorted(maps.Keys(c.reasons)) {
		fmt.Fprintf(os.Stderr, "answer after %d ms, recorded %t: %d of %d calls unknown: %s\n", l.ms, l.recorded, c.reasons[reason], c.calls, reason)
	}
	c.length = middle(truth)
	return c, nil
}

// compare counts. A call that was not seen is unknown too.
func (c *comparison) compare(answers map[uint16]answer, truth map[uint16]made) {
	c.calls, c.reasons = len(truth), map[string]int{}
	for port, m := range truth {
		a, ok := answers[port]
		switch {
		case !ok:
			c.unknown++
			c.reasons["its first packet was not seen, or it could not be asked about"]++
		case a.Addon == "":
			c.unknown++
			c.reasons[a.Reason]++
		case a.Addon == m.addon:
			c.right++
		default:
			c.wrong++
		}
		if ok {
			c.latencies = append(c.latencies, a.Latency)
		}
	}
	slices.Sort(c.latencies)
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

// callUnderWatch runs the callers while another process watches them, so that what is measured shares nothing with the servers and the wire of the sandbox, which work here.
func callUnderWatch(ctx context.Context, box *sandbox.Sandbox, dir string, l load) (watched, map[uint16]made, error) {
	w, err := startWatch(ctx, watch{NetNS: box.OdooNetNS(), Inode: box.OdooNetNSInode(), Recorded: l.recorded})
	if err != nil {
		return watched{}, nil, err
	}
	outputs := make([]bytes.Buffer, l.processes)
	var callers errgroup.Group
	for i := range outputs {
		cmd := box.Command(ctx, box.Python(), filepath.Join(dir, "caller.py"), fmt.Sprint(l.threads), fmt.Sprint(l.calls), fmt.Sprint(l.ms), fmt.Sprint(l.addons), fmt.Sprint(l.every.Milliseconds()))
		cmd.Stdout, cmd.Stderr = &outputs[i], os.Stderr
		callers.Go(cmd.Run)
	}
	err = callers.Wait()
	seen, watchErr := w.end()
	return seen, truthOf(outputs), errors.Join(err, watchErr)
}

// made is what a caller wrote down of one call.
type made struct {
	addon string
	took  time.Duration
}

// truthOf reads what the callers wrote. A port that was used twice says nothing and is left out.
func truthOf(outputs []bytes.Buffer) map[uint16]made {
	truth, twice := map[uint16]made{}, map[uint16]bool{}
	for i := range outputs {
		for line := range strings.Lines(outputs[i].String()) {
			var port uint16
			var m made
			if _, err := fmt.Sscan(line, &port, &m.addon, &m.took); err != nil {
				continue // the interpreter's own words
			}
			twice[port] = twice[port] || truth[port].addon != ""
			truth[port] = m
		}
	}
	maps.DeleteFunc(truth, func(port uint16, _ made) bool { return twice[port] })
	return truth
}

// middle is the median of the calls' lengths.
func middle(truth map[uint16]made) time.Duration {
	var list []time.Duration
	for _, m := range truth {
		list = append(list, m.took)
	}
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[len(list)/2]
}
