package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"netaudit/tap"
)

// cost is what one run of a command took.
type cost struct {
	cpu, wall time.Duration
	peakKiB   int64
}

// measure runs a command pinned to one core.
func measure(ctx context.Context, argv ...string) (cost, error) {
	return measureOn(ctx, "0", argv...)
}

// measureOn runs a command pinned to a list of cores.
func measureOn(ctx context.Context, cores string, argv ...string) (cost, error) {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", cores}, argv...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return cost{}, fmt.Errorf("%v: %w", argv, err)
	}
	done, peak := make(chan struct{}), make(chan int64, 1)
	go func() { peak <- watchPeak(cmd.Process.Pid, done) }()
	err := cmd.Wait()
	c := cost{cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), wall: time.Since(begin)}
	close(done)
	c.peakKiB = <-peak
	if err != nil {
		return cost{}, fmt.Errorf("%v: %w\n%s", argv, err, out.Bytes())
	}
	return c, nil
}

// watchPeak reads the most memory that a process had resident, in KiB, until done. The kernel's own account of it (ru_maxrss) begins with the memory of whoever started the process.
func watchPeak(pid int, done <-chan struct{}) (most int64) {
	const every = 5 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return most
		case <-tick.C:
		}
		if kib, err := peakKiB(pid); err == nil { // otherwise it has ended
			most = max(most, kib)
		}
	}
}

// peakKiB is the most memory that a process had resident, in KiB.
func peakKiB(pid int) (kib int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	_, err = fmt.Sscan(after, &kib)
	return kib, err
}

// rival is another program that reads the same capture. Its goal is the largest ratio of CPU time, by kind of capture.
type rival struct {
	name  string
	argv  func(file, dir string) []string
	goals map[string]string
}

var rivals = []rival{
	{
		"tcpdump -w /dev/null", func(file, _ string) []string { return []string{"tcpdump", "-r", file, "-w", "/dev/null"} },
		map[string]string{"bulk": "≤ 0.5", "flows": "≤ 1.2", "dns": "≤ 6"},
	},
	{"ndpiReader", func(file, _ string) []string { return []string{"ndpiReader", "-i", file, "-q"} }, nil},
	{
		"suricata, tls+dns+flow", func(file, dir string) []string {
			return []string{"suricata", "-c", filepath.Join(dir, "suricata.yaml"), "-S", "/dev/null", "-r", file, "-l", dir, "--runmode", "single"}
		},
		map[string]string{"bulk": "≤ 0.15", "flows": "≤ 0.06", "dns": "≤ 0.05"},
	},
	{
		"tshark, a few fields", func(file, _ string) []string {
			return []string{"tshark", "-n", "-r", file, "-T", "fields", "-e", "ip.dst", "-e", "tls.handshake.extensions_server_name", "-e", "dns.qry.name"}
		}, nil,
	},
}

// suricataConfig is Suricata without rules, with the outputs that are the same work as ours.
const suricataConfig = `%YAML 1.1
---
vars:
  address-groups: {HOME_NET: "any", EXTERNAL_NET: "any"}
outputs:
  - eve-log: {enabled: yes, filetype: regular, filename: eve.json, types: [{tls: {extended: yes}}, dns, flow]}
app-layer:
  protocols:
    tls: {enabled: yes, detection-ports: {dp: 443}, ja3-fingerprints: yes}
    http: {enabled: yes}
    dns: {tcp: {enabled: yes, detection-ports: {dp: 53}}, udp: {enabled: yes, detection-ports: {dp: 53}}}
stream: {memcap: 256mb, checksum-validation: no, reassembly: {memcap: 256mb, depth: 1mb}}
flow: {memcap: 512mb, hash-size: 65536, prealloc: 10000}
unix-command: {enabled: no}
`

// captureSizes are in MiB: a million packets or more each, beside which the start of a program does not count.
var captureSizes = map[string]float64{"bulk": 1200, "flows": 1200, "dns": 116}

// peakGoals are in MiB.
var peakGoals = map[string]string{"bulk": "≤ 64 MiB", "flows": "≤ 96 MiB", "dns": "≤ 96 MiB"}

