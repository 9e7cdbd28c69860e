// Package e2e proves the whole way through: real CPython processes in network namespaces make real DNS and TLS calls over a
// link with a delay, and every call is one sealed row with the right addon, name, party and byte counts.
package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netaudit/appliance"
	"netaudit/appliance/sandbox"
	"netaudit/ledger"
	"netaudit/ui/browser"
)

func TestMain(m *testing.M) {
	ledger.MaybeProbe()
	if state := os.Getenv(watchingState); state != "" {
		if err := watchUntilTold(state); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	browser.Stop()
	os.Exit(code)
}

// needRoot fails in CI and skips on a developer's machine: these tests make network namespaces.
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

// truth is what the calling process itself wrote about one call.
type truth struct {
	Addon    string `json:"addon"`     // made the call
	OnBehalf string `json:"on_behalf"` // whose helper it was, "" when nobody else's
	Host     string `json:"host"`
	Port     int    `json:"port"`     // local port of the TLS connection
	Sent     int64  `json:"sent"`     // bytes of TLS records written to the socket
	Received int64  `json:"received"` // bytes read from it
}

var hosts = []sandbox.Host{
	{Name: "license.mit-odoo.de", Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.10")}},
	{Name: "upload.mit-odoo.de", Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.11")}},
	{Name: "api.partner.example", Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.12")}},
	{Name: "six.partner.example", Addrs: []netip.Addr{netip.MustParseAddr("2001:db8:77::13")}},
}

var wantClass = map[string]string{
	"license.mit-odoo.de": "mit_bound", "upload.mit-odoo.de": "mit_bound",
	"api.partner.example": "third_party", "six.partner.example": "third_party",
}

func TestEveryCallIsOneSealedRowWithItsAddon(t *testing.T) {
	needRoot(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
	state := filepath.Join(t.TempDir(), "state")
	truths := watchWorld(t, state)
	if len(truths) < 12 {
		t.Fatalf("the calling process reported %d calls, want at least 12", len(truths))
	}
	events := readLedger(t, state)
	checkCalls(t, events, truths)
	checkNames(t, events)

	v, err := ledger.VerifyDir(t.Context(), state, nil)
	if err != nil || v.Status != ledger.Intact {
		t.Fatalf("verify says %v (damage %+v), error %v; want intact", v.Status, v.Damage, err)
	}
	checkTampering(t, state)
}

// watchWorld runs the appliance on a sandbox while a real CPython process makes its calls, and returns what that process says it did.
func watchWorld(t *testing.T, state string) []truth {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS("world")); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 90*time.Second)
	defer stop()
	box, err := sandbox.New(ctx, sandbox.Config{Dir: dir, Delay: 10 * time.Millisecond, Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	}()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	c := appliance.DefaultConfig()
	c.State, c.Listen = state, "127.0.0.1:0"
	c.NetNS, c.Interfaces = box.OdooNetNS(), []string{sandbox.OdooInterface}
	done := make(chan struct{})
	running, finish := context.WithCancel(ctx)
	defer finish()
	go func() {
		defer close(done)
		err := appliance.Run(running, c, log, func(appliance.Access) {
			defer finish()
			out, err := box.Command(ctx, box.Python(), filepath.Join(dir, "calls.py")).CombinedOutput()
			if err != nil {
				t.Errorf("the calling process failed: %v\n%s", err, out)
			}
			time.Sleep(300 * time.Millisecond) // the last FIN crosses the wire
		})
		if err != nil {
			t.Errorf("appliance: %v", err)
		}
	}()
	<-done
	return readTruths(t, filepath.Join(dir, "truth.ndjson"))
}

func readTruths(t *testing.T, path string) []truth {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []truth
	for in := bufio.NewScanner(f); in.Scan(); {
		var one truth
		if err := json.Unmarshal(in.Bytes(), &one); err != nil {
			t.Fatal(err)
		}
		list = append(list, one)
	}
	return list
}

func readLedger(t *testing.T, state string) []ledger.Event {
	t.Helper()
	l, err := ledger.Open(state, ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var events []ledger.Event
	err = l.Rows(t.Context(), 0, func(r ledger.Row) bool {
		e, err := ledger.ParseEvent(r.JSON)
		if err != nil {
			t.Errorf("row %d: %v", r.Seq, err)
		}
		events = append(events, e)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// checkCalls finds the one row of every call by its local port and compares it with what the caller said.
func checkCalls(t *testing.T, events []ledger.Event, truths []truth) {
	t.Helper()
	for _, call := range truths {
		var rows []ledger.Event
		for _, e := range events {
			if e.Kind == "flow" && e.State == "closed" && e.Src.Port == call.Port && e.Dst.Port == 443 {
				rows = append(rows, e)
			}
		}
		what := fmt.Sprintf("call of %s to %s from port %d", call.Addon, call.Host, call.Port)
		if len(rows) != 1 {
			t.Errorf("%s: %d rows, want 1", what, len(rows))
			continue
		}
		checkCall(t, what, rows[0], call)
	}
}

func checkCall(t *testing.T, what string, e ledger.Event, call truth) {
	t.Helper()
	if e.Addon == nil {
		t.Errorf("%s: no addon; evidence %+v", what, e.Evidence)
	} else if e.Addon.Name != call.Addon || e.Addon.OnBehalfOf != call.OnBehalf {
		t.Errorf("%s: addon %q on behalf of %q, want %q on behalf of %q", what, e.Addon.Name, e.Addon.OnBehalfOf, call.Addon, call.OnBehalf)
	}
	if e.TLS == nil || e.TLS.SNI != call.Host || e.Dst.Host != call.Host || e.Dst.HostSource != "sni" {
		t.Errorf("%s: TLS %+v, host %q from %q", what, e.TLS, e.Dst.Host, e.Dst.HostSource)
	}
	if e.Party == nil || e.Party.Class != wantClass[call.Host] {
		t.Errorf("%s: party %+v, want %s", what, e.Party, wantClass[call.Host])
	}
	if e.SrcBytes != call.Sent || e.DstBytes < call.Received {
		t.Errorf("%s: %d bytes out and %d in, the caller counted %d and %d", what, e.SrcBytes, e.DstBytes, call.Sent, call.Received)
	}
	if e.Direction != "outbound" || e.Channel != "https" || e.RTTUS < 20_000 {
		t.Errorf("%s: direction %s, channel %s, RTT %d µs; want outbound, https, at least 20000", what, e.Direction, e.Channel, e.RTTUS)
	}
}

// checkNames wants a DNS row with its answer for every host.
func checkNames(t *testing.T, events []ledger.Event) {
	t.Helper()
	answers := map[string]string{}
	for _, e := range events {
		if e.Kind == "dns" && e.DNS != nil {
			answers[e.DNS.Name] += " " + strings.Join(e.DNS.Answers, " ")
		}
	}
	for _, h := range hosts {
		if !strings.Contains(answers[h.Name], h.Addrs[0].String()) {
			t.Errorf("DNS rows of %s have answers %q, want %s", h.Name, answers[h.Name], h.Addrs[0])
		}
	}
}
