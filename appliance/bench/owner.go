package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"netaudit/appliance/sandbox"
	"netaudit/attribution"
	"netaudit/attribution/resolve"
	"netaudit/dissect"
	"netaudit/tap"
)

// caller is a Python program that makes one TCP connection after the other.
const caller = `
import socket, sys
for i in range(int(sys.argv[1])):
    with socket.create_connection(("203.0.113.10", 80), timeout=5) as s:
        s.sendall(b"GET /?ms=5 HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n")
        while s.recv(65536):
            pass
`

// connections is how many calls are measured.
const connections = 200

// benchOwner measures the time from the capture time of a SYN to the answer who made the call.
func benchOwner(ctx context.Context, _ options) ([]figure, error) {
	dir, err := os.MkdirTemp("", "netaudit-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	box, err := sandbox.New(ctx, sandbox.Config{
		Dir: dir, Delay: 5 * time.Millisecond,
		Hosts: []sandbox.Host{{Name: "bench.example", Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.10")}}},
	})
	if err != nil {
		return nil, err
	}
	answers, err := measureOwners(ctx, box, dir)
	if err = errors.Join(err, box.Close()); err != nil {
		return nil, err
	}
	known := 0
	var latencies []time.Duration
	for _, a := range answers {
		latencies = append(latencies, a.latency)
		if a.owner.Process != nil {
			known++
		}
	}
	if len(latencies) == 0 {
		return nil, errors.New("no call was seen")
	}
	slices.Sort(latencies)
	at := func(q float64) float64 {
		return float64(latencies[int(q*float64(len(latencies)-1))].Microseconds())
	}
	return []figure{
		{What: fmt.Sprintf("SYN to owner, p50 of %d calls", len(latencies)), Ours: at(0.5), Unit: "µs", Goal: "≤ 300"},
		{What: "SYN to owner, p99", Ours: at(0.99), Unit: "µs", Goal: "≤ 2000"},
		{What: "calls whose process was found", Ours: 100 * float64(known) / float64(len(answers)), Unit: "%", Goal: "≥ 99.9"},
	}, nil
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
	answers  []answer
	pending  sync.WaitGroup
}

func (a *asker) FlowOpened(f *dissect.Flow) {
	if f.Proto != 6 {
		return
	}
	start := f.Start
	a.pending.Add(1)
	asked := a.resolver.Ask(attribution.Tuple{Proto: 6, Local: f.Src, Remote: f.Dst, NetNS: a.netns}, func(o attribution.Owner) {
		defer a.pending.Done()
		took := time.Duration(time.Now().UnixNano() - start)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.answers = append(a.answers, answer{o, took})
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

func measureOwners(ctx context.Context, box *sandbox.Sandbox, dir string) ([]answer, error) {
	resolver, err := resolve.New(resolve.Config{})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = resolver.Run(ctx) }) // it ends with ctx, and that is its only error
	defer running.Wait()
	defer stop()
	source, err := tap.OpenLive(tap.LiveConfig{Iface: sandbox.OdooInterface, NetNS: box.OdooNetNS()})
	if err != nil {
		return nil, err
	}
	defer source.Close()
	sink := &asker{resolver: resolver, netns: box.OdooNetNSInode()}
	program := filepath.Join(dir, "caller.py")
	if err := os.WriteFile(program, []byte(caller), 0o644); err != nil {
		return nil, err
	}
	cmd := box.Command(ctx, box.Python(), program, fmt.Sprint(connections))
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	local := func(a netip.Addr) bool { return a == sandbox.OdooAddr4 || a == sandbox.OdooAddr6 }
	engine := dissect.New(dissect.Config{Local: local, Names: dissect.NewNames(0)}, sink)
	var p tap.Packet
	for {
		select {
		case err := <-ended:
			sink.pending.Wait()
			return sink.answers, err
		default:
		}
		if err := source.Next(ctx, &p); err == nil {
			engine.Packet(&p)
		} else if !errors.Is(err, tap.ErrIdle) {
			return nil, err
		}
	}
}
