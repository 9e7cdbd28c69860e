package pystack

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// loaded keeps registries as Odoo does, to version 16 and since: a class with a dictionary and one with slots. Threads that use the registries take them out of the dict and put them back.
const loaded = `
import collections, sys, threading, time, types
class Values:
    def __init__(self): self._lock, self.d = threading.RLock(), collections.OrderedDict()
    def use(self, key):
        with self._lock: self.d.move_to_end(key, last=False)
    def put(self, key): self.d[key] = object()
class Slots:
    __slots__ = ("_count", "_lock", "_values")
    def __init__(self): self._lock, self._values = threading.RLock(), {}
    def use(self, key):
        with self._lock:
            value = self._values.pop(key)
            if SLOW: time.sleep(0.0001)
            self._values[key] = value
    def put(self, key): self._values[key] = object()
SLOW = True
module = types.ModuleType("odoo.modules.registry")
lru = type("LRU", (SHAPE,), {"__slots__": ()} if SHAPE is Slots else {})()
module.Registry = type("Registry", (), {"registries": lru})
for name in NAMES: lru.put(name)
if MODULE: sys.modules[module.__name__] = module
def busy():
    n = 0
    while True:
        n += 1
        if NAMES: lru.use(NAMES[n % len(NAMES)])
        if n % 50 == 0: time.sleep(0.002)
if BUSY: threading.Thread(target=busy, daemon=True).start()
print("ready", flush=True); time.sleep(600)
`

func registriesOf(t *testing.T, py python, shape, names, module, busy string) *Process {
	pid, line := py.start(t, strings.NewReplacer("SHAPE", shape, "NAMES", names, "MODULE", module, "BUSY", busy).Replace(loaded))
	if line != "ready" {
		t.Fatalf("the script said %q", line)
	}
	return open(t, pid)
}

func TestRegistriesAreThoseThatAreLoaded(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		for _, shape := range []string{"Values", "Slots"} {
			for text, want := range map[string][]string{`[]`: nil, `["one"]`: {"one"}, `["zwei", "éins"]`: {"zwei", "éins"}} {
				if got, err := registriesOf(t, py, shape, text, "True", "False").Registries(); err != nil || !slices.Equal(got, want) {
					t.Errorf("%s: %q, %v, want %q", shape, got, err, want)
				}
			}
		}
		if got, err := registriesOf(t, py, "Slots", `["one"]`, "False", "False").Registries(); err != nil || got != nil {
			t.Errorf("without the module: %q, %v", got, err)
		}
	})
}

// TestRegistriesInUseAreNeverReadHalf: what is in use is not in the dict for a moment.
func TestRegistriesInUseAreNeverReadHalf(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		p := registriesOf(t, py, "Slots", `["one", "two"]`, "True", "True")
		whole, torn := 0, 0
		for began := time.Now(); time.Since(began) < time.Second; {
			switch got, err := p.Registries(); {
			case errors.Is(err, ErrTorn):
				torn++
			case err != nil:
				t.Fatal(err)
			case !slices.Equal(got, []string{"one", "two"}):
				t.Fatalf("%q after %d whole readings", got, whole)
			default:
				whole++
			}
		}
		t.Logf("%d whole, %d given up", whole, torn)
		if whole == 0 {
			t.Error("never read")
		}
	})
}
