package resolve

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"netaudit/attribution"
)

// webServer is as much of Odoo as an observer outside can see: socketserver's thread for each connection, the wrapper of a route, controllers of addons, one that overrides another's.
var webServer = map[string]string{
	"odoo/__init__.py": "", "odoo/addons/__init__.py": "", "odoo/addons/shop/__init__.py": "", "odoo/addons/theme/__init__.py": "",
	"odoo/http.py": `
import time
def route(endpoint):
    def route_wrapper(self, *args):
        return endpoint(self, *args)
    return route_wrapper
class Response:
    def flatten(self): time.sleep(0.4)
`,
	"odoo/addons/shop/__manifest__.py": "{'name': 'Shop', 'version': '19.0.2.0', 'author': 'Somebody'}",
	"odoo/addons/shop/controllers.py": `
import time
from odoo.http import route
class Shop:
    @route
    def cart(self): time.sleep(0.4)
    @route
    def page(self): time.sleep(0.4)
`,
	"odoo/addons/theme/controllers.py": `
from odoo.http import route
from odoo.addons.shop.controllers import Shop
class Theme(Shop):
    @route
    def page(self): return super().page()
    @route
    def drawn(self): pass
`,
	"odoo-bin": `
import http.server, time
from odoo.http import Response
from odoo.addons.theme.controllers import Theme
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        if self.path == "/static": time.sleep(0.4)
        elif self.path == "/drawn":
            Theme().drawn()
            Response().flatten()
        else:
            if "late" in self.headers["Host"]: time.sleep(0.3)
            getattr(Theme(), self.path[1:])()
        self.send_response(204); self.end_headers()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
`,
}

// startWebServer returns the server's address.
func startWebServer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range webServer {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("python3", "odoo-bin")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it was killed
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1:" + strings.TrimSpace(port)
}

// again sends a request whose response has ended before anybody looked.
func again(t *testing.T, r *Resolver, server, path string) chan attribution.Owner {
	t.Helper()
	return askServing(t, r, connect(t, r, server), "shop", path, func() bool { return true })
}

// request sends a request and asks who answers it, as the recorder does, until the response has come.
func request(t *testing.T, r *Resolver, server, host, path string) chan attribution.Owner {
	t.Helper()
	var over atomic.Bool
	c := connect(t, r, server)
	answer := askServing(t, r, c, host, path, over.Load)
	go func() {
		_, _ = c.Read(make([]byte, 1)) // at the end of a test that failed the connection is closed
		over.Store(true)
	}()
	return answer
}

// connect returns a connection that the server has accepted.
func connect(t *testing.T, r *Resolver, server string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp4", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	accepted := make(chan attribution.Owner, 1)
	if !r.AskInbound(acceptedEnd(c), func(o attribution.Owner) { accepted <- o }) {
		t.Fatal("the question was not taken")
	}
	if o := <-accepted; o.Process == nil {
		t.Fatalf("nobody accepted the connection: %+v", o.Evidence)
	}
	return c
}

// acceptedEnd is a connection as the server's host sees it.
func acceptedEnd(c net.Conn) attribution.Tuple {
	return attribution.Tuple{Proto: 6, Local: netip.MustParseAddrPort(c.RemoteAddr().String()), Remote: netip.MustParseAddrPort(c.LocalAddr().String())}
}

func askServing(t *testing.T, r *Resolver, c net.Conn, host, path string, over func() bool) chan attribution.Owner {
	t.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host); err != nil {
		t.Fatal(err)
	}
	answer := make(chan attribution.Owner, 1)
	if !r.AskServing(acceptedEnd(c), "GET "+path, over, func(o attribution.Owner) { answer <- o }) {
		t.Fatal("the question was not taken")
	}
	return answer
}

func TestControllerThatAnswersIsNamedAmongOthers(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	server := startWebServer(t)
	begun := time.Now()
	cart, page, static := request(t, r, server, "shop", "/cart"), request(t, r, server, "shop", "/page"), request(t, r, server, "shop", "/static")
	o := <-cart
	if o.Addon == nil || o.Addon.Name != "shop" || o.Addon.Method != "cart" || o.Addon.Version != "19.0.2.0" || o.Evidence.Confidence != attribution.ConfidenceExact {
		t.Errorf("/cart: %+v, %+v", o.Addon, o.Evidence)
	}
	if o.Process == nil || o.Process.Role != "odoo_http" || o.Evidence.TID == 0 || o.Evidence.At.Before(begun) {
		t.Errorf("/cart: %+v, %+v", o.Process, o.Evidence)
	}
	if o = <-page; o.Addon == nil || o.Addon.Name != "theme" || o.Addon.Method != "page" {
		t.Errorf("/page is answered by an override: %+v, %+v", o.Addon, o.Evidence)
	}
	if o = <-again(t, r, server, "/cart"); o.Addon == nil || o.Addon.Name != "shop" || o.Evidence.Source != attribution.SourceHistory || o.Evidence.Confidence != attribution.ConfidenceHigh || !o.Evidence.At.IsZero() {
		t.Errorf("/cart, answered too fast: %+v, %+v", o.Addon, o.Evidence)
	}
	if o = <-static; o.Addon != nil || o.Process == nil || !strings.Contains(o.Evidence.Reason, "no controller") || !o.Evidence.At.IsZero() {
		t.Errorf("/static: %+v, %+v", o.Addon, o.Evidence)
	}
}

func TestControllerIsNamedThatBeginsLate(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	o := <-request(t, r, startWebServer(t), "late", "/cart") // as when the worker waits for its database first
	if o.Addon == nil || o.Addon.Name != "shop" || o.Addon.Method != "cart" || o.Evidence.Source != attribution.SourceThread {
		t.Errorf("%+v, %+v", o.Addon, o.Evidence)
	}
}

func TestNobodyLooksOnWhenTheControllerHasReturned(t *testing.T) {
	needRoot(t)
	r := resolver(t)
	o := <-request(t, r, startWebServer(t), "shop", "/drawn") // its page is made afterwards
	if o.Addon != nil || o.Process == nil || !strings.Contains(o.Evidence.Reason, "had returned") {
		t.Errorf("%+v, %+v", o.Addon, o.Evidence)
	}
}
