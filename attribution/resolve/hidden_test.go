package resolve

import (
	"slices"
	"strings"
	"testing"
	"time"

	"netaudit/attribution"
)

// vendor is what the scripts below begin with: a dispatcher as Odoo has it, and a compiled module that opens a connection without a Python frame of its own.
const vendor = `
import os, subprocess, sys, sysconfig, threading, types
SOURCE = r"""
#include <Python.h>
static PyObject *connect(PyObject *self, PyObject *args) {
	PyObject *socket = PyImport_ImportModule("socket"), *connection = socket ? PyObject_CallMethod(socket, "create_connection", "((si))", "127.0.0.1", PORT) : NULL;
	return connection ? PyObject_CallMethod(connection, "recv", "i", 1) : NULL;
}
static PyMethodDef methods[] = {{"connect", connect, METH_VARARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "compiled", "", -1, methods};
PyMODINIT_FUNC PyInit_compiled(void) { return PyModule_Create(&module); }
"""
def build(port, directory):
    with open(directory + "/compiled.c", "w") as f: f.write(SOURCE.replace("PORT", str(port)))
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-I" + sysconfig.get_path("include"), "-o", directory + "/compiled.so", directory + "/compiled.c"], check=True)
    sys.path.insert(0, directory)
    import compiled
    return compiled
service = types.ModuleType("odoo.service.model")
sys.modules[service.__name__] = service
exec("def call_kw(model, name, args, kwargs): return getattr(model, name)(*args)", service.__dict__)
base = types.ModuleType("odoo.addons.base")
sys.modules[base.__name__] = base
exec("def request(call, *args): return call(*args)", base.__dict__)
HERE = os.path.dirname(os.path.abspath(__file__))
`

