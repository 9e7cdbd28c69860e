package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"netaudit/ledger"
)

// source is one way in which an addon opens connections, and the truth about it.
type source struct {
	what     string
	method   string   // model.method
	hosts    []string // below lab.example; nobody else calls them
	addon    string   // who made the call; "" when an observer must not name anybody
	onBehalf string
	why      string // nobody may be named
	also     string // who uses the connection later
}

var sources = []source{
	{"requests", "mit.license.check", []string{"check"}, "mit_license", "", "", ""},
	{"below an innocent override", "mit.license.overridden", []string{"overridden"}, "mit_license", "", "", ""},
	{"scheduled action", "mit.license.start_cron", []string{"cron"}, "mit_license", "", "", ""},
	{"SMTP with STARTTLS", "mit.desk.smtp", []string{"smtp"}, "mit_maildesk", "", "", ""},
	{"Odoo's own mail code", "mit.desk.core_mail", []string{"coremail"}, "base", "mit_maildesk", "", "mail"},
	{"urllib, upload", "mit.desk.upload", []string{"upload"}, "mit_maildesk", "", "", ""},
	{"another addon's helper", "mit.desk.helper", []string{"helper"}, "mit_license", "mit_maildesk", "", ""},
	{"helper, called from outside", "partner.tools.by_helper", []string{"byhelper"}, "mit_license", "partner_tools", "", ""},
	{"socket", "partner.tools.raw", []string{"raw"}, "partner_tools", "", "", ""},
	{"socket with a timeout", "partner.tools.raw_timeout", []string{"timeout"}, "partner_tools", "", "", ""},
	{"ssl", "partner.tools.raw_tls", []string{"rawtls"}, "partner_tools", "", "", ""},
	{"urllib", "partner.tools.urllib", []string{"urllib"}, "partner_tools", "", "", ""},
	{"http.client", "partner.tools.http_client", []string{"httpclient"}, "partner_tools", "", "", ""},
	{"requests, plain HTTP", "partner.tools.plain_http", []string{"plain"}, "partner_tools", "", "", ""},
	{"xmlrpc.client", "partner.tools.xmlrpc", []string{"xmlrpc"}, "partner_tools", "", "", ""},
	{"requests.Session", "partner.tools.session", []string{"session"}, "partner_tools", "", "", ""},
	{"kept connection, first request", "partner.tools.kept", []string{"kept"}, "partner_tools", "", "", ""},
	{"its second, by another addon", "", nil, "mit_maildesk", "partner_tools", "", ""},
	{"three sockets of one thread", "partner.tools.fan_out", []string{"fan0", "fan1", "fan2"}, "partner_tools", "", "", ""},
	{"thread with a function of the addon", "partner.tools.thread", []string{"thread"}, "partner_tools", "", "", ""},
	{"curl as a child process", "partner.tools.child", []string{"child"}, "partner_tools", "", "", ""},
	{"pool of connections, first request", "partner.tools.shared_pool", []string{"shared"}, "partner_tools", "", "", ""},
	{"its second, by another addon's request", "", nil, "mit_maildesk", "partner_tools", "", ""},
	{"asyncio", "partner.tools.by_asyncio", []string{"asyncio"}, "partner_tools", "", "", ""},
	{"asyncio, executor", "partner.tools.asyncio_executor", []string{"executor"}, "partner_tools", "", "", ""},
	{"concurrent.futures", "partner.tools.future", []string{"future"}, "partner_tools", "", "", ""},
	{"multiprocessing", "partner.tools.in_process", []string{"process"}, "partner_tools", "", "", ""},
	{"os.fork and exec of curl", "partner.tools.fork_and_exec", []string{"exec"}, "partner_tools", "", "", ""},
	{"curl in a shell's pipeline", "partner.tools.pipeline", []string{"pipeline"}, "partner_tools", "", "", ""},
	{"Python program of its own", "partner.tools.interpreter", []string{"program"}, "partner_tools", "", "", ""},
	{"SMTP", "partner.tools.plain_smtp", []string{"plainsmtp"}, "partner_tools", "", "", ""},
	{"UDP without a peer", "partner.tools.datagram", []string{"datagram"}, "partner_tools", "", "", ""},
	{"IPv4 by an IPv6 socket", "partner.tools.dual_stack", []string{"dual"}, "partner_tools", "", "", ""},
	{"requests.Session of a thread", "partner.tools.thread_local", []string{"local"}, "partner_tools", "", "", ""},
	{"socket handed to a program", "partner.tools.passed_on", []string{"passed"}, "partner_tools", "", "", ""},
	{"aiohttp", "partner.tools.aiohttp", []string{"aiohttp"}, "partner_tools", "", "", ""},
	{"httpx", "partner.tools.httpx", []string{"httpx"}, "partner_tools", "", "", ""},
	{"httpx, asynchronous", "partner.tools.httpx_asynchronous", []string{"httpxasync"}, "partner_tools", "", "", ""},
	{"wget as a child process", "partner.tools.wget", []string{"wget"}, "partner_tools", "", "", ""},
	{"wkhtmltopdf as a child process", "partner.tools.wkhtmltopdf", []string{"pdf"}, "partner_tools", "", "", ""},
	{"multiprocessing, spawned", "partner.tools.spawned", []string{"spawned"}, "partner_tools", "", "", ""},
	{"IPv6", "partner.tools.six", []string{sixHost}, "partner_tools", "", "", ""},
	{"worker for websockets", websocketMethod, []string{"websocket"}, "partner_tools", "", "", ""},
	{"odoo-bin shell", "", []string{shellHost}, "partner_tools", "", "", ""},
	{"thread with a library's function", "partner.tools.thread_of_library", []string{"joined"}, "partner_tools", "", "", ""},
	{"thread pool with a library's function", "partner.tools.in_pool", []string{"pool"}, "partner_tools", "", "", ""},
	{"code without source", "mit.hidden.without_source", []string{"nosource"}, "mit_hidden", "", "", ""},
	{"code in forged globals", "mit.hidden.forged.forged", []string{"forged"}, "mit_hidden", "", "", ""},
	{"code that blames another addon", "mit.hidden.forged.blame", []string{"blame"}, "mit_hidden", "", "", ""},
	{"code without a module", "mit.hidden.forged.nameless", []string{"nameless"}, "mit_hidden", "", "", ""},
	{"code and class that blame another addon", "mit.hidden.liar.lie", []string{"lie"}, "", "", "both witnesses lie", ""},
	{"class that says _module itself", "mit.hidden.own.call", []string{"own"}, "mit_hidden", "", "", ""},
	{"compiled by Cython", "mit.hidden.compiled.call", []string{"compiled"}, "mit_hidden", "", "", ""},
	{"urllib in a generator", "mit.hidden.own.generate", []string{"generator"}, "mit_hidden", "", "", ""},
	{"getaddrinfo and connect through ctypes", "mit.hidden.own.by_libc", []string{"libc"}, "mit_hidden", "", "", ""},
	{"connect through ctypes", "mit.hidden.own.by_ctypes", []string{"ctypes"}, "mit_hidden", "", "", ""},
	{"greenlet with a function of the addon", "mit.hidden.own.greenlet", []string{"greenlet"}, "mit_hidden", "", "", ""},
	{"greenlet with a library's function", "mit.hidden.own.greenlet_of_library", []string{"green"}, "", "", "nobody can know", ""},
}

