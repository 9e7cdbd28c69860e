package native

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// compiled is a module of which call(f) calls f, as a function that Cython compiled would.
const compiled = `
#include <Python.h>
static PyObject *call(PyObject *self, PyObject *f) { PyObject *r = PyObject_CallNoArgs(f); return r ? r : NULL; }
static PyMethodDef methods[] = {{"call", call, METH_O, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "compiled", "", -1, methods};
PyMODINIT_FUNC PyInit_compiled(void) { return PyModule_Create(&module); }
`

// start builds the module in a directory of an addon and runs a script that prints a thread id; it waits until that thread sleeps.
func start(t *testing.T, script string) (pid, tid int, addons string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root to read another process")
		}
		t.Skip("needs root to read another process")
	}
	addons = t.TempDir()
	dir := filepath.Join(addons, "vendor")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "compiled.c"), []byte(compiled), 0o644); err != nil {
		t.Fatal(err)
	}
	include, err := exec.Command("/usr/bin/python3", "-c", "import sysconfig; print(sysconfig.get_path('include'))").Output()
	if err != nil {
		t.Fatal(err)
	}
	cc := exec.Command("cc", "-O1", "-shared", "-fPIC", "-I"+strings.TrimSpace(string(include)), "-o", "compiled.so", "compiled.c")
	cc.Dir = dir
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command("/usr/bin/python3", "-c", script)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if tid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, tid, addons
}

// objects looks until the thread waits in the kernel.
func objects(t *testing.T, pid, tid int, directories []string) []string {
	t.Helper()
	var err error
	for range 500 {
		var found []string
		if found, err = Objects(pid, tid, below(directories)); err == nil {
			return found
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(err)
	return nil
}

// below wants what lies in one of the directories.
func below(directories []string) func(string) bool {
	return func(path string) bool {
		return slices.ContainsFunc(directories, func(d string) bool { return strings.HasPrefix(path, d+"/") })
	}
}

const throughCompiled = `
import threading, time, compiled
def wait():
    print(threading.get_native_id(), flush=True)
    time.sleep(600)
compiled.call(wait)`

func TestCompiledCodeIsFoundOnTheStackOfItsThread(t *testing.T) {
	pid, tid, addons := start(t, throughCompiled)
	want := []string{filepath.Join(addons, "vendor", "compiled.so")}
	if got := objects(t, pid, tid, []string{"/nowhere", addons}); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := objects(t, pid, tid, []string{"/nowhere"}); got != nil {
		t.Errorf("outside the directories: %v", got)
	}
}

const otherThread = `
import threading, time, compiled
started = threading.Event()
def wait():
    started.set()
    time.sleep(600)
threading.Thread(target=compiled.call, args=(wait,), daemon=True).start()
started.wait()
print(threading.get_native_id(), flush=True)
time.sleep(600)`

func TestCompiledCodeOfAnotherThreadIsNotFound(t *testing.T) {
	pid, tid, addons := start(t, otherThread)
	if got := objects(t, pid, tid, []string{addons}); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestThreadThatIsGoneIsAnError(t *testing.T) {
	pid, tid, addons := start(t, throughCompiled)
	if _, err := Objects(pid, tid+1<<21, below([]string{addons})); err == nil {
		t.Error("a thread that is not there was looked at")
	}
	if _, err := Objects(1<<22+1, 1, below([]string{addons})); err == nil {
		t.Error("a process that is not there was looked at")
	}
}
