// Package demo makes a sandbox that looks like a small Odoo installation: processes with addons that call a license server, a
// mail provider, payment and shipping services, and one vendor address that nobody declared. A newcomer sees a
// populated report within a minute, without Odoo and without touching the network outside.
package demo

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"netaudit/appliance/sandbox"
)

//go:embed all:world
var world embed.FS

// delay is one way: a server 20 ms away.
const delay = 10 * time.Millisecond

// hosts are the names of the demo's internet. All addresses are documentation ranges (RFC 5737, RFC 3849).
var hosts = []sandbox.Host{
	host("license.mit-odoo.de", "203.0.113.10"),
	host("sync.mit-odoo.de", "203.0.113.11"),
	host("smtp.mail.example", "203.0.113.20"),
	host("api.openai.com", "203.0.113.30"),
	host("api.crm-data.example", "203.0.113.31"),
	host("api.dhl.com", "203.0.113.32"),
	host("tracking.example", "203.0.113.33"),
	host("api.stripe.com", "203.0.113.34"),
	host("reports.bank.example", "203.0.113.35"),
	host("rates6.example", "2001:db8:77::36"),
	host("services.odoo.com", "203.0.113.37"),
}

func host(name, addr string) sandbox.Host {
	return sandbox.Host{Name: name, Addrs: []netip.Addr{netip.MustParseAddr(addr)}}
}

// World is the running demo installation.
type World struct {
	Sandbox    *sandbox.Sandbox
	AddonsPath string // where the demo's addons lie
}

// Start writes the addons under dir, builds the sandbox and starts the processes. The caller ends it with Close.
func Start(ctx context.Context, dir string) (*World, error) {
	if err := unpack(dir); err != nil {
		return nil, fmt.Errorf("unpack the demo's addons: %w", err)
	}
	s, err := sandbox.New(ctx, sandbox.Config{Dir: dir, Delay: delay, Hosts: hosts})
	if err != nil {
		return nil, err
	}
	return &World{Sandbox: s, AddonsPath: filepath.Join(dir, "odoo", "addons")}, nil
}

// Run starts the Odoo-like processes: call it when the capture is up, so that the first call is seen too.
func (w *World) Run(ctx context.Context) error {
	bin := filepath.Join(filepath.Dir(filepath.Dir(w.AddonsPath)), "odoo-bin")
	for name, extra := range map[string][]string{"odoo-http": nil, "odoo-cron": {"--cron"}} {
		argv := append([]string{w.Sandbox.Python(), bin, "server", "--addons-path=" + w.AddonsPath}, extra...)
		if _, err := w.Sandbox.Start(ctx, name, argv...); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the processes and takes the sandbox down.
func (w *World) Close() error { return w.Sandbox.Close() }

func unpack(dir string) error {
	root, err := fs.Sub(world, "world")
	if err != nil {
		return err
	}
	return fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, path)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}
