package hook

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets the test program run as the one that is refused.
func TestMain(m *testing.M) {
	if os.Getenv("NETAUDIT_TRY_HOOK") != "" {
		h, err := Open()
		if err == nil {
			err = errors.Join(errors.New("it was let"), h.Close())
		}
		os.Stdout.WriteString(err.Error())
		return
	}
	os.Exit(m.Run())
}

func TestRefusalIsOneClearSentence(t *testing.T) {
	needRoot(t)
	for _, refused := range []struct {
		why, says string
		command   []string
		flags     uintptr
	}{
		{"no rights", "it takes CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN", []string{"setpriv", "--bounding-set=-all", "--inh-caps=-all", os.Args[0]}, 0},
		{"a pid namespace", "netaudit runs in a pid namespace of its own", []string{os.Args[0]}, syscall.CLONE_NEWPID},
		{"a cgroup namespace", "netaudit runs in a cgroup namespace of its own", []string{os.Args[0]}, syscall.CLONE_NEWCGROUP},
		{"no hierarchy", "no cgroup v2 hierarchy is mounted", []string{"sh", "-c", "umount -l /sys/fs/cgroup/unified 2>/dev/null || umount -l /sys/fs/cgroup; exec \"$0\"", os.Args[0]}, syscall.CLONE_NEWNS},
	} {
		cmd := exec.Command(refused.command[0], refused.command[1:]...)
		cmd.Env = append(os.Environ(), "NETAUDIT_TRY_HOOK=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: refused.flags}
		if refused.flags == syscall.CLONE_NEWPID {
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: refused.flags}
		}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "the kernel records no callers here: ") || !strings.Contains(string(out), refused.says) || strings.Contains(string(out), "\n") {
			t.Errorf("%s: %q, error %v", refused.why, out, err)
		}
	}
}
