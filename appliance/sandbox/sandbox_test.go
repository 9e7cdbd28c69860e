package sandbox

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root to make network namespaces; CI must run as root")
	}
	t.Skip("needs root to make network namespaces: run make test")
}

const client = `
import smtplib, ssl, time, urllib.request
begin = time.monotonic()
print(urllib.request.urlopen("https://shop.example/?ms=1", timeout=5).read().decode().strip())
print(urllib.request.urlopen("http://six.example/", timeout=5).status)
with smtplib.SMTP("shop.example", 587, timeout=5) as smtp:
    smtp.starttls(context=ssl.create_default_context())
    print(smtp.sendmail("a@b.example", ["c@d.example"], "Subject: x\r\n\r\ny\r\n"))
try:
    urllib.request.urlopen("http://nobody.example/", timeout=5)
except OSError as error:
    print("unknown name refused")
print("took a delay" if time.monotonic() - begin > 0.2 else "too fast")
`

func TestProcessesReachTheServersOverEitherWire(t *testing.T) {
	const said = "{\"status\": \"ok\"}\n200\n{}\nunknown name refused\n"
	t.Run("with a delay", func(t *testing.T) {
		if out := reach(t, 10*time.Millisecond); out != said+"took a delay\n" {
			t.Errorf("client said\n%s", out)
		}
	})
	t.Run("bare", func(t *testing.T) {
		if out := reach(t, 0); !strings.HasPrefix(out, said) {
			t.Errorf("client said\n%s", out)
		}
	})
}

// reach builds a sandbox, takes it down again, and returns what a client in it said.
func reach(t *testing.T, delay time.Duration) string {
	t.Helper()
	needRoot(t)
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), Config{Dir: dir, Delay: delay, Hosts: []Host{
		{Name: "shop.example", Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.10")}},
		{Name: "six.example", Addrs: []netip.Addr{netip.MustParseAddr("2001:db8:77::10")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Command(t.Context(), s.Python(), "-c", client).CombinedOutput()
	if err != nil {
		t.Errorf("client: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left := remains(t, s); left != "" {
		t.Errorf("left behind: %s", left)
	}
	return string(out)
}

// remains names what Close should have taken away.
func remains(t *testing.T, s *Sandbox) string {
	t.Helper()
	var left []string
	for _, path := range []string{s.odoo.path, s.internet.path, "/etc/netns/" + s.odoo.name} {
		if _, err := os.Stat(path); err == nil {
			left = append(left, path)
		}
	}
	return strings.Join(left, " ")
}
