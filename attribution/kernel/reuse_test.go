package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test program run in a pid namespace of its own, where process ids can be chosen.
func TestMain(m *testing.M) {
	if os.Getenv("NETAUDIT_PID_REUSE") == "" {
		os.Exit(m.Run())
	}
	if err := reusePID(); err != nil {
		fmt.Print(err)
		os.Exit(1)
	}
}

func TestReusedProcessIDIsAnotherProcess(t *testing.T) {
	needRoot(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NETAUDIT_PID_REUSE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// reusePID starts sleep, remembers it, ends it, and starts cat under the same id.
func reusePID() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	var d Descriptions
	first := exec.Command("sleep", "600")
	if err := first.Start(); err != nil {
		return err
	}
	pid := first.Process.Pid
	time.Sleep(50 * time.Millisecond) // ticks are what tells them apart
	before, err := d.Describe(pid)
	if err != nil {
		return err
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return err
	}
	for range 2 { // the second time by the pidfd that the first one opened
		if p, alive := d.At(pid, time.Duration(up.Nano())); !alive || p.StartTick != before.StartTick {
			return fmt.Errorf("while it lives: %+v, alive %v", p, alive)
		}
	}
	if d.handles != 1 {
		return fmt.Errorf("%d pidfds are open", d.handles)
	}
	_ = first.Process.Kill()
	_ = first.Wait() // it was killed
	if p, alive := d.At(pid, time.Duration(up.Nano())); alive || p.StartTick != before.StartTick {
		return fmt.Errorf("after its end: %+v, alive %v", p, alive)
	}
	time.Sleep(50 * time.Millisecond)
	second := exec.Command("cat")
	if _, err := second.StdinPipe(); err != nil {
		return err
	}
	for try := 0; second.Process == nil || second.Process.Pid != pid; try++ { // threads of this program take ids too
		if second.Process != nil {
			_ = second.Process.Kill()
			_ = second.Wait()
			second = exec.Command("cat")
			if _, err := second.StdinPipe(); err != nil {
				return err
			}
		}
		if try == 100 {
			return fmt.Errorf("the id %d was not given again", pid)
		}
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			return err
		}
		if err := second.Start(); err != nil {
			return err
		}
	}
	defer func() { _ = second.Process.Kill(); _ = second.Wait() }()
	if p, alive := d.At(pid, time.Duration(up.Nano())); alive || p.PID != 0 && p.StartTick != before.StartTick {
		return fmt.Errorf("a call of the first is told to be one of %+v, alive %v", p, alive)
	}
	after, err := d.Describe(pid)
	if err != nil || after.StartTick == before.StartTick {
		return fmt.Errorf("the second is %+v, error %v", after, err)
	}
	if again, err := d.Describe(pid); err != nil || again.StartTick != after.StartTick || d.handles != 1 {
		return fmt.Errorf("the second is %+v when asked again, error %v, %d pidfds are open", again, err, d.handles)
	}
	if err := d.Close(); err != nil || d.handles != 0 {
		return fmt.Errorf("error %v, %d pidfds stay open", err, d.handles)
	}
	return nil
}
