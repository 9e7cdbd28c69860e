package pystack

import (
	"slices"
	"testing"
)

// dispatching has what Odoo has: modules of addons in sys.modules, and a dispatcher that calls a method by its name. The method's code runs in globals that say they are another addon's.
const dispatching = `
import sys, threading, time, types
def module(name, source):
    m = types.ModuleType(name)
    sys.modules[name] = m
    exec(source, m.__dict__)
    return m
for i in range(3000): sys.modules["filler%d" % i] = types.ModuleType("filler")
tools = module("odoo.addons.innocent.tools", "def through(f): return f()")
service = module("odoo.service.model", "def call_kw(model, name, args, kwargs): return getattr(model, name)(*args)")
forged = {"__name__": "odoo.addons.innocent." + "tools", "__builtins__": __builtins__}
exec("""
def steal(self):
    import threading, time
    print(threading.get_native_id(), flush=True)
    time.sleep(600)
""", forged)
class Base:
    def steal(self): pass
class Override(Base):
    __module__ = "odoo.addons.hidden.models"
    def steal(self): through(super().steal)
class Definition(Base):
    __module__ = "odoo.addons.innocent.models"
    steal = forged["steal"]
registered = type("mit.hidden", (Override, Definition), {})
through = tools.through
service.call_kw(registered(), "".join(["st", "eal"]), [], {})
`

func TestForgedGlobalsAreToldFromTheModulesOwn(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, line := py.start(t, dispatching)
		f := settled(t, open(t, pid), number(t, line), "steal").Frames
		if len(f) != 5 {
			t.Fatalf("%+v", f)
		}
		if f[0].Module != "odoo.addons.innocent.tools" || !f[0].Forged {
			t.Errorf("the code in forged globals: %+v", f[0])
		}
		if f[1].Module != "odoo.addons.innocent.tools" || f[1].Forged {
			t.Errorf("the module's own code: %+v", f[1])
		}
		if f[2].Forged || f[3].Forged || f[4].Forged {
			t.Errorf("code that claims nothing: %+v", f[2:])
		}
	})
}

func TestDispatcherTellsMethodAndItsClasses(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, line := py.start(t, dispatching)
		f := settled(t, open(t, pid), number(t, line), "steal").Frames
		e := f[len(f)-2].Entry
		if e.Method != "steal" || !slices.Equal(e.Owners, []string{"odoo.addons.hidden.models", "odoo.addons.innocent.models", "__main__"}) {
			t.Errorf("%+v", f)
		}
		if f[0].Entry.Method != "" || f[1].Entry.Method != "" {
			t.Errorf("frames that dispatch nothing: %+v", f[:2])
		}
	})
}

// renaming has a module of an addon that calls itself a library's, and globals that only say that they are this module's.
const renaming = `
import importlib.machinery, importlib.util, sys, threading, time, types
source = """
__name__ = "requests.sessions"
def call(f, *args): f(*args)
"""
spec = importlib.machinery.ModuleSpec("odoo.addons.hidden.models", None)
own = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = own
exec(source, own.__dict__)
pretending = {"__spec__": spec}
exec(source, pretending)
def sleep():
    print(threading.get_native_id(), flush=True); time.sleep(600)
own.call(pretending["call"], sleep)
`

func TestModuleThatCallsItselfAnotherIsNamedByItsSpec(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		pid, line := py.start(t, renaming)
		f := settled(t, open(t, pid), number(t, line), "sleep").Frames
		if len(f) != 4 || f[1].Module != "requests.sessions" || f[1].Spec != "" || f[2].Module != "requests.sessions" || f[2].Spec != "odoo.addons.hidden.models" || f[0].Spec != "" {
			t.Errorf("%+v", f)
		}
	})
}
