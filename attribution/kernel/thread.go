package kernel

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"netaudit/attribution/procfs"
)

// Threads lists the threads of a process.
func Threads(pid int) ([]int, error) {
	d, err := os.Open(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list the threads of process %d: %w", pid, err)
	}
	var list []int
	for _, name := range names {
		if tid, err := strconv.Atoi(name); err == nil {
			list = append(list, tid)
		}
	}
	return list, nil
}

// Waiting finds the thread that waits on a file descriptor: it is an argument of the system call the thread is blocked in, which look returns, a line of proc_pid_syscall(5), "" for a thread that runs. ok is false when no thread
// does at this moment.
func Waiting(pid, fd int, look func(tid int) (call string)) (tid int, ok bool) {
	before := lists.of(pid)
	if tid, ok = waitingAmong(pid, fd, before, look); ok {
		return tid, true
	}
	tids, err := Threads(pid)
	if err != nil {
		lists.put(pid, nil)
		return 0, false
	}
	lists.put(pid, tids)
	return waitingAmong(pid, fd, slices.DeleteFunc(slices.Clone(tids), func(tid int) bool { return slices.Contains(before, tid) }), look)
}

// waitingAmong asks the threads one by one, the youngest first.
func waitingAmong(pid, fd int, tids []int, look func(tid int) (call string)) (tid int, ok bool) {
	for _, tid := range slices.Backward(tids) {
		if waitsOn(pid, look(tid), fd) {
			return tid, true
		}
	}
	return 0, false
}

// lists remembers the threads of processes: to list them takes longer than to ask three of them what they do. Those that began since are listed when none of the others waits.
var lists threadLists

// threadLists is safe for concurrent use.
type threadLists struct {
	mu    sync.Mutex
	known map[int][]int
}

// mostLists bounds the memory; when it is full it begins anew.
const mostLists = 1024

func (l *threadLists) of(pid int) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known[pid]
}

func (l *threadLists) put(pid int, tids []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil || len(l.known) >= mostLists {
		l.known = map[int][]int{}
	}
	if l.known[pid] = tids; tids == nil {
		delete(l.known, pid)
	}
}

func syscallLine(pid, tid int) string {
	var buf [maxSyscall]byte
	text, err := procfs.Thread(pid, tid, "syscall", buf[:])
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// waitsOn says whether the system call waits for the descriptor.
func waitsOn(pid int, line string, fd int) bool {
	number, args, ok := systemCall(line)
	if !ok {
		return false
	}
	switch waits[number] {
	case waitFD:
		return args[0] == uint64(fd)
	case waitPoll:
		return slices.Contains(polled(pid, args[0], args[1]), fd)
	case waitSelect:
		return selectHas(pid, args, fd)
	default:
		return false
	}
}

// How a system call names what it waits for.
const (
	waitFD     = 1 // first argument
	waitPoll   = 2 // an array of struct pollfd
	waitSelect = 3 // bit sets

	waitChild   = 4 // a process id in the first argument
	waitChildID = 5 // kind and id of processes
)

// maxPolled bounds how many descriptors of one poll are looked at.
const maxPolled = 256

func selectHas(pid int, args [6]uint64, fd int) bool {
	if uint64(fd) >= args[0] || fd >= 1024 {
		return false
	}
	for _, set := range args[1:4] {
		var b [128]byte
		if set != 0 && readMemory(pid, set, b[:(fd/64+1)*8]) && b[fd/8]&(1<<(fd%8)) != 0 {
			return true
		}
	}
	return false
}

// readMemory reads another process's memory with process_vm_readv(2): the process does not notice.
func readMemory(pid int, addr uint64, b []byte) bool {
	if len(b) == 0 || addr == 0 {
		return false
	}
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(b)}}, 0)
	return err == nil && n == len(b)
}