// tally counts what was said about the calls, or the lookups, of one source.
type tally struct{ calls, right, unknown, wrong int }

type result struct {
	setting setting
	calls   []tally // by source
	lookups tally   // of all sources
	served  tally   // requests to Odoo
	parts   tally   // which part of Odoo called
	bases   tally   // which database the call was for
	jobs    tally   // which scheduled action called
	details []string

	unserved map[string]int // why it is not known who answered requests
	unnamed  map[string]int // names that were looked up, and why it is not known by whom
}

func (r *result) wrong() int {
	n := r.lookups.wrong + r.served.wrong + r.parts.wrong + r.bases.wrong + r.jobs.wrong
	for _, t := range r.calls {
		n += t.wrong
	}
	return n
}

// judge compares every row with the truth about its destination.
func judge(s setting, events []ledger.Event) result {
	r := result{setting: s, calls: make([]tally, len(sources)), unserved: map[string]int{}, unnamed: map[string]int{}}
	owner := map[string]int{}
	for i, s := range sources {
		for _, h := range s.hosts {
			owner[h+".lab.example"] = i
		}
	}
	rows := map[string]bool{} // flows that had one
	for i := range events {
		e := &events[i]
		switch {
		case e.Kind == "flow" && e.Dst.Host != "":
			n, ok := owner[e.Dst.Host]
			if !ok {
				break
			}
			first := !rows[e.FlowID]
			rows[e.FlowID] = true
			switch {
			case first:
				r.count(&r.calls[n], &sources[n], e, e.Dst.Host)
				r.countProcess(&sources[n], e)
			case slices.Contains(keptHosts, e.Dst.Host):
				r.count(&r.calls[n+1], &sources[n+1], e, e.Dst.Host)
			case e.Addon != nil && !slices.Contains([]string{sources[n].addon, sources[n].onBehalf, sources[n].also}, e.Addon.Name):
				r.count(&r.calls[n], &sources[n], e, "further use of "+e.Dst.Host)
			}
		case e.Kind == "dns":
			if n, ok := owner[e.DNS.Name]; ok {
				r.count(&r.lookups, &sources[n], e, "lookup of "+e.DNS.Name)
			}
		case e.Kind == "http" && e.Dst.Port == geventPort:
			role := ""
			if e.Process != nil {
				role = e.Process.Role
			}
			r.compare(&r.parts, e, "role", role, "odoo_gevent", "", "other", "odoo_other")
		case e.Kind == "http" && e.Dst.Port == odooPort && e.HTTP.Status == 200:
			r.count(&r.served, &source{addon: controllerOf(e.HTTP.Path)}, e, "request for "+e.HTTP.Path)
		}
	}
	return r
}

