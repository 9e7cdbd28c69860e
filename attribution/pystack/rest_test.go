package pystack

import (
	"bufio"
	"io"
	"os/exec"
	"testing"
	"time"
)

func TestRestLastsUntilTheThreadRunsAgain(t *testing.T) {
	cmd := exec.Command("cat")
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
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() }) // it ends with its input
	echo := bufio.NewReader(out)
	say := func() {
		if _, err := io.WriteString(in, "run\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := echo.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	say()
	rest := Resting(cmd.Process.Pid, cmd.Process.Pid)
	for deadline := time.Now().Add(10 * time.Second); !rest.Lasts() && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		rest = Resting(cmd.Process.Pid, cmd.Process.Pid)
	}
	for range 2 {
		if !rest.Lasts() {
			t.Fatal("a thread that waits for input does not rest")
		}
	}
	say()
	if rest.Lasts() {
		t.Error("the rest lasts although the thread has answered")
	}
	if (Rest{}).Lasts() {
		t.Error("a rest that nobody saw begin lasts")
	}
}
