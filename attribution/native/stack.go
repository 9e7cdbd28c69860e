package native

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds on one look.
const (
	maxMappings = 65536
	maxStack    = 512 << 10 // bytes above the stack pointer
)

// mapping is executable memory of a shared object.
type mapping struct {
	start, end uint64
	path       string
}

// Objects lists the shared objects that are wanted, by their path, and have a return address on the stack of the thread, which has to wait in the kernel. Nil when there are none. The caller checks
// that the thread waited throughout.
func Objects(pid, tid int, wanted func(path string) bool) ([]string, error) {
	code, stacks, err := mappings(pid, wanted)
	if err != nil || len(code) == 0 {
		return nil, err
	}
	pointer, err := stackPointer(pid, tid)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(stacks, func(m mapping) bool { return pointer >= m.start && pointer < m.end })
	if i < 0 {
		return nil, fmt.Errorf("the stack pointer %#x of thread %d lies in no writable memory", pointer, tid)
	}
	stack := make([]byte, min(stacks[i].end-pointer, maxStack)&^7)
	if err := read(pid, pointer, stack); err != nil {
		return nil, fmt.Errorf("read the stack of thread %d: %w", tid, err)
	}
	return objectsIn(pid, stack, code), nil
}

// ObjectsIn is Objects of a part of a machine stack that was copied before.
func ObjectsIn(pid int, stack []byte, wanted func(path string) bool) ([]string, error) {
	code, _, err := mappings(pid, wanted)
	if err != nil {
		return nil, err
	}
	return objectsIn(pid, stack, code), nil
}

func objectsIn(pid int, stack []byte, code []mapping) []string {
	var found []string
	for ; len(stack) >= 8; stack = stack[8:] {
		word := binary.LittleEndian.Uint64(stack)
		for _, m := range code {
			if word > m.start && word < m.end && !slices.Contains(found, m.path) && called(pid, word) {
				found = append(found, m.path)
			}
		}
	}
	return found
}

// Loaded lists the wanted files of which a process has executable mappings.
func Loaded(pid int, wanted func(path string) bool) ([]string, error) {
	code, _, err := mappings(pid, wanted)
	var files []string
	for _, m := range code {
		if !slices.Contains(files, m.path) {
			files = append(files, m.path)
		}
	}
	return files, err
}

// mappings lists the executable mappings of wanted files, and all memory that may be a stack.
func mappings(pid int, wanted func(path string) bool) (code, stacks []mapping, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, nil, fmt.Errorf("read the mappings of process %d: %w", pid, err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for n := 0; n < maxMappings && sc.Scan(); n++ {
		// start-end rwxp offset dev inode path (proc_pid_maps(5))
		line := sc.Text()
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		m, ok := span(fields[0])
		if !ok {
			continue
		}
		if at := strings.IndexByte(line, '/'); at >= 0 {
			m.path = strings.TrimSuffix(line[at:], " (deleted)")
		}
		switch rights := fields[1]; {
		case rights[0] == 'r' && rights[1] == 'w' && !strings.HasPrefix(m.path, "/"):
			stacks = append(stacks, m)
		case strings.Contains(rights, "x") && m.path != "" && wanted(m.path):
			code = append(code, m)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, nil, fmt.Errorf("read the mappings of process %d: %w", pid, err)
	}
	return code, stacks, nil
}

func span(text string) (m mapping, ok bool) {
	low, high, _ := strings.Cut(text, "-")
	var err, err2 error
	m.start, err = strconv.ParseUint(low, 16, 64)
	m.end, err2 = strconv.ParseUint(high, 16, 64)
	return m, err == nil && err2 == nil && m.start < m.end
}

// stackPointer is the last but one word of proc_pid_syscall(5).
func stackPointer(pid, tid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", pid, tid))
	if err != nil {
		return 0, fmt.Errorf("look at thread %d: %w", tid, err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 3 {
		return 0, fmt.Errorf("thread %d does not wait in the kernel", tid)
	}
	pointer, err := strconv.ParseUint(strings.TrimPrefix(fields[len(fields)-2], "0x"), 16, 64)
	if err != nil {
		return 0, fmt.Errorf("look at thread %d: %w", tid, err)
	}
	return pointer, nil
}

func read(pid int, addr uint64, buf []byte) error {
	if len(buf) == 0 {
		return nil
	}
	n, err := unix.ProcessVMReadv(pid, []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}, []unix.RemoteIovec{{Base: uintptr(addr), Len: len(buf)}}, 0)
	if err == nil && n != len(buf) {
		return fmt.Errorf("%d of %d bytes", n, len(buf))
	}
	return err
}

// longestCall is the longest call instruction on any of our processors, in bytes.
const longestCall = 7

// called says whether the instruction before a return address is a call.
func called(pid int, address uint64) bool {
	var before [longestCall]byte
	return read(pid, address-longestCall, before[:]) == nil && isCall(before)
}