// benchReplay reads three generated captures with netaudit and with every rival that is installed, alternating, and takes the medians.
func benchReplay(ctx context.Context, o options) ([]figure, error) {
	dir, err := os.MkdirTemp("", "netaudit-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "suricata.yaml"), []byte(suricataConfig), 0o644); err != nil {
		return nil, err
	}
	var figures []figure
	for _, kind := range []string{"bulk", "flows", "dns"} {
		file := filepath.Join(dir, kind+".pcap")
		out, err := exec.CommandContext(ctx, "go", "run", "./tap/benchcapture", "-kind", kind, "-size", fmt.Sprint(max(1, int(o.scale*captureSizes[kind]))), "-o", file).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("generate %s: %w\n%s", kind, err, out)
		}
		lines, err := compareReaders(ctx, o, kind, file, dir)
		if err != nil {
			return nil, err
		}
		figures = append(figures, lines...)
		if err := os.Remove(file); err != nil {
			return nil, err
		}
	}
	return figures, nil
}

func compareReaders(ctx context.Context, o options, kind, file, dir string) ([]figure, error) {
	packets, err := countPackets(file)
	if err != nil {
		return nil, err
	}
	var figures []figure
	for _, r := range rivals {
		argv := r.argv(file, dir)
		if _, err := exec.LookPath(argv[0]); err != nil {
			fmt.Fprintf(os.Stderr, "%s is not installed: no comparison with it\n", argv[0])
			continue
		}
		rounds := o.rounds
		if r.goals["bulk"] != "≤ 0.5" {
			rounds = 1 // the slow ones take minutes, and their ratios are far from one
		}
		var ours, theirs []cost
		for range rounds {
			a, err := measure(ctx, o.netaudit, "replay", "--format", "none", file)
			if err != nil {
				return nil, err
			}
			b, err := measure(ctx, argv...)
			if err != nil {
				return nil, err
			}
			ours, theirs = append(ours, a), append(theirs, b)
		}
		figures = append(figures, figuresOf(kind, r, packets, median(ours), median(theirs))...)
	}
	if kind != "flows" || runtime.NumCPU() < 2 {
		return figures, nil
	}
	line, err := twoCores(ctx, o, packets, file)
	return append(figures, line), err
}

// twoCores compares the wall time on two cores with that on one.
func twoCores(ctx context.Context, o options, packets int, file string) (figure, error) {
	var two, one []cost
	for range o.rounds {
		a, err := measureOn(ctx, "0,1", o.netaudit, "replay", "--format", "none", file)
		if err != nil {
			return figure{}, err
		}
		b, err := measure(ctx, o.netaudit, "replay", "--format", "none", file)
		if err != nil {
			return figure{}, err
		}
		two, one = append(two, a), append(one, b)
	}
	ns := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(packets) }
	return figure{What: "replay flows: wall time, two cores", Ours: ns(median(two).wall), Rival: ns(median(one).wall), Who: "netaudit, one core", Unit: "ns/packet", Goal: "≤ 0.59"}, nil
}

func figuresOf(kind string, r rival, packets int, a, b cost) []figure {
	ns := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(packets) }
	return []figure{
		{What: "replay " + kind + ": CPU time", Ours: ns(a.cpu), Rival: ns(b.cpu), Who: r.name, Unit: "ns/packet", Goal: r.goals[kind]},
		{What: "replay " + kind + ": wall time", Ours: ns(a.wall), Rival: ns(b.wall), Who: r.name, Unit: "ns/packet"},
		{What: "replay " + kind + ": peak memory", Ours: float64(a.peakKiB) / 1024, Rival: float64(b.peakKiB) / 1024, Who: r.name, Unit: "MiB", Goal: peakGoals[kind]},
	}
}

func median(list []cost) cost {
	slices.SortFunc(list, func(a, b cost) int { return int(a.cpu - b.cpu) })
	return list[len(list)/2]
}

func countPackets(file string) (int, error) {
	s, err := tap.OpenFile(file)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	var p tap.Packet
	for n := 0; ; n++ {
		if err := s.Next(context.Background(), &p); err != nil {
			return n, nil // the end, however it looks: both programs read the same
		}
	}
}
