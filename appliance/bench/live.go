package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gopacket/gopacket/afpacket"

	"netaudit/appliance/recorder"
	"netaudit/attribution/party"
	"netaudit/dissect"
	"netaudit/ledger"
	"netaudit/tap"
)

// sendFor is how long frames are sent at each rate; quiet how long a reader may take for what is still in the kernel's buffer.
const (
	sendFor = 2 * time.Second
	quiet   = 500 * time.Millisecond
)

// rates are tried upwards until frames are lost, in frames a second.
var rates = []int{50_000, 100_000, 150_000, 200_000, 250_000, 300_000, 350_000, 400_000, 500_000, 600_000}

// wire is a pair of interfaces in two network namespaces of its own.
type wire struct{ near, far string }

func newWire(ctx context.Context) (*wire, error) {
	w := &wire{near: fmt.Sprintf("netaudit-bench-%d-a", os.Getpid()), far: fmt.Sprintf("netaudit-bench-%d-b", os.Getpid())}
	for _, line := range []string{
		"netns add " + w.near, "netns add " + w.far,
		"-n " + w.near + " link add va type veth peer name vb netns " + w.far,
		"-n " + w.near + " link set va up", "-n " + w.far + " link set vb up",
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("ip %s: %w: %s", line, err, out), w.close())
		}
	}
	return w, nil
}

func (w *wire) close() error {
	return errors.Join(exec.Command("ip", "netns", "del", w.near).Run(), exec.Command("ip", "netns", "del", w.far).Run())
}

func (w *wire) path(name string) string { return "/run/netns/" + name }

// benchLive sends short TLS calls over a pair of interfaces, faster and faster, and finds the highest rate at which each reader loses nothing.
func benchLive(ctx context.Context, o options) (figures []figure, err error) {
	frames, err := frameBatch(ctx)
	if err != nil {
		return nil, err
	}
	w, err := newWire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	sender, err := openSender(w.path(w.near))
	if err != nil {
		return nil, err
	}
	defer sender.Close()
	best := map[string]int{}
	readers := []struct {
		name string
		read func(context.Context, *wire) (reader, error)
	}{{"tcpdump", startTcpdump}, {"immediate", startTap(false)}, {"ring", startTap(true)}}
	for _, r := range readers {
		best[r.name], err = highestRate(ctx, w, sender, frames, r.read)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
	}
	figures = []figure{
		{What: "live: highest rate without loss, immediate", Ours: float64(best["immediate"]), Rival: float64(best["tcpdump"]), Who: "tcpdump -w /dev/null", Unit: "frames/s", Goal: "≥ 1"},
		{What: "live: highest rate without loss, ring", Ours: float64(best["ring"]), Rival: float64(best["tcpdump"]), Who: "tcpdump -w /dev/null", Unit: "frames/s", Goal: "≥ 1"},
	}
	for _, ring := range []bool{false, true} {
		lines, err := wireLatency(ctx, w, ring)
		if err != nil {
			return nil, err
		}
		figures = append(figures, lines...)
	}
	return figures, nil
}

// frameBatch is a generated capture in memory.
func frameBatch(ctx context.Context) ([][]byte, error) {
	file := filepath.Join(os.TempDir(), fmt.Sprintf("netaudit-bench-%d.pcap", os.Getpid()))
	defer os.Remove(file)
	if out, err := exec.CommandContext(ctx, "go", "run", "./tap/benchcapture", "-kind", "flows", "-size", "64", "-o", file).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("generate the frames: %w\n%s", err, out)
	}
	s, err := tap.OpenFile(file)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var frames [][]byte
	for {
		var p tap.Packet
		if err := s.Next(ctx, &p); errors.Is(err, io.EOF) {
			return frames, nil
		} else if err != nil {
			return nil, err
		}
		if len(p.Data) <= 1514 {
			frames = append(frames, bytes.Clone(p.Data))
		}
	}
}

// reader is a running capture; stop ends it and says how many frames it lost.
type reader struct{ stop func() (lost int, err error) }

