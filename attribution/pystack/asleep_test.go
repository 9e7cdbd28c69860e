package pystack

import (
	"errors"
	"testing"
)

// TestThreadsThatSleepAreReadAndOthersNotWaitedFor looks at a thread that sleeps and at one that never does, in the same process.
func TestThreadsThatSleepAreReadAndOthersNotWaitedFor(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, line := py.start(t, `
import threading, time
def sleeper():
    print(threading.get_native_id(), flush=True)
    time.sleep(600)
threading.Thread(target=sleeper, daemon=True).start()
def spin():
    while True: pass
spin()`)
		sleeper := number(t, line)
		p := open(t, pid)
		settled(t, p, sleeper, "sleeper")
		if th, err := p.Asleep(Resting(pid, sleeper)); err != nil || th.Frames[0].Function != "sleeper" || th.TID != sleeper {
			t.Errorf("the thread that sleeps: %+v, %v", th, err)
		}
		for range 20 {
			if th, err := p.Asleep(Resting(pid, pid)); !errors.Is(err, ErrTorn) {
				t.Fatalf("the thread that runs: %+v, %v", th, err)
			}
		}
		if _, err := p.Only(); !errors.Is(err, ErrNoThread) {
			t.Errorf("the only one of two threads: %v", err)
		}
		if threads, err := p.ThreadsBriefly(); !errors.Is(err, ErrTorn) || len(threads) != 1 || threads[0].TID != sleeper {
			t.Errorf("both: %+v, %v", threads, err)
		}
		if _, err := p.Asleep(Resting(1, 1)); !errors.Is(err, ErrNoThread) {
			t.Errorf("another process's thread: %v", err)
		}
	})
}

func TestOnlyThreadOfAProcessIsReadWhileItSleeps(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, _ := py.start(t, "import threading, time\nthreading.current_thread().name = 'x'\nopen('/proc/self/comm', 'w').write('a\\\\b c')\ndef alone():\n    print('ready', flush=True)\n    time.sleep(600)\nalone()")
		p := open(t, pid)
		settled(t, p, pid, "alone")
		th, err := p.Only()
		if err != nil || th.TID != pid || len(th.Frames) != 2 || th.Frames[0].Function != "alone" {
			t.Errorf("%+v, %v", th, err)
		}
		if th.Name != `a\b c` {
			t.Errorf("its name is %q", th.Name)
		}
	})
}
