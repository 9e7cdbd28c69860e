package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"netaudit/appliance/sandbox"
	"netaudit/attribution"
	"netaudit/attribution/kernel/hook"
	"netaudit/attribution/resolve"
	"netaudit/dissect"
	"netaudit/tap"
)

// watchVariable makes this program a child that watches a namespace and asks for the owner of every TCP flow: its value is a watch.
const watchVariable = "NETAUDIT_BENCH_WATCH"

// watch is what to watch.
type watch struct {
	NetNS    string // path
	Inode    uint64 // of the namespace
	Recorded bool   // callers, by the kernel
}

// watched is what the child answers when its standard input ends.
type watched struct {
	Answers   map[uint16]answer // by local port
	CPU       time.Duration     // of the child since it was ready
	Lost      uint64            // packets that the capture lost
	QueueFull uint64            // flows that could not be asked about
}

// answer is what the child found out about one flow.
type answer struct {
	Addon   string // "" if unknown
	Reason  string // why it is
	Latency time.Duration
}

// watcher is a child that watches.
type watcher struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
}

// startWatch returns when the child captures packets.
func startWatch(ctx context.Context, what watch) (*watcher, error) {
	text, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env, cmd.Stderr = append(os.Environ(), watchVariable+"="+string(text)), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the process that watches: %w", err)
	}
	w := &watcher{cmd: cmd, stdin: in, out: bufio.NewReader(out)}
	if _, err := w.out.ReadString('\n'); err != nil {
		_, endErr := w.end()
		return nil, errors.Join(fmt.Errorf("wait until callers are watched: %w", err), endErr)
	}
	return w, nil
}

// end tells the child that all calls were made, and returns what it saw.
func (w *watcher) end() (seen watched, err error) {
	err = w.stdin.Close()
	if decodeErr := json.NewDecoder(w.out).Decode(&seen); decodeErr != nil {
		err = errors.Join(err, fmt.Errorf("read what was watched: %w", decodeErr))
	}
	return seen, errors.Join(err, w.cmd.Wait())
}

// maybeWatch does the work of the child.
func maybeWatch() {
	text := os.Getenv(watchVariable)
	if text == "" {
		return
	}
	var what watch
	err := json.Unmarshal([]byte(text), &what)
	if err == nil {
		err = what.run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// lastPackets is how long nothing must have been captured when the callers have ended: the last packets may wait in the capture's ring.
const lastPackets = 300 * time.Millisecond

func (what watch) run(ctx context.Context) error {
	c := resolve.Config{Follow: true, Logger: slog.New(slog.DiscardHandler)}
	if what.Recorded {
		h, err := hook.Open()
		if err != nil {
			return err
		}
		defer h.Close()
		c.Hook = h
	}
	resolver, err := resolve.New(c)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = resolver.Run(ctx) }) // it ends with ctx, and that is its only error
	defer running.Wait()
	defer stop()
	source, err := tap.OpenLive(tap.LiveConfig{Iface: sandbox.OdooInterface, NetNS: what.NetNS})
	if err != nil {
		return err
	}
	defer source.Close()
	sink := &asker{resolver: resolver, netns: what.Inode, answers: map[uint16]answer{}}
	before := processorTime()
	fmt.Println("ready")
	if err := dissectUntil(ctx, callsEnd(), source, sink); err != nil {
		return err
	}
	sink.pending.Wait()
	return json.NewEncoder(os.Stdout).Encode(watched{
		Answers: sink.answers, CPU: processorTime() - before, Lost: source.Stats().KernelDropped, QueueFull: resolver.Stats().QueueFull,
	})
}

// callsEnd turns true when standard input has ended.
func callsEnd() *atomic.Bool {
	var ended atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // an error ends it too
		ended.Store(true)
	}()
	return &ended
}

func dissectUntil(ctx context.Context, ended *atomic.Bool, source tap.Source, sink *asker) error {
	local := func(a netip.Addr) bool { return a == sandbox.OdooAddr4 || a == sandbox.OdooAddr6 }
	engine := dissect.New(dissect.Config{Local: local, Names: dissect.NewNames(0)}, sink)
	var p tap.Packet
	for latest := time.Now(); !ended.Load() || time.Since(latest) < lastPackets; {
		if err := source.Next(ctx, &p); err == nil {
			engine.Packet(&p)
			latest = time.Now()
		} else if !errors.Is(err, tap.ErrIdle) {
			return err
		}
	}
	return nil
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
		found := answer{Reason: o.Evidence.Reason, Latency: time.Duration(time.Now().UnixNano() - start)}
		if o.Addon != nil {
			found.Addon = o.Addon.Name
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.answers[port] = found
	})
	if !asked {
		a.pending.Done()
	}
}
func (*asker) FlowActive(*dissect.Flow, uint64)         {}
func (*asker) FlowUpdated(*dissect.Flow)                {}
func (*asker) FlowClosed(*dissect.Flow)                 {}
func (*asker) DNSMessage(*dissect.Flow, *dissect.DNS)   {}
func (*asker) HTTPBegan(*dissect.Flow, *dissect.HTTP)   {}
func (*asker) HTTPRequest(*dissect.Flow, *dissect.HTTP) {}

// processorTime is what this process has taken of the processors, system calls included.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