func (r *result) count(t *tally, s *source, e *ledger.Event, what string) {
	t.calls++
	switch {
	case e.Addon == nil:
		t.unknown++
		if s.addon != "" && e.Kind == "flow" && e.Evidence != nil {
			r.details = append(r.details, fmt.Sprintf("%s: %s unknown: %s", r.setting.name, what, e.Evidence.Reason))
		}
		if e.Kind == "http" && e.Evidence != nil {
			r.unserved[e.Evidence.Reason]++
		}
		if e.Kind == "dns" {
			r.unnamed[e.DNS.Name+": "+reasonOf(e)]++
		}
	case e.Addon.Name == s.addon && s.addon != "":
		if e.Addon.OnBehalfOf == s.onBehalf {
			t.right++
		} else {
			t.wrong++
			r.details = append(r.details, fmt.Sprintf("%s: %s by %s on behalf of %q, want %q (chain %v)", r.setting.name, what, e.Addon.Name, e.Addon.OnBehalfOf, s.onBehalf, e.Addon.Chain))
		}
	default:
		t.wrong++
		r.details = append(r.details, fmt.Sprintf("%s: %s by %s on behalf of %q, want %q (chain %v, conflicts %v; %s, %s, %s)", r.setting.name, what, e.Addon.Name, e.Addon.OnBehalfOf, s.addon, e.Addon.Chain, e.Evidence.Conflicts, e.Evidence.Source, e.Evidence.Confidence, e.Evidence.Reason))
	}
}

// reasonOf is what a row says about why its addon is not known.
func reasonOf(e *ledger.Event) string {
	if e.Evidence == nil || e.Evidence.Reason == "" {
		return "NO REASON GIVEN"
	}
	return e.Evidence.Reason
}

// ownThreads are the sources that call from a thread or greenlet of their own.
var ownThreads = map[string]bool{
	"partner.tools.asyncio_executor": true, "partner.tools.future": true, "partner.tools.thread": true, "partner.tools.thread_of_library": true, "partner.tools.in_pool": true, "mit.hidden.own.greenlet": true, "mit.hidden.own.greenlet_of_library": true,
}

// children are the sources that call from a program that Odoo started.
var children = map[string]bool{
	"partner.tools.child": true, "partner.tools.fork_and_exec": true, "partner.tools.pipeline": true, "partner.tools.interpreter": true,
	"partner.tools.wget": true, "partner.tools.wkhtmltopdf": true, "partner.tools.spawned": true,
}

// countProcess compares what is said of the calling process with the truth. Odoo is told no database, so that its stacks have to.
func (r *result) countProcess(s *source, e *ledger.Event) {
	p := e.Process
	if p == nil {
		p = &ledger.Process{}
	}
	part, unknown := "odoo_http", []string{"", "odoo_other"}
	switch {
	case s.method == "mit.license.start_cron":
		part = "odoo_cron"
		r.compare(&r.jobs, e, "job", strings.TrimRight(p.Job, "(0123456789)"), "License: daily check (ir.actions.server ", "", "ir.actions.server ")
	case slices.Contains(s.hosts, shellHost):
		part = "odoo_shell"
	case children[s.method]:
		part, unknown = "odoo_child", []string{"", "other"}
	case s.method == websocketMethod:
		part = "odoo_gevent"
	case s.method == "partner.tools.in_process" && p.Role == "odoo_child":
		part = p.Role // a copy of Odoo is both
	case ownThreads[s.method] && r.setting.workers == 0:
		part = "odoo_other" // in a threaded server such a thread is of no part
	}
	r.compare(&r.parts, e, "role", p.Role, part, unknown...)
	r.compare(&r.bases, e, "database", p.Database, database, "")
}

