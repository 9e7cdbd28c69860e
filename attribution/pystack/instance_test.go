package pystack

import (
	"strings"
	"testing"
	"time"
)

// registries has what Odoo has: a registry for each database, classes of models that belong to one of them, and Odoo's scheduler. Instances keep their attributes in different ways: few of them, more than a class shares, and in a dict that
// somebody has asked for.
const registries = `
import sys, threading, time, types
class Registry:
    def __init__(self, name, more=0, asked=False):
        self.first, self.db_name, self.last = 1, name, 2
        for i in range(more): setattr(self, "attribute%d" % i, i)
        if asked: self.__dict__
class Plain: __slots__ = ("db_name",)
def model(registry):
    return type("res.partner", (), {"pool": registry, "work": work})()
def sleep():
    print(threading.get_native_id(), flush=True); time.sleep(600)
def work(self, f=sleep):
    f()
registry = types.ModuleType("odoo.addons.base.models.ir_cron")
exec("def _callback(self, cron_name, server_action_id): self.work()", registry.__dict__)
few, many, asked = Registry("few"), Registry("many", 40), Registry("asked", 2, True)
slots = Plain(); slots.db_name = "slots"
if sys.argv[1] == "two": model(few).work(model(many).work)
elif sys.argv[1] == "one": model(few).work(model(few).work)
elif sys.argv[1] == "none": sleep()
elif sys.argv[1] == "cron": registry._callback(model(few), "T\u00e4gliche Pr\u00fcfung", 4711)
else: model(globals()[sys.argv[1]]).work()
`

func TestDatabaseIsThatOfTheModelsOnTheStack(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		for argument, want := range map[string]string{"few": "few", "many": "many", "asked": "asked", "one": "few", "cron": "few", "two": "", "none": "", "slots": ""} {
			pid, line := py.start(t, strings.Replace(registries, "sys.argv[1]", "'"+argument+"'", -1))
			p := open(t, pid)
			th := settled(t, p, number(t, line), "sleep")
			if got := p.Database(th.Frames); got != want {
				t.Errorf("%s: %q, want %q", argument, got, want)
			}
			jobs := 0
			for _, f := range th.Frames {
				if f.Job.Name == "Tägliche Prüfung" && f.Job.Action == 4711 {
					jobs++
				} else if f.Job != (Job{}) {
					t.Errorf("%s: %+v", argument, f)
				}
			}
			if (jobs == 1) != (argument == "cron") {
				t.Errorf("%s: %d jobs", argument, jobs)
			}
		}
	})
}

// TestRegistryThatIsReplacedIsSeen: the place where a class keeps its registry is remembered, what stands there is not.
func TestRegistryThatIsReplacedIsSeen(t *testing.T) {
	each(t, func(t *testing.T, py python) {
		script := strings.Replace(registries, `if sys.argv[1] == "two"`, `
partner = model(few)
def replace(): time.sleep(2); type(partner).pool = many
threading.Thread(target=replace, daemon=True).start()
if sys.argv[1] == "replaced": partner.work()
elif sys.argv[1] == "two"`, 1)
		pid, line := py.start(t, strings.Replace(script, "sys.argv[1]", "'replaced'", -1))
		p := open(t, pid)
		th := settled(t, p, number(t, line), "sleep")
		if got := p.Database(th.Frames); got != "few" {
			t.Fatalf("%q at first", got)
		}
		for range 1000 {
			if p.Database(th.Frames) == "many" {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Error("the database of before")
	})
}
