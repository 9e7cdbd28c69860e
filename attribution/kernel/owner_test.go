package kernel

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

func always() bool { return true }

func TestHolderIsFoundByWhatHeldSocketsLatelyOrElseByAll(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	inode := inodeOf(t, l.(*net.TCPListener))
	var h Holders
	if _, ok := h.Find(inode, func() []int { return nil }, func() bool { return false }); ok {
		t.Error("a socket that is closed is searched for in all processes")
	}
	for _, likely := range [][]int{{os.Getpid()}, nil, nil} { // as one that is likely, then by its descriptor, then by that again
		holder, ok := h.Find(inode, func() []int { return likely }, func() bool { t.Error("all processes are searched"); return true })
		if !ok || holder.PID != os.Getpid() || !holder.Holds(inode) {
			t.Errorf("likely %v: %+v, %v", likely, holder, ok)
		}
	}
	second, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	other := inodeOf(t, second.(*net.TCPListener))
	holder, ok := h.Find(other, func() []int { return nil }, func() bool { t.Error("all processes are searched"); return true })
	if !ok || holder.PID != os.Getpid() || !holder.Holds(other) || holder.Holds(inode) {
		t.Errorf("another socket of a process that held one lately: %+v, %v", holder, ok)
	}
}

func TestHolderIsFoundInAProcessNobodyThoughtOf(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	inode := inodeOf(t, l.(*net.TCPListener))
	cmd := exec.Command("sleep", "600")
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it was killed
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var h Holders
	if holder, ok := h.Find(inode, func() []int { return []int{os.Getpid()} }, always); !ok || holder != (Holder{cmd.Process.Pid, 3}) {
		t.Errorf("%+v, %v; the holder is process %d", holder, ok, cmd.Process.Pid)
	}
}

// TestSameDescriptorIsTriedFirst counts what it takes to find a socket among many descriptors: each that is looked at costs memory.
func TestSameDescriptorIsTriedFirst(t *testing.T) {
	var inode uint32
	for range 300 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if inode == 0 {
			inode = inodeOf(t, l.(*net.TCPListener))
		}
	}
	var h Holders
	find := func() {
		if _, ok := h.Find(inode, func() []int { return []int{os.Getpid()} }, always); !ok {
			t.Error("not found")
		}
	}
	find()
	if n := testing.AllocsPerRun(10, find); n > 30 {
		t.Errorf("%v allocations to find it again", n)
	}
}

func TestHoldersRememberAsMuchAsTheyMay(t *testing.T) {
	var h Holders
	for pid := range 100 {
		for fd := range 20 {
			h.remember(Holder{pid + 1_000_000_000, fd})
		}
	}
	pids, guesses := h.latest()
	if len(pids) != maxRecent || pids[0] != 1_000_000_099 || len(guesses) != maxGuesses || guesses[0] != (Holder{1_000_000_099, 19}) {
		t.Errorf("%d processes, the first %d; %d guesses, the first %+v", len(pids), pids[0], len(guesses), guesses[0])
	}
}
