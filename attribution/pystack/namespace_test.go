package pystack

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Needs root: it makes a pid namespace, in which the interpreter is process 1.
func TestThreadInAPidNamespaceIsFoundByItsHostID(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	each(t, func(t *testing.T, py python) {
		cmd := py.Command("-c", "import os, time\ndef wait():\n print(os.getpid(), flush=True)\n time.sleep(60)\nwait()")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "1\n" {
			t.Fatalf("%q, %v", line, err)
		}
		pid := cmd.Process.Pid
		th := settled(t, open(t, pid), pid, "wait")
		if th.TID != pid || th.NativeID != 1 || th.Frames[0].Line != 4 {
			t.Errorf("%+v", th)
		}
	})
}

// Needs root: the reader is this test again, as a user who may not read the interpreter.
func TestOpenWithoutRightsNamesTheCapability(t *testing.T) {
	if pid := os.Getenv("PYSTACK_OPEN"); pid != "" {
		_, err := Open(number(t, pid))
		var denied *PermissionError
		fmt.Println(errors.As(err, &denied), errors.Is(err, fs.ErrPermission), err)
		return
	}
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	pid, _ := allPythons(t)[0].start(t, "import time; print('ready', flush=True); time.sleep(60)")
	self, err := os.Open("/proc/self/exe") // the test binary's folder is closed to others
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	cmd := exec.Command("/proc/self/fd/3", "-test.run=^TestOpenWithoutRights", "-test.v")
	cmd.ExtraFiles = []*os.File{self}
	cmd.Dir = "/"
	cmd.Env = []string{fmt.Sprintf("PYSTACK_OPEN=%d", pid)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "true true ") || !strings.Contains(string(out), "CAP_SYS_PTRACE") {
		t.Errorf("%s, %v", out, err)
	}
}
