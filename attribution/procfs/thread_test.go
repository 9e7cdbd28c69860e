package procfs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper is a process that ends with the test, or before.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // they may be done already
	return cmd
}

func TestFilesOfThreadsAreReadAgainAndEndWithThem(t *testing.T) {
	cmd := sleeper(t)
	pid := cmd.Process.Pid
	var buf [4096]byte
	for range 3 {
		text, err := Thread(pid, pid, "stat", buf[:])
		if err != nil || !bytes.HasPrefix(text, fmt.Appendf(nil, "%d (", pid)) {
			t.Fatalf("%q, %v", text, err)
		}
	}
	first, _ := Thread(pid, pid, "schedstat", buf[:4])
	if short := string(first); len(short) != 4 || strings.ContainsRune(short, 0) {
		t.Errorf("%q does not end with the room for it", short)
	}
	// What is read is of the moment, not of when the file was opened.
	before, err := Thread(os.Getpid(), os.Getpid(), "comm", make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	name := []byte("renamed")
	if bytes.HasPrefix(before, name) {
		name = []byte("once more")
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/self/task/%d/comm", os.Getpid()), name, 0); err != nil {
		t.Fatal(err)
	}
	after, err := Thread(os.Getpid(), os.Getpid(), "comm", buf[:])
	if err != nil || !bytes.Equal(after, append(name, '\n')) {
		t.Errorf("before %q, after %q, %v", before, after, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if text, err := Thread(pid, pid, "stat", buf[:]); err == nil {
		t.Errorf("a process that has ended: %q", text)
	}
	kept.Lock()
	defer kept.Unlock()
	if h, ok := kept.open[file{pid, pid, "stat"}]; ok {
		t.Errorf("the file of a thread that has ended is still open: %d", h.fd)
	}
}

// TestDescriptorsAreBoundedWhileManyRead reads the files of more threads than are kept, from several goroutines at the same time: each gets its own.
func TestDescriptorsAreBoundedWhileManyRead(t *testing.T) {
	var pids []int
	for range mostOpen/4 + 20 {
		pids = append(pids, sleeper(t).Process.Pid)
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			var buf [4096]byte
			for range 3 {
				for _, pid := range pids {
					for _, name := range []string{"stat", "status", "comm", "schedstat", "io"} {
						text, err := Thread(pid, pid, name, buf[:])
						if err != nil {
							t.Error(err)
							return
						}
						if name == "stat" && !bytes.HasPrefix(text, fmt.Appendf(nil, "%d (", pid)) {
							t.Errorf("process %d: %q", pid, text)
						}
					}
				}
			}
		})
	}
	readers.Wait()
	kept.Lock()
	defer kept.Unlock()
	if n := len(kept.open); n > mostOpen {
		t.Errorf("%d files are open, more than %d", n, mostOpen)
	}
	for f, h := range kept.open {
		if link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", h.fd)); err != nil || h.readers != 0 || link != fmt.Sprintf("/proc/%d/task/%d/%s", f.pid, f.tid, f.name) {
			t.Errorf("%+v is kept as %q, %v, with %d readers", f, link, err, h.readers)
		}
	}
	if open, err := os.ReadDir("/proc/self/fd"); err != nil || len(open) > mostOpen+len(pids)+50 {
		t.Errorf("%d descriptors are open, %v", len(open), err) // those of the processes that were started are among them
	}
}

// TestDescriptorsAreThoseOfTheMoment: a descriptor that is closed and used again, and a process that has ended.
func TestDescriptorsAreThoseOfTheMoment(t *testing.T) {
	cmd := exec.Command("sh", "-c", "exec 7</dev/null; read x; exec 7</dev/zero; echo; read x; exec 7<&-; echo; read x")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // they may be done already
	pid := cmd.Process.Pid
	var buf [64]byte
	is := func() string {
		text, err := Descriptor(pid, 7, buf[:])
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	for begun := time.Now(); is() != "/dev/null" && time.Since(begun) < 10*time.Second; time.Sleep(time.Millisecond) {
	}
	for _, want := range []string{"/dev/null", "/dev/zero", unix.ENOENT.Error()} {
		for range 2 {
			if got := is(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		if want != unix.ENOENT.Error() {
			if _, err := in.Write([]byte("\n")); err != nil {
				t.Fatal(err)
			}
			if _, err := out.Read(buf[:1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Another process may get the number of one that has ended: what is kept of the old one does not stand in its way.
	mine := file{pid: os.Getpid(), name: "fd"}
	old, err := unix.Open(fmt.Sprintf("/proc/%d/fd", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	mine.drop()
	mine.keep(old)
	for range 2 {
		if text, err := Descriptor(os.Getpid(), 0, buf[:]); err != nil {
			t.Errorf("%q, %v", text, err)
		}
	}
}
