package pystack

import (
	"errors"
	"testing"
	"time"
)

// works lets a thread of a pool, or one of its own, work for another one that waits for it in the function asks.
var works = map[string]struct {
	script string
	nobody bool // there is no one thread that waits
}{
	"a future's result": {script: `
def asks():
    with ThreadPoolExecutor(2) as pool:
        pool.submit(time.sleep, 600)
        pool.submit(work).result()
`},
	"a pool's map": {script: `
def asks():
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: work(), [1]))
`},
	"an executor of asyncio": {script: `
async def inner():
    await asyncio.get_running_loop().run_in_executor(None, work)
def asks():
    asyncio.run(inner())
`},
	"a thread that is joined": {script: `
def asks():
    t = threading.Thread(target=work)
    t.start()
    t.join()
`},
	"nobody": {script: `
def asks():
    pool = ThreadPoolExecutor(2)
    pool.submit(work)
    time.sleep(600)
`, nobody: true},
	"two that wait": {script: `
def asks():
    pool = ThreadPoolExecutor(2)
    f = pool.submit(work)
    threading.Thread(target=f.result, daemon=True).start()
    f.result()
`, nobody: true},
	"another future": {script: `
def asks():
    pool = ThreadPoolExecutor(2)
    pool.submit(work)
    pool.submit(time.sleep, 600).result()
`, nobody: true},
}

func TestWhoWaitsForAWorkerIsFound(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		for name, w := range works {
			t.Run(name, func(t *testing.T) {
				pid, line := py.start(t, `
import asyncio, threading, time
from concurrent.futures import ThreadPoolExecutor
def work():
    time.sleep(0.2)
    print(threading.get_native_id(), flush=True)
    time.sleep(600)
`+w.script+`
def beside():
    ThreadPoolExecutor(1).submit(time.sleep, 600).result()
threading.Thread(target=beside, daemon=True).start()
asks()`)
				p := open(t, pid)
				worker := settled(t, p, number(t, line), "work")
				time.Sleep(50 * time.Millisecond) // the second one who waits has to come there
				waiting, err := p.Waiter(worker)
				if w.nobody {
					if !errors.Is(err, ErrNoThread) {
						t.Fatalf("%+v, %v", waiting, err)
					}
					return
				}
				if err != nil || waiting.TID != pid || waiting.Frames[len(waiting.Frames)-2].Function != "asks" {
					t.Errorf("%+v, %v", waiting, err)
				}
			})
		}
	})
}
