package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netaudit/appliance"
)

// watchingState is set for a process that is to be an appliance over this directory, see watchUntilTold.
const watchingState = "NETAUDIT_E2E_WATCHING"

// watchUntilTold is an appliance on loopback that says when it is ready and ends with its standard input.
func watchUntilTold(state string) error {
	c := appliance.DefaultConfig()
	c.State, c.Listen, c.Interfaces = state, "127.0.0.1:0", []string{"lo"}
	c.Filter = "tcp port 1" // the kernel records all callers, whatever is captured
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	return appliance.Run(ctx, c, slog.New(slog.NewTextHandler(os.Stderr, nil)), func(appliance.Access) {
		fmt.Println("ready")
		go func() {
			defer stop()
			_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that counts
		}()
	})
}

// TestCallersThatWereLostAreAGap lets a whole appliance stand still while more calls are made than the kernel keeps for it.
func TestCallersThatWereLostAreAGap(t *testing.T) {
	needRoot(t)
	state := filepath.Join(t.TempDir(), "state")
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), watchingState+"="+state), t.Output()
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
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test failed
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	flood(t)
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	gaps, lost := 0, int64(0)
	for _, e := range readLedger(t, state) {
		if e.Gap != nil && e.Gap.Reason == "callers_lost" {
			gaps, lost = gaps+1, lost+e.Gap.Count
		}
	}
	if gaps != 1 || lost < 1 {
		t.Errorf("%d gaps about %d callers", gaps, lost)
	}
}

// flood connects a UDP socket more often than 16 MiB have room for records of 104 bytes and their heads of 8. It takes its time: others on this host are told of these calls too.
func flood(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for n := range 16<<20/112 + 10_000 {
		if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 9}); err != nil {
			t.Fatal(err)
		}
		if n%1000 == 999 {
			time.Sleep(10 * time.Millisecond)
		}
	}
}
