package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// cost is what one run of a command took.
type cost struct {
	cpu, wall time.Duration
	peakKiB   int64
}

// measure runs a command pinned to one core.
func measure(ctx context.Context, argv ...string) (cost, error) {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", "0"}, argv...)...)
	begin := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return cost{}, fmt.Errorf("%v: %w\n%s", argv, err, out)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return cost{cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), wall: time.Since(begin), peakKiB: usage.Maxrss}, nil
}

// benchReplay reads three generated captures with netaudit and with tcpdump, alternating, and takes the medians.
func benchReplay(ctx context.Context, o options) ([]figure, error) {
	dir, err := os.MkdirTemp("", "netaudit-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	goals := map[string]string{"bulk": "≤ 0.5", "flows": "≤ 1.2", "dns": "≤ 6"}
	var figures []figure
	for _, kind := range []string{"bulk", "flows", "dns"} {
		file := filepath.Join(dir, kind+".pcap")
		out, err := exec.CommandContext(ctx, "go", "run", "./tap/benchcapture", "-kind", kind, "-size", fmt.Sprint(o.size), "-o", file).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("generate %s: %w\n%s", kind, err, out)
		}
		lines, err := compareReaders(ctx, o, kind, file, goals[kind])
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

func compareReaders(ctx context.Context, o options, kind, file, goal string) ([]figure, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	packets, err := countPackets(file)
	if err != nil {
		return nil, err
	}
	var ours, rival []cost
	for range o.rounds {
		a, err := measure(ctx, o.netaudit, "replay", "--format", "none", file)
		if err != nil {
			return nil, err
		}
		b, err := measure(ctx, "tcpdump", "-r", file, "-w", "/dev/null")
		if err != nil {
			return nil, err
		}
		ours, rival = append(ours, a), append(rival, b)
	}
	a, b := median(ours), median(rival)
	mb := float64(info.Size()) / 1e6
	return []figure{
		{What: "replay " + kind + ": CPU time", Ours: a.cpu.Seconds(), Rival: b.cpu.Seconds(), Who: "tcpdump -w /dev/null", Unit: "s", Goal: goal},
		{What: "replay " + kind + ": packets", Ours: float64(packets) / a.wall.Seconds(), Rival: float64(packets) / b.wall.Seconds(), Who: "tcpdump -w /dev/null", Unit: "packets/s"},
		{What: "replay " + kind + ": volume", Ours: mb / a.wall.Seconds(), Rival: mb / b.wall.Seconds(), Who: "tcpdump -w /dev/null", Unit: "MB/s"},
		{What: "replay " + kind + ": peak memory", Ours: float64(a.peakKiB) / 1024, Rival: float64(b.peakKiB) / 1024, Who: "tcpdump -w /dev/null", Unit: "MiB"},
	}, nil
}

func median(list []cost) cost {
	slices.SortFunc(list, func(a, b cost) int { return int(a.cpu - b.cpu) })
	return list[len(list)/2]
}