// highestRate is the last rate before frames are lost, 0 when they are lost at the lowest one.
func highestRate(ctx context.Context, w *wire, sender *afpacket.TPacket, frames [][]byte, start func(context.Context, *wire) (reader, error)) (int, error) {
	best := 0
	for _, rate := range rates {
		r, err := start(ctx, w)
		if err != nil {
			return 0, err
		}
		_, sendErr := send(sender, frames, rate, sendFor)
		time.Sleep(quiet)
		lost, err := r.stop()
		if err != nil {
			return 0, err
		}
		if lost > 0 || errors.Is(sendErr, errTooFast) {
			return best, nil
		}
		if sendErr != nil {
			return 0, sendErr
		}
		best = rate
	}
	return best, nil
}

var droppedByKernel = regexp.MustCompile(`(\d+) packets dropped by kernel`)

func startTcpdump(ctx context.Context, w *wire) (reader, error) {
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", w.far, "tcpdump", "-i", "vb", "-B", "65536", "-w", "/dev/null")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return reader{}, err
	}
	time.Sleep(quiet)
	return reader{func() (int, error) {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			return 0, err
		}
		if err := cmd.Wait(); err != nil {
			return 0, fmt.Errorf("tcpdump: %w: %s", err, log.String())
		}
		m := droppedByKernel.FindStringSubmatch(log.String())
		if m == nil {
			return 0, fmt.Errorf("tcpdump said %q", log.String())
		}
		return strconv.Atoi(m[1])
	}}, nil
}

// startTap runs the whole way from capture to event.
func startTap(ring bool) func(context.Context, *wire) (reader, error) {
	return func(ctx context.Context, w *wire) (reader, error) {
		engine, source, err := openWire(w, ring)
		if err != nil {
			return reader{}, err
		}
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- pumpUntil(ctx, source, engine, func(*tap.Packet) {}) }()
		return reader{func() (int, error) {
			cancel()
			err := <-done
			s := source.Stats()
			return int(s.KernelDropped), errors.Join(err, source.Close())
		}}, nil
	}
}

func openWire(w *wire, ring bool) (*dissect.Engine, tap.Source, error) {
	parties, err := party.Load()
	if err != nil {
		return nil, nil, err
	}
	r, err := recorder.New(recorder.Config{Parties: parties, Lend: func(*ledger.Event) {}})
	if err != nil {
		return nil, nil, err
	}
	source, err := tap.OpenLive(tap.LiveConfig{Iface: "vb", NetNS: w.path(w.far), Ring: ring})
	if err != nil {
		return nil, nil, err
	}
	local := func(a netip.Addr) bool { return a.IsPrivate() }
	return dissect.New(dissect.Config{Local: local}, r), source, nil
}

func pumpUntil(ctx context.Context, source tap.Source, engine *dissect.Engine, each func(*tap.Packet)) error {
	var p tap.Packet
	for {
		err := source.Next(ctx, &p)
		switch {
		case err == nil:
			each(&p)
			engine.Packet(&p)
		case errors.Is(err, tap.ErrIdle):
		case ctx.Err() != nil:
			return nil
		default:
			return err
		}
	}
}

// wireLatency is the time from the kernel's time stamp to the moment the frame is dissected, and what that takes of a processor, at 20,000 frames a second.
func wireLatency(ctx context.Context, w *wire, ring bool) ([]figure, error) {
	engine, source, err := openWire(w, ring)
	if err != nil {
		return nil, err
	}
	var took []int64
	running, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- pumpUntil(running, source, engine, func(p *tap.Packet) { took = append(took, time.Now().UnixNano()-p.Time) })
	}()
	const rate = 20_000
	took = slices.Grow(took, rate*int(sendFor/time.Second))
	before := processorTime()
	sendErr := sendElsewhere(ctx, w.path(w.near), rate)
	used := processorTime() - before
	time.Sleep(quiet)
	cancel()
	if err := errors.Join(sendErr, <-done, source.Close()); err != nil {
		return nil, err
	}
	if len(took) == 0 {
		return nil, errors.New("no frame was seen")
	}
	slices.Sort(took)
	at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))]) / 1000 }
	how := map[bool]string{false: "immediate", true: "ring"}[ring]
	return []figure{
		{What: "live: wire to dissection at 20,000/s, p50, " + how, Ours: at(0.5), Unit: "µs"},
		{What: "live: wire to dissection at 20,000/s, p99, " + how, Ours: at(0.99), Unit: "µs", Goal: map[bool]string{false: "≤ 1000"}[ring]},
		{What: "live: processor time at 20,000/s, " + how, Ours: 100 * used.Seconds() / sendFor.Seconds(), Unit: "% of a core", Goal: "≤ 5"},
	}, nil
}
