// Command lab proves attribution on a real Odoo 19: threaded and prefork, on a link with a delay and on a bare one, four clients at once, every way in which the addons
// below addons/ open a connection, plus code that hides. It prints for every source how often its addon was named rightly, honestly unknown, or wrongly, and ends
// with exit status 1 when anything was wrong.
//
//	go run ./appliance/lab [-dir /var/lib/netaudit-lab] [-table docs/lab.md]
//
// It needs root, Debian 12, and once some four minutes and 2 GB for Odoo and PostgreSQL. All traffic stays in network namespaces of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"netaudit/appliance"
	"netaudit/appliance/sandbox"
	"netaudit/ledger"
)

// clients is how many call every method at the same time.
const clients = 4

// setting is one way to run Odoo.
type setting struct {
	name    string
	workers int           // of Odoo: 0 is the threaded server
	delay   time.Duration // of the link, one way
}

var settings = []setting{
	{"threaded, 20 ms", 0, 10 * time.Millisecond},
	{"threaded, bare", 0, 0},
	{"prefork, 20 ms", 2, 10 * time.Millisecond},
	{"prefork, bare", 2, 0},
}

func main() {
	ledger.MaybeProbe()
	dir := flag.String("dir", "/var/lib/netaudit-lab", "where Odoo, its database settings and logs are kept")
	table := flag.String("table", "", "also write the table to this Markdown file")
	rounds := flag.Int("cost", 0, "instead measure what watching costs Odoo, in so many rounds")
	only := flag.String("only", "", "run only settings whose name contains this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *table, *only, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, table, only string, rounds int) error {
	setup := exec.CommandContext(ctx, "bash", "appliance/lab/setup.sh", dir)
	setup.Stdout, setup.Stderr = os.Stderr, os.Stderr
	if err := setup.Run(); err != nil {
		return fmt.Errorf("prepare Odoo (its logs are in %s/log): %w", dir, err)
	}
	if rounds > 0 {
		return cost(ctx, dir, rounds, 4*time.Second)
	}
	var results []result
	for _, s := range settings {
		if !strings.Contains(s.name, only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s …\n", s.name)
		events, err := observe(ctx, dir, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		results = append(results, judge(s, events))
	}
	render(os.Stdout, results)
	if table != "" {
		if err := writeMarkdown(table, results); err != nil {
			return err
		}
	}
	for _, r := range results {
		if n := r.wrong(); n > 0 {
			return fmt.Errorf("%s: %d calls have a wrong addon", r.setting.name, n)
		}
	}
	return nil
}

// observe runs Odoo in a sandbox under a running appliance and returns the rows.
func observe(ctx context.Context, dir string, s setting) (events []ledger.Event, err error) {
	work, box, log, err := workplace(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, box.Close(), os.RemoveAll(work)) }()
	c := watching(box, filepath.Join(work, "state"), sandbox.OdooInterface, "lo")
	running, finish := context.WithCancel(ctx)
	defer finish()
	var callErr error
	err = appliance.Run(running, c, log, func(appliance.Access) {
		go func() {
			defer finish()
			callErr = call(ctx, box, dir, s)
		}()
	})
	if err := errors.Join(callErr, err); err != nil {
		return nil, err
	}
	return readRows(ctx, c.State)
}

// workplace makes a directory and a sandbox; the caller closes and removes them.
func workplace(ctx context.Context, s setting) (work string, box *sandbox.Sandbox, log *slog.Logger, err error) {
	if work, err = os.MkdirTemp("", "netaudit-lab-"); err != nil {
		return "", nil, nil, err
	}
	if err = os.Chmod(work, 0o755); err == nil {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		box, err = sandbox.New(ctx, sandbox.Config{Dir: work, Delay: s.delay, Hosts: hosts(), Python: "/usr/bin/python3", Logger: log})
	}
	if err != nil {
		return "", nil, nil, errors.Join(err, os.RemoveAll(work))
	}
	return work, box, log, nil
}

// watching is the configuration of an appliance that sees what Odoo calls, and the requests that come to it.
func watching(box *sandbox.Sandbox, state string, interfaces ...string) appliance.Config {
	c := appliance.DefaultConfig()
	c.State, c.Listen, c.NetNS, c.Interfaces = state, "127.0.0.1:0", box.OdooNetNS(), interfaces
	return c
}

// startOdoo starts Odoo and waits until it answers; it returns its process id.
func startOdoo(ctx context.Context, box *sandbox.Sandbox, dir string, s setting, further ...string) (pid int, err error) {
	command := append(odooCommand(dir, "server"), "--workers="+strconv.Itoa(s.workers), "--logfile="+filepath.Join(dir, "log", "odoo.log"))
	odoo, err := box.Start(ctx, "odoo", append(command, further...)...)
	if err != nil {
		return 0, err
	}
	if err := waitForLogin(ctx, box); err != nil {
		return 0, fmt.Errorf("%w (see %s/log/odoo.log)", err, dir)
	}
	return odoo.Process.Pid, nil
}

// odooCommand is the beginning of a command line of Odoo.
func odooCommand(dir, command string) []string {
	packages := filepath.Join(dir, "odoo19/usr/lib/python3/dist-packages")
	return []string{
		"setpriv", "--reuid=odoo", "--regid=odoo", "--init-groups", "env", "HOME=" + filepath.Join(dir, "home"), "PYTHONPATH=" + packages,
		"/usr/bin/python3", filepath.Join(dir, "odoo19/usr/bin/odoo"), command, "-c", filepath.Join(dir, "odoo.conf"),
	}
}

// call starts Odoo, lets the clients call it, and waits until the last connection is closed.
func call(ctx context.Context, box *sandbox.Sandbox, dir string, s setting) error {
	if _, err := startOdoo(ctx, box, dir, s); err != nil {
		return err
	}
	var methods []string
	for _, s := range sources {
		if s.method != "" && s.method != websocketMethod {
			methods = append(methods, s.method)
		}
	}
	if err := callMethods(ctx, box, odooPort, methods...); err != nil {
		return err
	}
	if err := callElsewhere(ctx, box, dir, s); err != nil {
		return err
	}
	time.Sleep(5 * time.Second) // the cron wakes, and answered lookups are written
	return nil
}

// callMethods lets the clients call methods of the Odoo at a port.
func callMethods(ctx context.Context, box *sandbox.Sandbox, port int, methods ...string) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	cmd := box.Command(ctx, append([]string{box.Python(), "appliance/lab/clients.py", strconv.Itoa(port), strconv.Itoa(clients)}, methods...)...)
	cmd.Dir = here
	out, err := cmd.CombinedOutput()
	if len(out) > 0 {
		fmt.Fprintf(os.Stderr, "%s", out)
	}
	if err != nil {
		return fmt.Errorf("the clients: %w", err)
	}
	return nil
}

// callElsewhere calls from odoo-bin shell, and calls the worker for websockets where there is one.
func callElsewhere(ctx context.Context, box *sandbox.Sandbox, dir string, s setting) error {
	shell := box.Command(ctx, append(odooCommand(dir, "shell"), "--no-http", "--database="+database, "--log-level=critical")...)
	shell.Stdin = strings.NewReader("env['partner.tools'].in_shell()\n")
	if out, err := shell.CombinedOutput(); err != nil {
		return fmt.Errorf("odoo-bin shell: %w\n%s", err, out)
	}
	if s.workers == 0 {
		return nil
	}
	for range clients {
		health := fmt.Sprintf("http://127.0.0.1:%d/websocket/health", geventPort)
		if out, err := box.Command(ctx, "curl", "-sS", "--fail", "--retry", "30", "--retry-connrefused", "--retry-delay", "1", health).CombinedOutput(); err != nil {
			return fmt.Errorf("the worker for websockets: %w\n%s", err, out)
		}
	}
	return callMethods(ctx, box, geventPort, websocketMethod)
}

func waitForLogin(ctx context.Context, box *sandbox.Sandbox) error {
	for range 300 {
		out, _ := box.Command(ctx, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8069/web/login").Output()
		if string(out) == "200" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return errors.New("no answer from Odoo")
}

func readRows(ctx context.Context, state string) ([]ledger.Event, error) {
	l, err := ledger.Open(state, ledger.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var events []ledger.Event
	err = l.Rows(ctx, 0, func(r ledger.Row) bool {
		if e, err := ledger.ParseEvent(r.JSON); err == nil {
			events = append(events, e)
		}
		return true
	})
	return events, err
}

// hosts gives every source a name and an address of its own: then the row of a call tells which source it is from.
func hosts() []sandbox.Host {
	var list []sandbox.Host
	address, six := sandbox.Internet4.Addr(), sandbox.Internet6.Addr()
	for range 10 {
		address, six = address.Next(), six.Next()
	}
	for _, s := range sources {
		for _, name := range s.hosts {
			if name == sixHost {
				list = append(list, sandbox.Host{Name: name + ".lab.example", Addrs: []netip.Addr{six}})
				continue
			}
			list = append(list, sandbox.Host{Name: name + ".lab.example", Addrs: []netip.Addr{address}})
			if address = address.Next(); address == sandbox.Resolver {
				address = address.Next()
			}
		}
	}
	return list
}
