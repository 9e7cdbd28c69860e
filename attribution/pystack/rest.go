package pystack

import (
	"fmt"
	"os"
	"strings"
)

// rest is what /proc says about a thread that sleeps: its context switches so far, "" when it runs.
type rest string

// restOf looks at a thread of the host (proc_pid_status(5)).
func restOf(pid, tid int) rest {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, tid))
	if err != nil {
		return ""
	}
	var state, voluntary, forced string
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "State":
			state = strings.TrimSpace(value)
		case "voluntary_ctxt_switches":
			voluntary = strings.TrimSpace(value)
		case "nonvoluntary_ctxt_switches":
			forced = strings.TrimSpace(value)
		}
	}
	if voluntary == "" || !strings.HasPrefix(state, "S") && !strings.HasPrefix(state, "D") {
		return ""
	}
	return rest(voluntary + "/" + forced)
}

// lasts says that the thread has not run since: to run and sleep again it would have switched at least once. What was
// read of its stack in between is one consistent moment.
func (r rest) lasts(pid, tid int) bool { return r != "" && r == restOf(pid, tid) }