// database is the one that setup.sh makes.
const database = "netaudit_lab"

func (r *result) compare(t *tally, e *ledger.Event, what, got, want string, unknown ...string) {
	t.calls++
	switch {
	case got == want:
		t.right++
	case slices.Contains(unknown, got):
		t.unknown++
	default:
		t.wrong++
		r.details = append(r.details, fmt.Sprintf("%s: %s: %s %q, want %q", r.setting.name, e.Dst.Host, what, got, want))
	}
}

// keptHosts are the other ends of the connections that two addons use one after the other.
var keptHosts = []string{"kept.lab.example", "shared.lab.example"}

// sixHost has an IPv6 address and no other.
const sixHost = "six"

// websocketMethod is called through the worker for websockets.
const websocketMethod = "partner.tools.in_websocket_worker"

// shellHost is called from odoo-bin shell only.
const shellHost = "shell"

// Where Odoo listens, and its worker for websockets.
const (
	odooPort   = 8069
	geventPort = 8072
)

// controllerOf is the truth about the requests that the clients send: whose controller answers.
func controllerOf(path string) string {
	switch {
	case path == "/web/login":
		return "auth_signup" // its controller overrides web's, and comes with it by itself
	case strings.HasPrefix(path, "/xmlrpc/"):
		return "rpc"
	}
	return ""
}

// cell is "right/all", with what is unknown and wrong.
func (t tally) cell() string {
	text := fmt.Sprintf("%d/%d", t.right, t.calls)
	if t.unknown > 0 {
		text += fmt.Sprintf(", %d unknown", t.unknown)
	}
	if t.wrong > 0 {
		text += fmt.Sprintf(", %d WRONG", t.wrong)
	}
	return text
}

func tableOf(results []result) table.Writer {
	t := table.NewWriter()
	head := table.Row{"source", "truth"}
	for _, r := range results {
		head = append(head, r.setting.name)
	}
	t.AppendHeader(head)
	sums := make([]tally, len(results))
	for i, s := range sources {
		truth := s.addon + s.why
		if s.onBehalf != "" {
			truth += " for " + s.onBehalf
		}
		row := table.Row{s.what, truth}
		for j, r := range results {
			row = append(row, r.calls[i].cell())
			sums[j].calls += r.calls[i].calls
			sums[j].right += r.calls[i].right
			sums[j].unknown += r.calls[i].unknown
			sums[j].wrong += r.calls[i].wrong
		}
		t.AppendRow(row)
	}
	for _, sum := range []struct {
		what, truth string
		of          func(j int) tally
	}{
		{"all calls", "", func(j int) tally { return sums[j] }},
		{"all lookups", "", func(j int) tally { return results[j].lookups }},
		{"requests to Odoo", "the controller's addon", func(j int) tally { return results[j].served }},
		{"part of Odoo, of all calls", "HTTP, cron, shell, gevent, child or own thread", func(j int) tally { return results[j].parts }},
		{"database, of all calls", database, func(j int) tally { return results[j].bases }},
		{"name of the scheduled action", "License: daily check", func(j int) tally { return results[j].jobs }},
	} {
		row := table.Row{sum.what, sum.truth}
		for j := range results {
			row = append(row, sum.of(j).cell())
		}
		t.AppendFooter(row)
	}
	return t
}

func render(w io.Writer, results []result) {
	t := tableOf(results)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header, t.Style().Format.Footer = 0, 0
	t.SetOutputMirror(w)
	t.Render()
	for _, r := range results {
		for _, line := range r.details {
			fmt.Fprintln(w, line)
		}
		for _, reason := range slices.Sorted(maps.Keys(r.unserved)) {
			fmt.Fprintf(w, "%s: %d requests to Odoo unknown: %s\n", r.setting.name, r.unserved[reason], reason)
		}
		for _, name := range slices.Sorted(maps.Keys(r.unnamed)) {
			fmt.Fprintf(w, "%s: %d lookups unknown: %s\n", r.setting.name, r.unnamed[name], name)
		}
	}
}

// writeMarkdown replaces the table between the marks of a document.
func writeMarkdown(path string, results []result) error {
	const begin, end = "<!-- lab table -->\n", "<!-- end of lab table -->"
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no marks for the table", path)
	}
	t := tableOf(results)
	t.Style().Format.Header, t.Style().Format.Footer = 0, 0
	return os.WriteFile(path, []byte(before+begin+t.RenderMarkdown()+"\n"+end+after), 0o644)
}
