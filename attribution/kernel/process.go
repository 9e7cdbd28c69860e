package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a process's identity and what it looks like from outside.
type Process struct {
	PID       int
	Parent    int
	StartTick uint64 // field 22 of /proc/PID/stat: with PID the identity that PID reuse cannot fake
	Start     time.Time
	Exe       string
	UID       uint32
	Name      string
	Args      []string // the command line; arguments may hold secrets: never store them
	Container string
	NetNS     uint64
}

// ticksPerSecond is USER_HZ, which is 100 on every architecture Linux runs Python on.
const ticksPerSecond = 100

var bootTime = sync.OnceValue(func() time.Time {
	var now, up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME, &now) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return time.Time{}
	}
	return time.Unix(0, now.Nano()-up.Nano())
})

// Describe reads a process. It fails when the process is gone.
func Describe(pid int) (Process, error) {
	p := Process{PID: pid}
	if err := p.readStat(); err != nil {
		return p, err
	}
	dir := fmt.Sprintf("/proc/%d", pid)
	if exe, err := os.Readlink(dir + "/exe"); err == nil {
		p.Exe = strings.TrimSuffix(exe, " (deleted)")
	}
	if args, err := os.ReadFile(dir + "/cmdline"); err == nil {
		for a := range bytes.SplitSeq(bytes.TrimRight(args, "\x00"), []byte{0}) {
			if len(p.Args) < maxArgs {
				p.Args = append(p.Args, strings.ToValidUTF8(string(a), "?"))
			}
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err == nil {
		p.UID = st.Uid
	}
	if err := unix.Stat(dir+"/ns/net", &st); err == nil {
		p.NetNS = st.Ino
	}
	if groups, err := os.ReadFile(dir + "/cgroup"); err == nil {
		p.Container = containerID(string(groups))
	}
	return p, nil
}

// maxArgs bounds how many arguments of a command line are looked at.
const maxArgs = 64

// readStat reads name, parent and start time. The name may hold spaces and parentheses: the last one ends it.
func (p *Process) readStat() error {
	var buf [maxStat]byte
	text, err := readSmall(fmt.Sprintf("/proc/%d/stat", p.PID), buf[:])
	if err != nil {
		return err
	}
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return fmt.Errorf("/proc/%d/stat is malformed", p.PID)
	}
	p.Name = strings.ToValidUTF8(string(text[open+1:end]), "?")
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 20 {
		return fmt.Errorf("/proc/%d/stat is malformed", p.PID)
	}
	if p.Parent, err = strconv.Atoi(fields[1]); err != nil {
		return fmt.Errorf("/proc/%d/stat: %w", p.PID, err)
	}
	if p.StartTick, err = strconv.ParseUint(fields[19], 10, 64); err != nil {
		return fmt.Errorf("/proc/%d/stat: %w", p.PID, err)
	}
	p.Start = bootTime().Add(time.Duration(p.StartTick) * time.Second / ticksPerSecond)
	return nil
}

// Alive says whether the process is still the one that was described.
func (p *Process) Alive() bool {
	now := Process{PID: p.PID}
	return now.readStat() == nil && now.StartTick == p.StartTick
}

var containerPattern = regexp.MustCompile(`[0-9a-f]{64}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// containerID finds the id that container runtimes put into the cgroup path; its first twelve digits are what people know.
func containerID(cgroups string) string {
	id := containerPattern.FindString(cgroups)
	return id[:min(12, len(id))]
}

// Processes lists all process ids.
func Processes() ([]int, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var list []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			list = append(list, pid)
		}
	}
	return list, nil
}

// FindNetNS returns a path to the network namespace with this inode: a name under /run/netns, or a process that lives in it.
func FindNetNS(inode uint64) (string, error) {
	var st unix.Stat_t
	// thread-self, not self: the latter is the first thread, which Go may have parked in another namespace (see inNetNS).
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err == nil && st.Ino == inode {
		return "", nil
	}
	names, err := os.ReadDir("/run/netns")
	if err == nil {
		for _, n := range names {
			if path := "/run/netns/" + n.Name(); unix.Stat(path, &st) == nil && st.Ino == inode {
				return path, nil
			}
		}
	}
	pids, err := Processes()
	if err != nil {
		return "", err
	}
	for _, pid := range pids {
		if path := fmt.Sprintf("/proc/%d/ns/net", pid); unix.Stat(path, &st) == nil && st.Ino == inode {
			return path, nil
		}
	}
	return "", fmt.Errorf("network namespace %d is gone", inode)
}
