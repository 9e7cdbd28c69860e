package hook

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"testing"

	"netaudit/attribution/pystack"
)

// connects is a program that connects a UDP and a TCP socket again and again below 40 frames and prints the nanoseconds that each took, without and, from the second line on, while it is recorded.
const connects = `
import socket, sys, time
port = int(sys.argv[1])
def deep(n, f):
    return deep(n - 1, f) if n else f()
def udp(n=3000):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    to = ("127.0.0.1", port)
    best = []
    for _ in range(n):
        t = time.perf_counter_ns()
        s.connect(to)
        best.append(time.perf_counter_ns() - t)
    return sorted(best)[n // 2]
def tcp(n=1500):
    to = ("127.0.0.1", port)
    best = []
    for _ in range(n):
        s = socket.socket()
        t = time.perf_counter_ns()
        s.connect(to)
        best.append(time.perf_counter_ns() - t)
        s.close()
    return sorted(best)[n // 2]
print("ready", flush=True)
while sys.stdin.readline():
    print(deep(36, udp), deep(36, tcp), flush=True)
`

// BenchmarkConnect prints what recording adds to connect(2) of a Python program: medians of one run each, in turns.
func BenchmarkConnect(b *testing.B) {
	needRoot(b)
	server := instantServer(b)
	cmd := exec.Command("/usr/bin/python3", "-c", connects, fmt.Sprint(server.Port()))
	c := startCaller(b, cmd)
	ask := func() (udp, tcp float64) {
		c.cue(b)
		line := c.line(b)
		if _, err := fmt.Sscan(line, &udp, &tcp); err != nil {
			b.Fatalf("%q: %v", line, err)
		}
		return udp, tcp
	}
	p, err := pystack.Open(c.pid)
	if err != nil {
		b.Fatal(err)
	}
	plan, err := p.Plan()
	if err != nil {
		b.Fatal(err)
	}
	var sums [3][2]float64
	rounds := 0
	for b.Loop() {
		rounds++
		for kind := range sums {
			udp, tcp := recordedConnects(b, kind, c.pid, plan, ask)
			sums[kind][0] += udp
			sums[kind][1] += tcp
		}
	}
	for kind, name := range []string{"without", "caller", "stack"} {
		b.ReportMetric(sums[kind][0]/float64(rounds), name+"-udp-ns")
		b.ReportMetric(sums[kind][1]/float64(rounds), name+"-tcp-ns")
	}
}

// recordedConnects asks while nothing (0), the caller (1), or the caller's stack too (2) is recorded.
func recordedConnects(b *testing.B, kind, pid int, plan pystack.WalkPlan, ask func() (float64, float64)) (udp, tcp float64) {
	if kind == 0 {
		return ask()
	}
	h, err := Open()
	if err != nil {
		b.Fatal(err)
	}
	if kind == 2 {
		if _, err := h.Announce(pid, plan); err != nil {
			b.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	udp, tcp = ask()
	stop()
	running.Wait()
	if s := h.Stats(); s.Lost != 0 || s.Calls == 0 || kind == 2 && s.Stacks == 0 {
		b.Errorf("%+v", s)
	}
	if err := h.Close(); err != nil {
		b.Fatal(err)
	}
	return udp, tcp
}
