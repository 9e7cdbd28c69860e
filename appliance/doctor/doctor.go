// Package doctor says what a host offers to netaudit and what is missing, and how to get it. It changes nothing.
package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"netaudit/attribution/kernel/hook"
	"netaudit/tap"
)

// Status is how a check ended.
type Status int

// A Missing check keeps netaudit from running; a Warning takes something away from what it can see.
const (
	OK Status = iota
	Warning
	Missing
)

// String returns the word for people.
func (s Status) String() string { return [...]string{"ok", "warning", "missing"}[s] }

// Check is one thing that was looked at.
type Check struct {
	Topic  string `json:"topic"`
	Status Status `json:"-"`
	Word   string `json:"status"`
	Detail string `json:"detail"`        // what was found
	Fix    string `json:"fix,omitempty"` // what to do about it: a command where there is one
}

// Examine looks at everything, in the order in which a newcomer needs it. state is the state directory that will be used.
func Examine(ctx context.Context, state string) []Check {
	var list []Check
	list = append(list, system())
	list = append(list, rights()...)
	list = append(list, ptraceScope())
	list = append(list, interfaces()...)
	list = append(list, capture(ctx))
	list = append(list, pythons(ctx)...)
	list = append(list, stateDirectory(state))
	list = append(list, kernelHook())
	for i := range list {
		list[i].Word = list[i].Status.String()
	}
	return list
}

func system() Check {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Check{Topic: "system", Status: Warning, Detail: fmt.Sprintf("uname: %v", err)}
	}
	return Check{Topic: "system", Detail: fmt.Sprintf("Linux %s on %s", unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:]))}
}

// ptraceScope reads Yama's setting (Documentation/admin-guide/LSM/Yama.rst): at 3 nobody may read another process's memory.
func ptraceScope() Check {
	text, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if err != nil {
		return Check{Topic: "yama", Detail: "not in this kernel: it does not restrict reading stacks"}
	}
	if scope := strings.TrimSpace(string(text)); scope == "3" {
		return Check{
			Topic: "yama", Status: Warning, Detail: "kernel.yama.ptrace_scope is 3: no process may be read, not even by root; Python stacks stay unknown",
			Fix: "set kernel.yama.ptrace_scope to 2 in /etc/sysctl.d and reboot",
		}
	} else {
		return Check{Topic: "yama", Detail: "kernel.yama.ptrace_scope is " + scope + ": fine with CAP_SYS_PTRACE"}
	}
}

func interfaces() []Check {
	list, err := tap.Interfaces()
	if err != nil {
		return []Check{{Topic: "interfaces", Status: Missing, Detail: err.Error()}}
	}
	var checks []Check
	for _, i := range list {
		if !i.Up {
			continue
		}
		texts := make([]string, len(i.Addresses))
		for n, a := range i.Addresses {
			texts[n] = a.String()
		}
		detail := i.Name + ": " + strings.Join(texts, ", ")
		if len(texts) == 0 {
			detail = i.Name + ": no address; watched only when named with --interface"
		}
		checks = append(checks, Check{Topic: "interface", Detail: detail})
	}
	if len(checks) == 0 {
		return []Check{{Topic: "interfaces", Status: Missing, Detail: "none is up", Fix: "ip link set eth0 up"}}
	}
	return checks
}

// capture opens a real capture on the loopback interface and closes it again.
func capture(ctx context.Context) Check {
	s, err := tap.OpenLive(tap.LiveConfig{Iface: "lo"})
	if err != nil {
		return Check{Topic: "capture", Status: Missing, Detail: err.Error(), Fix: "sudo setcap cap_net_raw,cap_net_admin,cap_sys_ptrace,cap_dac_read_search,cap_sys_admin+ep " + ownPath()}
	}
	defer s.Close()
	var p tap.Packet
	if err := s.Next(ctx, &p); err != nil && err != tap.ErrIdle {
		return Check{Topic: "capture", Status: Missing, Detail: "opened lo, but could not read from it: " + err.Error()}
	}
	return Check{Topic: "capture", Detail: "packets can be captured (tried on lo)"}
}

func ownPath() string {
	path, err := os.Executable()
	if err != nil {
		return "netaudit"
	}
	return path
}

// smallestFree is what the ledger wants free on its disk, in bytes: below it the appliance stops taking rows.
const smallestFree = 1 << 30

func stateDirectory(dir string) Check {
	c := Check{Topic: "state", Detail: dir}
	existing := dir
	for {
		if _, err := os.Stat(existing); err == nil || existing == filepath.Dir(existing) {
			break
		}
		existing = filepath.Dir(existing)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(existing, &fs); err != nil {
		return Check{Topic: "state", Status: Warning, Detail: fmt.Sprintf("%s: %v", dir, err)}
	}
	free := fs.Bavail * uint64(fs.Bsize)
	if unix.Access(existing, unix.W_OK) != nil {
		c.Status, c.Detail = Missing, dir+" cannot be written by this user"
		c.Fix = "run with sudo, or choose another directory with --state"
	} else if free < smallestFree {
		c.Status, c.Detail = Warning, fmt.Sprintf("%s: only %d MiB free", dir, free>>20)
		c.Fix = "free at least 1 GiB: the ledger stops taking rows before the disk is full"
	} else {
		c.Detail = fmt.Sprintf("%s: %d GiB free", dir, free>>30)
	}
	return c
}

// kernelHook attaches the programs that record callers, and takes them out again.
func kernelHook() Check {
	h, err := hook.Open()
	var noForks, noUses error
	if err == nil {
		noForks, noUses, err = h.NoForks(), h.NoUses(), h.Close()
	}
	if err != nil {
		return Check{
			Topic: "kernel hook", Status: Warning, Detail: err.Error() + "; callers are found by the socket they wait on, which misses calls shorter than a millisecond",
			Fix: "run with sudo on the host itself, not in a container, on Linux 5.14 or later",
		}
	}
	if noForks != nil {
		return Check{Topic: "kernel hook", Status: Warning, Detail: "the kernel records who calls, but not who starts programs, which are joined to the thread that waits for them: " + noForks.Error()}
	}
	if noUses != nil {
		return Check{Topic: "kernel hook", Status: Warning, Detail: "the kernel records who calls and who starts programs, but not who uses a kept connection again, who is joined to it while waiting for the answer: " + noUses.Error()}
	}
	return Check{Topic: "kernel hook", Detail: "the kernel records who calls, who uses a kept connection again and who starts programs, with the Python stack (tried)"}
}
