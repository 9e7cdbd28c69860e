package hook

import (
	"fmt"
	"testing"

	"netaudit/attribution/pystack/interpreters"
)

// becomes is a Python that another program takes the place of, which then calls.
const becomes = `
import os, sys
print("ready", flush=True)
sys.stdin.readline()
os.execvp("bash", ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/%s; echo end; read line" % sys.argv[1]])
`

// TestProgramThatReplacedAPythonIsNotReadAsOne lets a process run another program without telling: its calls are those of a process that nobody has announced, so that who started it is looked for.
func TestProgramThatReplacedAPythonIsNotReadAsOne(t *testing.T) {
	h := attached(t)
	for _, py := range interpreters.All(t) {
		t.Run(py.String(), func(t *testing.T) {
			port, ends := echo(t)
			c := startCaller(t, py.Command("-c", becomes, fmt.Sprint(port)))
			announced(t, h, c.pid)
			c.cue(t)
			local, remote := ends()
			if line := c.line(t); line != "end" {
				t.Fatalf("the program said %q", line)
			}
			call, ok := h.Lookup(ownNamespace(t), 6, local, remote)
			if !ok {
				t.Fatal("the call was not recorded")
			}
			if call.Comm != "bash" || call.Serial != 0 || call.Slots != nil || call.Reason == "" {
				t.Errorf("%s with serial %d, %d bytes of stack, %q", call.Comm, call.Serial, len(call.Slots), call.Reason)
			}
		})
	}
}
