package pystack

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// python is an interpreter of this machine.
type python struct {
	path string
	home string // PYTHONHOME, "" when it finds its library by itself
}

func (p python) String() string {
	return filepath.Base(filepath.Dir(filepath.Dir(p.path))) + "/" + filepath.Base(p.path)
}

func (p python) command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.path, args...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if p.home != "" {
		cmd.Env = append(cmd.Env, "PYTHONHOME="+p.home)
	}
	cmd.Stderr = os.Stderr
	return cmd
}

// start runs a script until it has printed its first line, which is handed back. The test's end kills it.
func (p python) start(t testing.TB, script string) (pid int, line string) {
	t.Helper()
	cmd := p.command("-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, strings.TrimSpace(line)
}

func open(t testing.TB, pid int) *Process {
	t.Helper()
	p, err := Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// settled reads the thread until its innermost function is the one named: the line printed by a script arrives before the
// script sleeps, and between the two it may wait a moment for the interpreter lock: only a rest that lasts counts.
func settled(t *testing.T, p *Process, tid int, function string) Thread {
	t.Helper()
	var th Thread
	var err error
	for range 500 {
		before := restOf(p.pid, tid)
		time.Sleep(10 * time.Millisecond)
		th, err = p.Thread(tid)
		if err == nil && len(th.Frames) > 0 && before != "" && restOf(p.pid, tid) == before && strings.HasSuffix(th.Frames[0].Function, function) {
			return th
		}
	}
	t.Fatalf("thread %d never slept in %s: %+v, %v", tid, function, th.Frames, err)
	return th
}

// each runs a test for all interpreters of this machine.
func each(t *testing.T, test func(t *testing.T, py python)) {
	t.Helper()
	for _, py := range interpreters(t) {
		t.Run(py.String(), func(t *testing.T) { test(t, py) })
	}
}

// interpreters are the system's, pyenv's, and relocatable builds published as Go modules (when they can be downloaded).
func interpreters(t testing.TB) []python {
	t.Helper()
	var out []python
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	for minor := 8; minor <= 14; minor++ { // in order, so that a fuzz input keeps its meaning
		found, err := filepath.Glob(filepath.Join(home, fmt.Sprintf(".pyenv/versions/3.%d.*/bin/python3", minor)))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			out = append(out, python{path: path})
		}
	}
	if path, err := exec.LookPath("/usr/bin/python3"); err == nil {
		out = append(out, python{path: path})
	}
	for _, version := range []string{"v0.0.0-3.12.3-20240415-1", "v0.0.0-3.14.6-20260610-1"} {
		py, err := embedded(version)
		if err != nil {
			t.Logf("without %s: %v", version, err)
			continue
		}
		out = append(out, py)
	}
	if len(out) == 0 {
		t.Fatal("no CPython on this machine")
	}
	return out
}

var unpacking sync.Mutex

// embedded unpacks a CPython of github.com/kluctl/go-embed-python into the user's cache directory.
func embedded(version string) (python, error) {
	unpacking.Lock()
	defer unpacking.Unlock()
	cache, err := os.UserCacheDir()
	if err != nil {
		return python{}, err
	}
	home := filepath.Join(cache, "netaudit-test", "python-"+version)
	minor := strings.SplitN(version, ".", 5)[3]
	py := python{filepath.Join(home, "bin", "python3."+minor), home}
	if _, err := os.Stat(py.path); err == nil {
		return py, nil
	}
	out, err := exec.Command("go", "mod", "download", "-json", "github.com/kluctl/go-embed-python@"+version).Output()
	if err != nil {
		return python{}, err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return python{}, err
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return python{}, err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(home), "unpacking-")
	if err != nil {
		return python{}, err
	}
	if err := unpack(filepath.Join(module.Dir, "python/internal/data/linux-amd64"), fresh); err != nil {
		return python{}, err
	}
	if err := os.Rename(fresh, home); err != nil { // another test process may have been faster
		if _, statErr := os.Stat(py.path); statErr != nil {
			return python{}, err
		}
	}
	return py, nil
}

func unpack(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimSuffix(rel, ".gz"))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		var content io.Reader = in
		if strings.HasSuffix(rel, ".gz") {
			if content, err = gzip.NewReader(in); err != nil {
				return err
			}
		}
		data, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o755)
	})
}
