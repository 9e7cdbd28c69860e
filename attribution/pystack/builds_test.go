package pystack

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"netaudit/attribution/pystack/interpreters"
)

// refused starts an interpreter and returns the version that Open says it does not support.
func refused(t *testing.T, path string) string {
	t.Helper()
	py := python{interpreters.Python{Path: path}}
	pid, _ := py.start(t, "import time, sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); time.sleep(60)")
	_, err := Open(pid)
	var unsupported *UnsupportedError
	if !errors.As(err, &unsupported) {
		t.Fatalf("%s: %v", path, err)
	}
	return unsupported.Version
}

func TestDebugBuildIsRefusedByName(t *testing.T) {
	found, err := filepath.Glob("/usr/bin/python3.*-dbg")
	if err != nil || len(found) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3-dbg is not installed")
		}
		t.Skip("python3-dbg is not installed: make test does")
	}
	if v := refused(t, found[0]); !strings.HasPrefix(v, "3.") || !strings.HasSuffix(v, "(debug build)") {
		t.Errorf("refused as %q", v)
	}
}

func TestOldMinorIsRefusedByName(t *testing.T) {
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(home, ".pyenv/versions/3.7.*/bin/python3"))
	if err != nil || len(found) == 0 {
		t.Skip("no CPython 3.7 on this machine")
	}
	if v := refused(t, found[0]); !strings.HasPrefix(v, "3.7") {
		t.Errorf("refused as %q", v)
	}
}

// withLibrary is the interpreter that is linked to a libpython beside it.
func withLibrary(t *testing.T) python {
	t.Helper()
	for _, py := range allPythons(t) {
		if found, err := filepath.Glob(filepath.Join(py.Home, "lib", "libpython3.*.so.1.0")); err == nil && py.Home != "" && len(found) == 1 {
			return py
		}
	}
	t.Skip("no interpreter with a libpython of its own")
	return python{}
}

// copied copies the interpreter and its library to a directory of their own.
func copied(t *testing.T, py python, dir string) (exe, library string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(py.Home, "lib", "libpython3.*.so.1.0"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	for _, sub := range []string{"bin", "lib"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	exe, library = filepath.Join(dir, "bin", filepath.Base(py.Path)), filepath.Join(dir, "lib", filepath.Base(found[0]))
	for from, to := range map[string]string{py.Path: exe, found[0]: library} {
		in, err := os.Open(from)
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(out, in)
		if err := errors.Join(err, in.Close(), out.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return exe, library
}

// Needs root: a library that is not on disk any more is read through /proc/PID/map_files.
func TestLibraryReplacedAfterStartIsStillRead(t *testing.T) {
	needRoot(t)
	py := withLibrary(t)
	exe, library := copied(t, py, t.TempDir())
	upgraded := python{interpreters.Python{Path: exe, Home: py.Home}}
	pid, _ := upgraded.start(t, "import time; print('ready', flush=True); time.sleep(60)")
	for _, file := range []string{exe, library} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("the next version"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	settled(t, open(t, pid), pid, "<module>")
}

// Needs root: the interpreter and its library lie on a file system that only its own mount namespace has.
func TestInterpreterInAnotherMountNamespaceIsRead(t *testing.T) {
	needRoot(t)
	py := withLibrary(t)
	dir, hidden := t.TempDir(), t.TempDir()
	copied(t, py, dir)
	cmd := exec.Command("sh", "-c", `mount -t tmpfs none "$1" && cp -r "$2/." "$1" && exec "$1/bin/$3" -c "import time; print('ready', flush=True); time.sleep(60)"`,
		"sh", hidden, dir, filepath.Base(py.Path))
	cmd.Env = append(os.Environ(), "PYTHONHOME="+py.Home)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(hidden); err != nil || len(entries) != 0 {
		t.Fatalf("the interpreter is not hidden: %v, %v", entries, err)
	}
	pid := cmd.Process.Pid
	settled(t, open(t, pid), pid, "<module>")
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}
