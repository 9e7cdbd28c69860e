package pystack

import (
	"errors"
	"testing"
)

const busyScript = `
def ping(n): return pong(n - 1) if n else 0
def pong(n): return ping(n - 1) if n else 0
print("ready", flush=True)
while True: ping(20)
`

// Sampling a thread that calls and returns all the time may give up, but a stack that is returned must be one that the
// program can have: ping and pong in turn, down to <module>.
func TestBusyRecursionIsNeverReportedWrong(t *testing.T) {
	const samples = 2000
	each(t, func(t *testing.T, py python) {
		pid, _ := py.start(t, busyScript)
		p := open(t, pid)
		wrong, torn := 0, 0
		for range samples {
			th, err := p.Thread(pid)
			switch {
			case errors.Is(err, ErrTorn):
				torn++
			case err != nil:
				t.Fatal(err)
			case !possible(th.Frames):
				if wrong++; wrong < 3 {
					t.Errorf("impossible: %+v", th.Frames)
				}
			}
		}
		t.Logf("%s: %d samples, %d wrong, %d given up", p.Version(), samples, wrong, torn)
		if torn == samples {
			t.Error("no stack was ever read")
		}
	})
}

func possible(frames []Frame) bool {
	n := len(frames)
	if n == 0 || n > 22 || frames[n-1].Function != "<module>" {
		return false
	}
	for i, f := range frames[:n-1] {
		want, line := "ping", 2
		if (n-2-i)%2 == 1 {
			want, line = "pong", 3
		}
		if f.Function != want || f.Line != line {
			return false
		}
	}
	return true
}
