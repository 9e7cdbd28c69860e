package pystack

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// deepScript sleeps below so many different functions, each a method with a model as its argument, as a request in Odoo does.
const deepScript = `
import threading, time
class Model: pass
registered = [type("model.n%%d" %% i, (Model,), {}) () for i in range(10)]
source = "".join("def f%%d(self): return f%%d(registered[%%d])\n" %% (i, i + 1, i %% 10) for i in range(%[1]d)) + "def f%[1]d(self):\n print('ready', flush=True)\n time.sleep(600)\n"
exec(compile(source, "%[2]s", "exec"))
f0(registered[0])`

// BenchmarkOneKnownStack reads a stack whose code objects are known; the promise is 100 µs for a stack of forty frames.
func BenchmarkOneKnownStack(b *testing.B) {
	for _, c := range []struct {
		name, file string
		depth      int
	}{{"3 frames", "/opt/addon.py", 3}, {"40 frames", "/opt/addon.py", 40}, {"500 frames", "/opt/addon.py", 500}, {"40 frames of no file", "<string>", 40}} {
		for _, py := range allPythons(b) {
			b.Run(c.name+"/"+py.String(), func(b *testing.B) {
				pid, _ := py.start(b, fmt.Sprintf(deepScript, c.depth, c.file))
				p := open(b, pid)
				before := cpuTime(b)
				for b.Loop() {
					if _, err := p.Thread(pid); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// BenchmarkAllThreads reads a process that looks like an idle worker of Odoo: its main thread and some that wait, twenty frames deep; the promise is 1 ms.
func BenchmarkAllThreads(b *testing.B) {
	for _, py := range allPythons(b) {
		b.Run(py.String(), func(b *testing.B) {
			pid, _ := py.start(b, `
import threading
def down(n): return down(n - 1) if n else threading.Event().wait()
for _ in range(5): threading.Thread(target=down, args=(12,)).start()
print("ready", flush=True)
down(12)`)
			p := open(b, pid)
			before := cpuTime(b)
			for b.Loop() {
				if _, err := p.Threads(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is what this process has used so far, in nanoseconds: what a reading costs also on a machine that is busy with other things.
func cpuTime(b *testing.B) int64 {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
