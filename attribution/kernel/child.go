package kernel

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// WaitsForChild says whether a thread of the parent waits in the kernel for this very child: in wait4(2) or waitid(2) for its process id, or in
// a poll or read on a pipe whose other end the child holds. The first is what Popen.wait does, the second what Popen.communicate does.
func WaitsForChild(parent, tid, child int) bool {
	number, args, ok := systemCall(syscallLine(parent, tid))
	if !ok {
		return false
	}
	switch waits[number] {
	case waitChild:
		return int32(args[0]) == int32(child)
	case waitChildID:
		const byPID = 1 // P_PID, waitid(2)
		return args[0] == byPID && int32(args[1]) == int32(child)
	case waitFD:
		return pipeBetween(parent, child, []int{int(int32(args[0]))})
	case waitPoll:
		return pipeBetween(parent, child, polled(parent, args[0], args[1]))
	default:
		return false
	}
}

// polled lists the descriptors of a poll.
func polled(pid int, addr, n uint64) []int {
	b := make([]byte, 8*min(n, maxPolled))
	if !readMemory(pid, addr, b) {
		return nil
	}
	var list []int
	for ; len(b) >= 8; b = b[8:] {
		list = append(list, int(int32(binary.NativeEndian.Uint32(b))))
	}
	return list
}

// pipeBetween says whether one of the parent's descriptors is a pipe that the child holds too.
func pipeBetween(parent, child int, descriptors []int) bool {
	pipes := map[string]bool{}
	for _, fd := range descriptors {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", parent, fd))
		if err == nil && strings.HasPrefix(target, "pipe:[") {
			pipes[target] = true
		}
	}
	if len(pipes) == 0 {
		return false
	}
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", child))
	if err != nil {
		return false
	}
	for _, name := range names {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", child, name.Name()))
		if err == nil && pipes[target] {
			return true
		}
	}
	return false
}

// systemCall reads "number arg0 … arg5 sp pc" (proc_pid_syscall(5)); "running" and "-1 …" are none.
func systemCall(line string) (number int, args [6]uint64, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 9 {
		return 0, args, false
	}
	number, err := strconv.Atoi(fields[0])
	if err != nil {
		return 0, args, false
	}
	for i := range args {
		if args[i], err = strconv.ParseUint(strings.TrimPrefix(fields[i+1], "0x"), 16, 64); err != nil {
			return 0, args, false
		}
	}
	return number, args, true
}
