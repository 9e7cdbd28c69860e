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
// given a processor once more, and the kernel counts how often it was. Or it is ready to run on the very processor on which the reader runs, without interruption: then it waits, unless it is
// moved to another processor; the kernel shows that, and counts it when it runs there.
type moment struct {
	pid, tid int
	call     string // that it sleeps in, "" when it is ready to run
	ran      string // how often, and how long, so far
	counted  bool   // when it is given a processor, not when it leaves it
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
	if m.ran, m.counted = ran(pid, tid); m.ran == "" {
		return m, fmt.Errorf("thread %d of process %d: %w", tid, pid, os.ErrNotExist)
	}
	m.call = sleepsIn(pid, tid) // after what was counted before: a thread that is off its processor now has to be given one, which counts
	if m.asleep() || t.bound && processorOf(pid, tid) == t.processor {
		return m, nil
	}
	return m, errRuns
}

var errRuns = fmt.Errorf("the thread runs: %w", errImplausible)

func (m moment) asleep() bool { return m.call != "" }

// lasted says that the thread has not run since the moment began. One that slept may have woken meanwhile, as long as it has not been given a processor.
func (m moment) lasted() bool {
	processor := -1
	if m.turn.bound {
		processor = processorOf(m.pid, m.tid)
	}
	if m.asleep() && !m.counted && sleepsIn(m.pid, m.tid) == "" {
		return false
	}
	if now, _ := ran(m.pid, m.tid); now != m.ran {
		return false
	}
	return m.asleep() || m.turn.bound && processor == m.turn.processor && ownSwitches() == m.turn.switches
}

// Rest is a time in which a thread sleeps on. The zero value is over.
type Rest struct{ moment moment }

// Resting looks at a thread of the host.
func Resting(pid, tid int) Rest {
	m, _ := begin(pid, tid, turn{}) // of a thread that runs, or is gone, the rest is over
	return Rest{m}
}

// TID is the thread, as the host sees it.
func (r Rest) TID() int { return r.moment.tid }

// Call is the system call in which the thread sleeps, a line of proc_pid_syscall(5); "" for a rest that is over.
func (r Rest) Call() string { return r.moment.call }

// Lasts says that the thread has not run since Resting looked at it: its stack is what it was then.
func (r Rest) Lasts() bool { return r.moment.asleep() && r.moment.lasted() }

// ran tells what a thread has run from what it has run at another time: when the kernel gives it a processor it counts that before anything else (Documentation/scheduler/sched-stats.rst, struct sched_info). Where the kernel does not,
// the thread's switches tell, voluntary and forced: ten times as long to read, and counted when the thread leaves the processor. text is "" when the thread is gone.
func ran(pid, tid int) (text string, counted bool) {
	var buf [maxStatus]byte
	if text := threadFile(buf[:], pid, tid, schedstat); len(text) > 0 && string(text) != uncounted {
		return string(text), true
	}
	_, switches, _ := bytes.Cut(threadFile(buf[:], pid, tid, "status"), []byte("\nvoluntary_ctxt_switches:\t"))
	return string(switches), false
}

// schedstat is the file that counts; a test takes it away.
var schedstat = "schedstat"

// uncounted is what a kernel without CONFIG_SCHED_INFO says of each thread.
const uncounted = "0 0 0\n"

// sleepsIn is the system call in which a thread is off its processor and has not been woken, as proc_pid_syscall(5) shows it; "" when it is not off: the kernel shows where a thread is in its program only then, and makes sure of it
// (wait_task_inactive in kernel/sched/core.c).
func sleepsIn(pid, tid int) string {
	var buf [maxCall]byte
	text := threadFile(buf[:], pid, tid, "syscall")
	if bytes.HasPrefix(text, []byte("running")) {
		return ""
	}
	return string(text)
}

// nameOf is a thread's comm, "" when it is gone.
func nameOf(pid, tid int) string {
	var buf [maxComm]byte
	return strings.TrimSuffix(string(threadFile(buf[:], pid, tid, "comm")), "\n")
}

// Bounds of the files of a thread, in bytes.
const (
	maxStatus = 4096 // it has some 1,500
	maxCall   = 256  // a number, six arguments, two addresses
	maxComm   = 64   // TASK_COMM_LEN is 16
)

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
