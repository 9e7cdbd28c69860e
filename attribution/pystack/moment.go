package pystack

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"netaudit/attribution/procfs"
)

// moment is a time in which a thread provably does not run, so that what is read of its stack meanwhile belongs together. Either the thread sleeps: to run and sleep again it has to be
// switched away once more, and the kernel counts its switches. Or it is ready to run on the very processor on which the reader runs, without interruption: then it waits, unless it is
// moved to another processor; the kernel shows that, and it takes one more switch to come back.
type moment struct {
	pid, tid int
	asleep   bool
	switches string // of the thread so far, voluntary and forced
	name     string // of the thread
	turn     turn
}

// turn is the reader's own time on a processor; the zero value stands for a reader that runs anywhere.
type turn struct {
	bound     bool
	processor int
	switches  int64
}

// begin looks at a thread of the host. The error is errRuns when it runs, or may, and wraps os.ErrNotExist when it is gone.
func begin(pid, tid int, t turn) (m moment, err error) {
	m = moment{pid: pid, tid: tid, turn: t}
	if t.bound {
		m.turn.switches = ownSwitches()
	}
	var buf [maxStatus]byte
	text := threadFile(buf[:], pid, tid, "status")
	state, switches := restOf(text)
	if switches == nil {
		return m, fmt.Errorf("thread %d of process %d: %w", tid, pid, os.ErrNotExist)
	}
	m.switches, m.asleep, m.name = string(switches), sleeps(state), nameIn(text)
	if m.asleep || t.bound && processorOf(pid, tid) == t.processor {
		return m, nil
	}
	return m, errRuns
}

var errRuns = fmt.Errorf("the thread runs: %w", errImplausible)

// lasted says that the thread has not run since the moment began. One that slept may have woken meanwhile, as long as it waits for the reader's processor.
func (m moment) lasted() bool {
	processor := -1
	if m.turn.bound {
		processor = processorOf(m.pid, m.tid)
	}
	var buf [maxStatus]byte
	state, switches := restOf(threadFile(buf[:], m.pid, m.tid, "status"))
	if switches == nil || string(switches) != m.switches {
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
	m, err := begin(pid, tid, turn{})
	return Rest{m, err == nil}
}

// Lasts says that the thread has not run since Resting looked at it: its stack is what it was then.
func (r Rest) Lasts() bool { return r.asleep && r.moment.lasted() }

func sleeps(state byte) bool { return state == 'S' || state == 'D' }

// maxStatus bounds /proc/PID/task/TID/status, in bytes; it has some 1,500.
const maxStatus = 4096

// restOf finds a thread's state and its context switches in its status file, nil when it is gone (proc_pid_status(5)).
func restOf(text []byte) (state byte, switches []byte) {
	_, after, ok := bytes.Cut(text, []byte("\nState:\t"))
	_, counters, counted := bytes.Cut(after, []byte("\nvoluntary_ctxt_switches:\t"))
	if !ok || !counted || len(after) == 0 {
		return 0, nil
	}
	return after[0], counters
}

// nameIn finds a thread's name in its status file. There the kernel writes a line's end as \n, and a backslash as two (fs/proc/array.c, proc_task_name).
func nameIn(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimPrefix(text, []byte("Name:\t")), []byte("\n"))
	if bytes.IndexByte(line, '\\') < 0 {
		return string(line)
	}
	return strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(string(line))
}

// processorOf is the processor that a thread ran on last or waits for, -1 when that is not to be found: field 39 of proc_pid_stat(5). The name before may hold spaces and parentheses.
func processorOf(pid, tid int) int {
	var buf [1024]byte
	text := threadFile(buf[:], pid, tid, "stat")
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

// threadFile reads the beginning of a file of a thread; empty when it is gone.
func threadFile(buf []byte, pid, tid int, name string) []byte {
	text, err := procfs.Thread(pid, tid, name, buf)
	if err != nil {
		return nil
	}
	return text
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
