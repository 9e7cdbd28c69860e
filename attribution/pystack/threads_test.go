package pystack

import "testing"

func TestSubInterpretersThreadIsFound(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, line := py.start(t, `
try: import _interpreters as interpreters
except ImportError: import _xxsubinterpreters as interpreters
import threading
def work():
    interpreters.run_string(interpreters.create(), """
import threading, time
def in_sub():
    print(threading.get_native_id(), flush=True)
    time.sleep(60)
in_sub()""")
t = threading.Thread(target=work)
t.start()
t.join()`)
		tid := number(t, line)
		p := open(t, pid)
		th := settled(t, p, tid, "in_sub")
		if main, err := p.Thread(pid); err != nil || len(main.Frames) == 0 {
			t.Errorf("the main interpreter's thread: %+v, %v", main, err)
		}
		if th.TID != tid || th.Frames[0].Line != 5 || th.Frames[0].Module != "__main__" {
			t.Errorf("%+v", th)
		}
	})
}

func TestHolderOfTheInterpreterLockIsTheThreadThatRuns(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, line := py.start(t, `
import threading, time
def sleeper():
    print(threading.get_native_id(), flush=True)
    time.sleep(600)
threading.Thread(target=sleeper, daemon=True).start()
def spin():
    n = 0
    while True: n += 1
spin()`)
		sleeper := number(t, line)
		p := open(t, pid)
		settled(t, p, sleeper, "sleeper")
		held := false
		for range 50 {
			th, err := p.Thread(pid)
			if err != nil {
				continue // torn
			}
			if th.Frames[0].Function != "spin" && len(th.Frames) > 0 {
				t.Fatalf("%+v", th.Frames)
			}
			held = held || th.HoldsGIL
			if other, err := p.Thread(sleeper); err == nil && other.HoldsGIL {
				t.Fatal("a thread that sleeps holds the lock")
			}
		}
		if !held {
			t.Error("the thread that runs never held the lock")
		}
	})
}
