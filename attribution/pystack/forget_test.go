package pystack

import (
	"strings"
	"testing"
)

// shortLived runs code in dicts of globals that are freed at once: the next one begins at the address of the last.
const shortLived = `
import time
print("ready", flush=True)
while True:
    for name in ("alpha", "beta", "gamma", None):
        source = "import time\ndef wait_in_%s():\n for _ in range(3): time.sleep(0.001)\nwait_in_%s()" % (name, name)
        exec(source, {"__name__": name} if name else {})
`

func TestWhatIsRememberedOfFreedGlobalsIsNotSaidOfTheNextOnes(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, _ := py.start(t, shortLived)
		p := open(t, pid)
		seen := map[string]bool{}
		for range 150 {
			th, err := p.Thread(pid)
			if err != nil {
				continue // torn: nothing is said
			}
			if len(th.Frames) == 0 {
				continue
			}
			of, ok := strings.CutPrefix(th.Frames[0].Function, "wait_in_")
			if !ok {
				continue
			}
			if of == "None" {
				of = "" // exec gives such globals no name
			}
			if th.Frames[0].Module != of && !(of == "" && th.Frames[0].Module == "builtins") {
				t.Fatalf("%+v", th.Frames[0])
			}
			seen[of] = true
		}
		if len(seen) != 4 {
			t.Errorf("only saw %v", seen)
		}
	})
}
