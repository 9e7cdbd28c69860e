package pystack

import (
	"bytes"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// moment is a time in which a thread provably does not run, so that what is read of its stack meanwhile belongs together. Either the thread sleeps: to run and sleep again it has to be
// switched away once more, and the kernel counts its switches. Or it is ready to run on the very processor on which the reader runs, without interruption: then it waits, unless it is
// moved to another processor; the kernel shows that, and it takes one more switch to come back.
type moment struct {
	pid, tid int
	asleep   bool
	switches string // of the thread so far, voluntary and forced
	turn     turn
}

// turn is the reader's own time on a processor; the zero value stands for a reader that runs anywhere.
type turn struct {
	bound     bool
	processor int
	switches  int64
}

// begin looks at a thread of the host. ok is false when it runs, or may, or is gone.
func begin(pid, tid int, t turn) (m moment, ok bool) {
	m = moment{pid: pid, tid: tid, turn: t}
	if t.bound {
		m.turn.switches = ownSwitches()
	}
	state, switches := restOf(pid, tid)
	if switches == "" {
		return m, false
	}
	m.switches, m.asleep = switches, sleeps(state)
	return m, m.asleep || t.bound && processorOf(pid, tid) == t.processor
}

// lasted says that the thread has not run since the moment began. One that slept may have woken meanwhile, as long as it waits for the reader's processor.
func (m moment) lasted() bool {
	processor := -1
	if m.turn.bound {
		processor = processorOf(m.pid, m.tid)
	}
	state, switches := restOf(m.pid, m.tid)
	if switches != m.switches {
		return false
	}
	if m.asleep && sleeps(state) {
		return true
	}
	return m.turn.bound && processor == m.turn.processor && ownSwitches() == m.turn.switches
}

// Rest is a time in which a thread sleeps on. The zero value is over.
type Rest struct {
	moment moment
	asleep bool
}

// Resting looks at a thread of the host.
func Resting(pid, tid int) Rest {
	m, asleep := begin(pid, tid, turn{})
	return Rest{m, asleep}
}

// Lasts says that the thread has not run since Resting looked at it: its stack is what it was then.
func (r Rest) Lasts() bool { return r.asleep && r.moment.lasted() }

func sleeps(state byte) bool { return state == 'S' || state == 'D' }

// restOf reads a thread's state and its context switches, "" when it is gone (proc_pid_status(5)).
func restOf(pid, tid int) (state byte, switches string) {
	var buf [4096]byte
	text := readProc(buf[:], fmt.Sprintf("/proc/%d/task/%d/status", pid, tid))
	_, after, ok := bytes.Cut(text, []byte("\nState:\t"))
	_, counters, counted := bytes.Cut(after, []byte("\nvoluntary_ctxt_switches:\t"))
	if !ok || !counted || len(after) == 0 {
		return 0, ""
	}
	return after[0], string(counters)
}

// processorOf is the processor that a thread ran on last or waits for, -1 when that is not to be found: field 39 of proc_pid_stat(5). The name before may hold spaces and parentheses.
func processorOf(pid, tid int) int {
	var buf [1024]byte
	text := readProc(buf[:], fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid))
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	const processor = 39 - 3 // the first one here is the third
	if len(fields) <= processor {
		return -1
	}
	n, err := strconv.Atoi(string(fields[processor]))
	if err != nil {
		return -1
	}
	return n
}

// readProc reads the beginning of a file under /proc; empty when it is gone. It asks the kernel directly: these files are read twice for each stack.
func readProc(buf []byte, path string) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	n, err := unix.Read(fd, buf)
	if closeErr := unix.Close(fd); err != nil || closeErr != nil {
		return nil
	}
	return buf[:n]
}

// takeTurn binds the calling thread to the processor of a thread of the host. The caller has locked its goroutine to the thread and lets the thread end with it.
func takeTurn(pid, tid int) (turn, bool) {
	processor := processorOf(pid, tid)
	if processor < 0 {
		return turn{}, false
	}
	var set unix.CPUSet
	set.Set(processor)
	if unix.SchedSetaffinity(0, &set) != nil { // a processor that the reader may not use
		return turn{}, false
	}
	return turn{bound: true, processor: processor}, true
}

// ownSwitches counts how often the calling thread was switched away.
func ownSwitches() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) != nil {
		return -1
	}
	return u.Nvcsw + u.Nivcsw
}
