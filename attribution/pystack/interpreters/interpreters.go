// Package interpreters finds the CPythons of this machine for tests: what reads an interpreter's memory is only right when it was tried on the real ones.
package interpreters

import (
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
)

// Python is an interpreter of this machine.
type Python struct {
	Path string
	Home string // PYTHONHOME, "" when it finds its library by itself
}

// String names the installation and the executable.
func (p Python) String() string {
	return filepath.Base(filepath.Dir(filepath.Dir(p.Path))) + "/" + filepath.Base(p.Path)
}

// Command prepares to run the interpreter; what it says on standard error is passed on.
func (p Python) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.Path, args...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if p.Home != "" {
		cmd.Env = append(cmd.Env, "PYTHONHOME="+p.Home)
	}
	cmd.Stderr = os.Stderr
	return cmd
}

// All are the system's, pyenv's, and relocatable builds published as Go modules (when they can be downloaded).
func All(t testing.TB) []Python {
	t.Helper()
	var out []Python
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
			out = append(out, Python{Path: path})
		}
	}
	if path, err := exec.LookPath("/usr/bin/python3"); err == nil {
		out = append(out, Python{Path: path})
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
func embedded(version string) (Python, error) {
	unpacking.Lock()
	defer unpacking.Unlock()
	cache, err := os.UserCacheDir()
	if err != nil {
		return Python{}, err
	}
	home := filepath.Join(cache, "netaudit-test", "python-"+version)
	minor := strings.SplitN(version, ".", 5)[3]
	py := Python{filepath.Join(home, "bin", "python3."+minor), home}
	if _, err := os.Stat(py.Path); err == nil {
		return py, nil
	}
	out, err := exec.Command("go", "mod", "download", "-json", "github.com/kluctl/go-embed-python@"+version).Output()
	if err != nil {
		return Python{}, err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return Python{}, err
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return Python{}, err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(home), "unpacking-")
	if err != nil {
		return Python{}, err
	}
	if err := unpack(filepath.Join(module.Dir, "python/internal/data/linux-amd64"), fresh); err != nil {
		return Python{}, err
	}
	if err := os.Rename(fresh, home); err != nil { // another test process may have been faster
		if _, statErr := os.Stat(py.Path); statErr != nil {
			return Python{}, err
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
