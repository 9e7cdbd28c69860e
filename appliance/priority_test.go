package appliance

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestYieldReachesEveryThread runs in a child process: a nice value cannot be taken back without rights.
func TestYieldReachesEveryThread(t *testing.T) {
	if os.Getenv("NETAUDIT_YIELD") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestYieldReachesEveryThread$", "-test.v")
		cmd.Env = append(os.Environ(), "NETAUDIT_YIELD=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	if err := Yield(7); err != nil {
		t.Fatal(err)
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil || len(tasks) < 2 {
		t.Fatal(len(tasks), err)
	}
	for _, task := range tasks {
		stat, err := os.ReadFile("/proc/self/task/" + task.Name() + "/stat")
		if err != nil {
			continue // ended
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if nice := fields[16]; nice != "7" { // field 19 of proc_pid_stat(5)
			t.Errorf("thread %s has nice %s", task.Name(), nice)
		}
	}
	if err := Yield(7); err != nil {
		t.Error("once more:", err)
	}
}