func TestCompiledMethodIsNamedByItsClassAndTheMachineStack(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	accept := world(t, vendor+`
def run(port):
    compiled = build(port, HERE)
    definition = type("Definition", (), {"__module__": "odoo.addons.caller.models", "call": staticmethod(compiled.connect)})
    model = type("vendor.model", (definition,), {})()
    base.request(service.call_kw, model, "call", [], {})
run = types.FunctionType(run.__code__, {**globals(), "__name__": "main"})
`)
	c := accept()
	o := ask(t, r, c.RemoteAddr(), c.LocalAddr())
	if o.Addon == nil || o.Addon.Name != "caller" || o.Addon.Method != "call" || o.Addon.Model != "vendor.model" || o.Evidence.Confidence != attribution.ConfidenceHigh {
		t.Errorf("addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
}

// TestCompiledMethodIsNamedByWhatWasRecorded asks about a call only when its thread is past it.
func TestCompiledMethodIsNamedByWhatWasRecorded(t *testing.T) {
	r := recording(t)
	accept := world(t, vendor+`
def run(port):
    compiled = build(port, HERE)
    definition = type("Definition", (), {"__module__": "odoo.addons.caller.models", "call": staticmethod(compiled.connect)})
    model = type("vendor.model", (definition,), {})()
    for _ in range(3):
        base.request(service.call_kw, model, "call", [], {})
run = types.FunctionType(run.__code__, {**globals(), "__name__": "main"})
`)
	first := accept()
	ask(t, r, first.RemoteAddr(), first.LocalAddr()) // from now on the machine stack is recorded too
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := accept()
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	accept()
	o := ask(t, r, second.RemoteAddr(), second.LocalAddr())
	if o.Addon == nil || o.Addon.Name != "caller" || o.Addon.Method != "call" || o.Evidence.Source != attribution.SourceKernel || o.Evidence.Confidence != attribution.ConfidenceHigh {
		t.Errorf("addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
}

// TestRecordStandsBesideCompiledCodeThatDidNotCall: the process has loaded compiled code of an addon that is not behind the call. A look at the thread agrees with the record, which is of the call itself.
func TestRecordStandsBesideCompiledCodeThatDidNotCall(t *testing.T) {
	r := recording(t)
	accept := world(t, vendor+`
def run(port):
    import socket
    os.makedirs(HERE + "/../stranger", exist_ok=True)
    build(port, os.path.realpath(HERE + "/../stranger"))
    for _ in range(3):
        socket.create_connection(("127.0.0.1", port)).recv(1)
`)
	for n := range 3 {
		c := accept()
		begun := time.Now()
		o := ask(t, r, c.RemoteAddr(), c.LocalAddr())
		if n > 0 && (o.Addon == nil || o.Addon.Name != "caller" || o.Evidence.Source != attribution.SourceKernel || o.Evidence.Confidence == attribution.ConfidenceUnknown || !o.Evidence.At.Before(begun)) {
			t.Errorf("call %d: addon %+v, evidence %+v", n, o.Addon, o.Evidence)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCompiledCodeOfAnotherAddonIsNotTakenForItsCaller(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	accept := world(t, vendor+`
def run(port):
    os.makedirs(HERE + "/../stranger", exist_ok=True)
    build(port, os.path.realpath(HERE + "/../stranger")).connect()
`)
	c := accept()
	o := ask(t, r, c.RemoteAddr(), c.LocalAddr())
	if o.Addon != nil || !slices.Equal(o.Evidence.Candidates, []string{"caller", "stranger"}) {
		t.Errorf("addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
}

func TestOnlyTheEntryIsKnownOfCodeThatShowsNothing(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	accept := world(t, vendor+`
def run(port):
    import socket
    definition = type("Definition", (), {"__module__": "odoo.addons.caller.models", "call": staticmethod(lambda: None)})
    library = {"__name__": "library", "port": port, "socket": socket}
    exec("def call(): socket.create_connection(('127.0.0.1', port)).recv(1)", library)
    definition.call = staticmethod(library["call"])
    base.request(service.call_kw, type("vendor.model", (definition,), {})(), "call", [], {})
run = types.FunctionType(run.__code__, {**globals(), "__name__": "main"})
`)
	c := accept()
	o := ask(t, r, c.RemoteAddr(), c.LocalAddr())
	if o.Addon != nil || !slices.Equal(o.Evidence.Candidates, []string{"caller"}) || !strings.HasPrefix(o.Evidence.Reason, "only the entry point is known: method call of vendor.model, which caller has") {
		t.Errorf("addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
}

func TestCodeAndClassThatBlameAnotherAddonAreNotBelieved(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	accept := world(t, vendor+`
def run(port):
    import socket
    innocent = {"__name__": "odoo.addons.other", "port": port, "socket": socket}
    exec("def call(self): socket.create_connection(('127.0.0.1', port)).recv(1)", innocent)
    definition = type("Definition", (), {"__module__": "odoo.addons.other", "call": innocent["call"]})
    base.request(service.call_kw, type("vendor.model", (definition,), {})(), "call", [], {})
run = types.FunctionType(run.__code__, {**globals(), "__name__": "main"})
`)
	c := accept()
	o := ask(t, r, c.RemoteAddr(), c.LocalAddr())
	if o.Addon != nil || len(o.Evidence.Conflicts) != 1 || !slices.Contains(o.Evidence.Candidates, "other") {
		t.Errorf("addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
}

func TestCodeThatBlamesAnotherAddonIsNamedByItsClass(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	accept := world(t, vendor+`
def run(port):
    import socket
    innocent = {"__name__": "odoo.addons.other", "port": port, "socket": socket}
    exec("def call(self): socket.create_connection(('127.0.0.1', port)).recv(1)", innocent)
    definition = type("Definition", (), {"__module__": "odoo.addons.caller.models", "call": innocent["call"]})
    base.request(service.call_kw, type("vendor.model", (definition,), {})(), "call", [], {})
run = types.FunctionType(run.__code__, {**globals(), "__name__": "main"})
`)
	c := accept()
	o := ask(t, r, c.RemoteAddr(), c.LocalAddr())
	if o.Addon == nil || o.Addon.Name != "caller" || !slices.Equal(o.Evidence.Conflicts, []string{"code of caller presents itself as odoo.addons.other"}) {
		t.Errorf("addon %+v, evidence %+v", o.Addon, o.Evidence)
	}
}
