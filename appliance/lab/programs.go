package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// programsDuring lets f run while the kernel measures its programs, and returns how long those of netaudit ran inside of others' system calls, and how often (bpf(2), BPF_ENABLE_STATS).
func programsDuring(f func() error) (ran time.Duration, times uint64, err error) {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return 0, 0, fmt.Errorf("let the kernel measure its programs: %w", err)
	}
	defer func() { err = errors.Join(err, stats.Close()) }()
	before, countBefore, err := programs()
	if err != nil {
		return 0, 0, err
	}
	if err := f(); err != nil {
		return 0, 0, err
	}
	after, count, err := programs()
	return after - before, count - countBefore, err
}

// programs sums up what netaudit's programs in the kernel have run so far.
func programs() (ran time.Duration, times uint64, err error) {
	for id := ebpf.ProgramID(0); ; {
		if id, err = ebpf.ProgramGetNextID(id); errors.Is(err, fs.ErrNotExist) {
			return ran, times, nil
		} else if err != nil {
			return 0, 0, fmt.Errorf("list the kernel's programs: %w", err)
		}
		r, n, err := program(id)
		if err != nil {
			return 0, 0, fmt.Errorf("ask for a program of the kernel: %w", err)
		}
		ran, times = ran+r, times+n
	}
}

// program is what one of them has run, nothing if it is not netaudit's, or is gone.
func program(id ebpf.ProgramID) (ran time.Duration, times uint64, err error) {
	p, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	} else if err != nil {
		return 0, 0, err
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil || !strings.HasPrefix(info.Name, "netaudit_") {
		return 0, 0, err
	}
	s, err := p.Stats()
	if err != nil {
		return 0, 0, err
	}
	return s.Runtime, s.RunCount, nil
}
