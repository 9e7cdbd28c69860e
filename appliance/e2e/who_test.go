package e2e

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"netaudit/appliance"
	"netaudit/attribution/party"
)

// waiting is an addon's module that opens a connection and waits for an answer.
const waiting = `
import socket
def wait(port):
    s = socket.create_connection(("127.0.0.1", port))
    print("waiting", flush=True)
    s.recv(1)
`

func TestWhoNamesTheAddonThatWaitsOnAConnection(t *testing.T) {
	needRoot(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts: the caller waits
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dir := t.TempDir()
	addon := filepath.Join(dir, "odoo", "addons", "shop")
	if err := os.MkdirAll(addon, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"__init__.py": "", "__manifest__.py": "{'name': 'Shop', 'version': '1.2'}", "cart.py": waiting} {
		if err := os.WriteFile(filepath.Join(addon, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ := net.SplitHostPort(silent.Addr().String())
	cmd := exec.CommandContext(t.Context(), "python3", "-c", "import odoo.addons.shop.cart as c; c.wait("+port+")")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed: that is its error
	}()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	parties, err := party.Load()
	if err != nil {
		t.Fatal(err)
	}
	list, err := appliance.Who(t.Context(), "", parties, true)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i].Remote.String() != silent.Addr().String() {
			continue
		}
		e := list[i].Event()
		if e.Addon == nil || e.Addon.Name != "shop" || e.Addon.Version != "1.2" || e.Process.PID != cmd.Process.Pid || e.Evidence.Confidence != "exact" || e.Party.Class != "internal" {
			t.Errorf("%s", e.AppendJSON(nil))
		}
		return
	}
	t.Errorf("the connection to %s is not listed: %+v", silent.Addr(), list)
}
