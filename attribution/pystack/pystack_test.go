package pystack

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const script = `
import threading, time
class Modèle:
    def warte_ü(self):
        print("ready", flush=True)
        time.sleep(60)
def gen(m):
    yield m.warte_ü()
def key(m):
    return next(gen(m))
t = threading.Thread(target=lambda: sorted([Modèle()], key=key))
t.start()
t.join()
`

func interpreters(t *testing.T) []string {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(home, ".pyenv/versions/3.*/bin/python3"))
	if err != nil {
		t.Fatal(err)
	}
	if system, err := exec.LookPath("/usr/bin/python3"); err == nil {
		found = append(found, system)
	}
	var out []string
	for _, f := range found {
		if !strings.Contains(f, "/3.6.") && !strings.Contains(f, "/3.7.") {
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		t.Fatal("no CPython on this machine")
	}
	return out
}

func TestStackNamesGeneratorCalledFromSortInAThread(t *testing.T) {
	for _, python := range interpreters(t) {
		t.Run(python, func(t *testing.T) {
			cmd := exec.Command(python, "-c", script)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
				t.Fatal(line, err)
			}
			p, err := Open(cmd.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			var threads []Thread
			for range 1000 { // the line before sleep is still running when its output arrives
				if threads, err = p.Threads(); err != nil || len(threads) != 2 {
					t.Fatalf("got %d threads, %v", len(threads), err)
				}
				if !printing(threads) {
					break
				}
				time.Sleep(time.Millisecond)
			}
			for _, th := range threads {
				if th.TID == cmd.Process.Pid {
					continue
				}
				f := th.Frames
				if len(f) < 5 || !strings.HasSuffix(f[0].Function, "warte_ü") || f[0].Line != 6 || f[0].Module != "__main__" ||
					f[0].Arg0Type != "Modèle" || f[1].Function != "gen" || f[1].Line != 8 || f[2].Function != "key" {
					t.Errorf("%s: %+v", p.Version(), f)
				}
			}
		})
	}
}

func printing(threads []Thread) bool {
	for _, th := range threads {
		if len(th.Frames) > 0 && th.Frames[0].File == "<string>" && th.Frames[0].Line == 5 {
			return true
		}
	}
	return false
}

func TestOpenSaysThatAShellIsNotPython(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if _, err := Open(cmd.Process.Pid); !errors.Is(err, ErrNotPython) {
		t.Error(err)
	}
}
