package doctor

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// prefork is as much of Odoo's server as an observer outside can see: a master that forks two workers.
const prefork = `
import os, sys, time, types
server = types.ModuleType("odoo.service.server")
sys.modules[server.__name__] = server
exec("""
import os, time
class Worker:
    def _runloop(self): time.sleep(600)
class WorkerHTTP(Worker): pass
class WorkerCron(Worker): pass
class PreforkServer:
    def run(self):
        children = []
        for kind in (WorkerHTTP, WorkerCron):
            child = os.fork()
            if child == 0: kind()._runloop()
            children.append(child)
        time.sleep(0.5)
        print(os.getpid(), *children, flush=True)
        time.sleep(600)
""", server.__dict__)
server.PreforkServer().run()
`

func TestServerAndItsWorkersAreOneLine(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root to read other processes; CI must run as root")
		}
		t.Skip("needs root to read other processes: run make test")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"odoo-bin": prefork, "odoo.conf": "[options]\naddons_path = " + dir + ",/nowhere/addons\ndb_name = shop\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/usr/bin/python3", "odoo-bin", "-c", "odoo.conf")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var master, http, cron int
	t.Cleanup(func() {
		for _, pid := range []int{http, cron, master} {
			if p, err := os.FindProcess(pid); err == nil && pid > 0 {
				_ = p.Kill() // it may be gone
			}
		}
		_ = cmd.Wait() // it was killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(line, &master, &http, &cron); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("database shop: master %d, http %d, cron %d; addons paths that cannot be read: /nowhere/addons", master, http, cron)
	var odoo []string
	for _, c := range pythons(t.Context()) {
		if c.Topic == "odoo" {
			odoo = append(odoo, c.Detail)
		}
		if strings.HasSuffix(c.Detail, want) && strings.HasPrefix(c.Detail, "Odoo on CPython 3.") && c.Status == Warning {
			return
		}
	}
	t.Errorf("want … %s\ngot %q", want, odoo)
}
