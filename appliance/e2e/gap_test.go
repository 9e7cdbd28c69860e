package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"netaudit/appliance"
)

// ip runs iproute2 and fails the test when it does.
func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}

// waitHealthy polls until the appliance says that it is, or is not, watching everything.
func waitHealthy(t *testing.T, url string, want int) {
	t.Helper()
	status := 0
	for range 300 {
		answer, err := http.Get(url + "healthz")
		if err == nil {
			status = answer.StatusCode
			_ = answer.Body.Close()
			if status == want {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("health is %d, want %d", status, want)
}

// start runs the appliance until stop, which waits for its end and must be called.
func start(t *testing.T, c appliance.Config) (access appliance.Access, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan appliance.Access, 1), make(chan error, 1)
	go func() {
		done <- appliance.Run(ctx, c, slog.New(slog.DiscardHandler), func(a appliance.Access) { ready <- a })
	}()
	t.Cleanup(cancel)
	select {
	case access = <-ready:
	case err := <-done:
		t.Fatalf("the appliance did not start: %v", err)
	}
	return access, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// TestInterfaceThatGoesAndComesBackLeavesItsGap takes a real interface away under a running appliance, which watches another one too.
func TestInterfaceThatGoesAndComesBackLeavesItsGap(t *testing.T) {
	needRoot(t)
	name := fmt.Sprintf("netaudit-gap-%d", os.Getpid())
	ip(t, "netns", "add", name)
	t.Cleanup(func() { ip(t, "netns", "del", name) })
	make0 := func() {
		ip(t, "-n", name, "tuntap", "add", "dev", "gap0", "mode", "tap")
		ip(t, "-n", name, "link", "set", "gap0", "up")
	}
	ip(t, "-n", name, "link", "set", "lo", "up")
	make0()
	c := appliance.DefaultConfig()
	c.State, c.Listen, c.NetNS, c.Interfaces = filepath.Join(t.TempDir(), "state"), "127.0.0.1:0", "/run/netns/"+name, []string{"lo", "gap0"}
	access, stop := start(t, c)
	waitHealthy(t, access.URL, http.StatusOK)
	ip(t, "-n", name, "link", "del", "gap0")
	waitHealthy(t, access.URL, http.StatusServiceUnavailable)
	make0()
	waitHealthy(t, access.URL, http.StatusOK)
	stop()
	var open, whole, starts, stops int
	for _, e := range readLedger(t, c.State) {
		switch {
		case e.Gap != nil && e.Gap.Reason == "interface_down" && e.Gap.Iface == "gap0" && e.End == 0:
			open++
		case e.Gap != nil && e.Gap.Reason == "interface_down" && e.Gap.Iface == "gap0" && e.End > e.Start:
			whole++
		case e.Gap != nil:
			t.Errorf("another gap: %+v", e.Gap)
		case e.Rule == "start":
			starts++
		case e.Rule == "stop":
			stops++
		}
	}
	if open != 1 || whole != 1 || starts != 1 || stops != 1 {
		t.Errorf("%d gaps begun, %d whole, %d starts, %d stops; want one of each", open, whole, starts, stops)
	}
}
