package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"netaudit/appliance"
)

// talk makes calls on the loopback interface of its namespace: HTTP with a path, a DNS question, and damaged questions.
const talk = `
import http.client, http.server, socket, threading
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 8069), H)
threading.Thread(target=s.serve_forever, daemon=True).start()
for i in range(20):
    c = http.client.HTTPConnection("127.0.0.1", 8069); c.request("GET", "/private/path", headers={"User-Agent": "private-agent"}); c.getresponse().read(); c.close()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(5): u.sendto(bytes.fromhex("123401000001000000000000") + b"?no label is as long", ("127.0.0.1", 53))
`

// TestRingWithWorkersSeesEverythingAndStrictRedactionHides runs the appliance with a ring, two workers and strict redaction, asks its metrics and reads its log.
func TestRingWithWorkersSeesEverythingAndStrictRedactionHides(t *testing.T) {
	needRoot(t)
	name := fmt.Sprintf("netaudit-ring-%d", os.Getpid())
	ip(t, "netns", "add", name)
	t.Cleanup(func() { ip(t, "netns", "del", name) })
	ip(t, "-n", name, "link", "set", "lo", "up")
	c := appliance.DefaultConfig()
	c.State, c.Listen, c.NetNS, c.Interfaces = filepath.Join(t.TempDir(), "state"), "127.0.0.1:0", "/run/netns/"+name, []string{"lo"}
	c.Capture, c.Workers, c.Redaction = appliance.CaptureRing, 2, appliance.RedactionStrict
	access, stop := start(t, c)
	if out, err := exec.Command("ip", "netns", "exec", name, "python3", "-c", talk).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checkMetrics(t, access.URL, c.State)
	stop()
	requests, flows := 0, 0
	var malformed int64
	for _, e := range readLedger(t, c.State) {
		text := string(e.AppendJSON(nil))
		for _, secret := range []string{"private", "127.0.0.1"} {
			if (e.Kind == "flow" || e.Kind == "http" || e.Kind == "dns") && strings.Contains(text, `"`+secret) {
				t.Errorf("%q in %s", secret, text)
			}
		}
		switch {
		case e.Kind == "http" && strings.HasPrefix(e.HTTP.Path, "hidden-"):
			requests++
		case e.Kind == "flow" && e.Channel == "http":
			flows++
		case e.Heartbeat != nil:
			malformed += e.Heartbeat.Malformed
			if len(e.Heartbeat.Interfaces) != 1 {
				t.Errorf("interfaces %v: several workers are one interface", e.Heartbeat.Interfaces)
			}
		}
	}
	if requests != 20 || flows != 20 || malformed != 5 {
		t.Errorf("%d requests, %d flows, %d unreadable messages; want 20, 20 and 5", requests, flows, malformed)
	}
}

// checkMetrics waits until the counters say what was sent, and that nobody reads them without a token.
func checkMetrics(t *testing.T, url, state string) {
	t.Helper()
	running, err := appliance.ReadRunning(state)
	if err != nil {
		t.Fatal(err)
	}
	unreadable := regexp.MustCompile(`(?m)^netaudit_malformed_total\{reason="dns: [^"]+"\} 5$`)
	text := ""
	for range 100 {
		if text = metrics(t, url, running.Token, http.StatusOK); unreadable.MatchString(text) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !unreadable.MatchString(text) || !strings.Contains(text, `netaudit_interface_up{interface="lo"} 1`) || !strings.Contains(text, `netaudit_dropped_total{interface="lo"} 0`) {
		t.Errorf("metrics:\n%s", text)
	}
	for _, name := range []string{"netaudit_processes_ended_early_total", "netaudit_process_events_lost_total"} {
		if !regexp.MustCompile(`(?m)^` + name + ` \d+$`).MatchString(text) {
			t.Errorf("no %s in the metrics:\n%s", name, text)
		}
	}
	metrics(t, url, "", http.StatusUnauthorized)
}

func metrics(t *testing.T, url, token string, want int) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		t.Fatalf("status %d, want %d, error %v", answer.StatusCode, want, err)
	}
	return string(body)
}
