package odoo

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAddonIsNamedByModuleThenByPath(t *testing.T) {
	paths := []string{"/srv/custom"}
	for _, c := range []struct {
		frame Frame
		want  string
	}{
		{Frame{Module: "odoo.addons.mit_maildesk.models.mail", File: "/opt/odoo/addons/mit_maildesk/models/mail.py"}, "mit_maildesk"},
		{Frame{Module: "openerp.addons.old.x", File: "/x/addons/old/x.py"}, "old"},
		{Frame{Module: "", File: "/srv/custom/locker/models/a.py"}, "locker"},
		{Frame{Module: "__main__", File: "/opt/odoo/addons/sale/models/a.py"}, "sale"},
		{Frame{Module: "odoo.addons", File: "/opt/odoo/odoo/addons/__init__.py"}, ""},
		{Frame{Module: "requests.api", File: "/usr/lib/python3/dist-packages/requests/api.py"}, ""},
		{Frame{Module: "", File: "<string>"}, ""},
		{Frame{Module: "", File: "relative/addons/x/y.py"}, ""},
	} {
		if got, _ := c.frame.addon(paths); got != c.want {
			t.Errorf("%+v: addon %q, want %q", c.frame, got, c.want)
		}
	}
}

func TestChainNamesWhoActsForWhom(t *testing.T) {
	frames := []Frame{ // innermost first
		{Module: "requests.api", File: "/lib/requests/api.py", Function: "post"},
		{Module: "odoo.addons.http_connector.models", File: "/a/addons/http_connector/models.py", Function: "Connector.send"},
		{Module: "odoo.addons.http_connector.models", File: "/a/addons/http_connector/models.py", Function: "Connector.call"},
		{Module: "odoo.addons.mit_maildesk.models", File: "/a/addons/mit_maildesk/models.py", Function: "Maildesk.upload"},
		{Module: "odoo.addons.mail.models", File: "/a/addons/mail/models.py", Function: "Thread.post"},
	}
	steps := Chain(located(frames))
	if got := Names(steps); !slices.Equal(got, []string{"http_connector", "mit_maildesk", "mail"}) {
		t.Errorf("chain %v", got)
	}
	if steps[0].Frame.Function != "Connector.send" {
		t.Errorf("the call site is %q, want the innermost frame of the addon", steps[0].Frame.Function)
	}
	framework := func(s Step) bool { return s.Addon == "mail" }
	if got := OnBehalfOf(steps, framework); got != "mit_maildesk" {
		t.Errorf("on behalf of %q, want mit_maildesk", got)
	}
	if got := OnBehalfOf(steps[1:], framework); got != "" {
		t.Errorf("on behalf of %q: a framework orders nothing", got)
	}
	if got := Chain(located(frames[:1])); len(got) != 0 {
		t.Errorf("a stack without addons has the chain %v", got)
	}
}

func TestOverridesThatOnlyPassOnAreNotTheOrderer(t *testing.T) {
	frames := []Frame{ // as seen in Odoo 19: another addon overrides check_now and calls super()
		{Module: "odoo.addons.lab_license.tools.post", Function: "post_json"},
		{Module: "odoo.addons.lab_license.models.lab_license", Function: "LabLicense.check_now", Arg0Type: "lab.license"},
		{Module: "odoo.addons.lab_rawsock.models.lab_rawsock", Function: "LabLicenseOverride.check_now", Arg0Type: "lab.license"},
		{Module: "odoo.addons.rpc.controllers.xmlrpc", Function: "XMLRPC.xmlrpc_2"},
	}
	framework := func(s Step) bool { return s.Addon == "rpc" }
	steps := Chain(located(frames))
	if got := OnBehalfOf(steps, framework); got != "" {
		t.Errorf("on behalf of %q: the override only passes the call on", got)
	}
	if Model(steps[0].Entry) != "lab.license" || Method(steps[0].Entry) != "check_now" {
		t.Errorf("entry %+v, want lab.license check_now", steps[0].Entry)
	}
	frames[2].Function = "LabRawsock.via_helper"
	frames[2].Arg0Type = "lab.rawsock"
	if got := OnBehalfOf(Chain(located(frames)), framework); got != "lab_rawsock" {
		t.Errorf("on behalf of %q: it used the helper", got)
	}
}

func TestManifestsAreReadWithoutRunningThem(t *testing.T) {
	root := t.TempDir()
	dir := "/opt/addons/x"
	if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]Manifest{
		`{'name': 'X', 'version': '19.0.1.2', 'author': "MIT", 'license': 'OPL-1', 'depends': ['base', {'a': (1, 2)}], 'installable': True}`: {Version: "19.0.1.2", Author: "MIT", License: "OPL-1"},
		"# -*- coding: utf-8 -*-\n{\n  # a comment with { braces }\n  \"version\": \"1\" \"2\",\n  'author': 'A, ' 'B',\n}\n":                {Version: "12", Author: "A, B"},
		`{'version': __import__('os').system('touch /tmp/never'), 'author': 'X'}`:                                                            {},
		`not a dict`:      {},
		``:                {},
		`{'version': '1'`: {},
	} {
		if err := os.WriteFile(filepath.Join(root, dir, "__manifest__.py"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		m, err := ReadManifest(root, dir)
		if want == (Manifest{}) && err == nil && m.Version != "" {
			t.Errorf("%s: %+v, want an error or nothing", text, m)
		}
		if want != (Manifest{}) && (err != nil || m.Version != want.Version || m.Author != want.Author || m.License != want.License) {
			t.Errorf("%s: %+v, error %v; want %+v", text, m, err, want)
		}
	}
}

func TestModuleThatRenamedItselfIsADisguise(t *testing.T) {
	frames := []Frame{{Module: "requests.api", File: "/lib/requests/api.py"}, {Module: "requests.sessions", File: "/lib/requests/sessions.py", Spec: "odoo.addons.hidden.models", Function: "call"}, {Module: "odoo.addons.base.models"}}
	steps := Chain(located(frames))
	conflicts, rivals := Conflicts(frames, steps)
	if len(steps) != 2 || steps[0].Addon != "hidden" || !steps[0].Disguised || len(conflicts) != 1 || conflicts[0] != "code of hidden presents itself as requests.sessions" || rivals != nil {
		t.Errorf("%+v, %v, %v", steps, conflicts, rivals)
	}
}

func TestRolesFollowCommandLineAndStack(t *testing.T) {
	odoo, server := []string{"python3", "/usr/bin/odoo"}, "odoo.service.server"
	one := func(module, function, arg0 string) []Frame {
		return []Frame{{Module: module, Function: function, Arg0Type: arg0}}
	}
	master := Frame{Module: server, Function: "PreforkServer.run", Arg0Type: "PreforkServer"}
	for _, c := range []struct {
		args   []string
		frames []Frame
		want   string
	}{
		{odoo, nil, ""},
		{odoo, one("odoo.addons.x", "work", "x"), ""},
		{odoo, one(server, "ThreadedServer.cron_thread", "ThreadedServer"), RoleCron},
		{odoo, one(server, "cron_thread", "ThreadedServer"), RoleCron}, // to 3.10 names are not qualified
		{odoo, one("socketserver", "ThreadingMixIn.process_request_thread", "ThreadedWSGIServerReloadable"), RoleHTTP},
		{odoo, append(one(server, "_runloop", "WorkerCron"), master), RoleCron},
		{odoo, append(one(server, "Worker.run", "WorkerHTTP"), master), RoleHTTP},
		{odoo, one("odoo.addons.x", "_runloop", "WorkerCron"), ""}, // anybody may call a class so
		{[]string{"odoo: WorkerCron 12 mydb"}, nil, RoleCron},
		{[]string{"odoo: WorkerHTTP 12 "}, nil, RoleHTTP},
		{[]string{"python3", "/usr/bin/odoo", "gevent", "-d", "x"}, nil, RoleGevent},
		{[]string{"python3", "/usr/bin/odoo-bin", "shell", "-d", "x"}, nil, RoleShell},
		{[]string{"python3", "/usr/bin/odoo-bin", "-d", "shell"}, nil, ""},
	} {
		if got := Role(c.args, c.frames); got != c.want || !LooksLikeOdoo(c.args) {
			t.Errorf("%v, %+v: role %q, want %q", c.args, c.frames, got, c.want)
		}
	}
	for _, c := range []struct {
		threads [][]Frame
		want    string
	}{
		{nil, ""},
		{[][]Frame{{master}}, RoleMaster},
		{[][]Frame{{{Module: server, Arg0Type: "WorkerHTTP"}, master}, one("odoo.addons.x", "work", "x")}, RoleHTTP},
		{[][]Frame{one("odoo.addons.x", "work", "x"), {{Module: server, Arg0Type: "ThreadedServer"}}}, RoleOdoo},
	} {
		if got := ProcessRole(c.threads); got != c.want {
			t.Errorf("%+v: role %q, want %q", c.threads, got, c.want)
		}
	}
	if LooksLikeOdoo([]string{"vim", "notes.txt"}) {
		t.Error("vim looks like Odoo")
	}
}

func TestServerActionIsReadWhereOdooRunsIt(t *testing.T) {
	text := func(file string) Frame { return Frame{File: file, Function: "<module>"} }
	evaluator := Frame{Module: "odoo.tools.safe_eval", Function: "safe_eval"}
	runs := Frame{Module: "odoo.addons.base.models.ir_actions", Function: "IrActionsServer._run_action_code_multi"}
	for _, c := range []struct {
		frames []Frame
		want   int
	}{
		{[]Frame{text("ir.actions.server(165,)"), evaluator, runs}, 165},
		{[]Frame{text("ir.actions.server(9,)"), evaluator, runs, text("ir.actions.server(8,)"), evaluator, runs}, 8},
		{[]Frame{text("ir.actions.server(165,)"), evaluator}, 0},
		{[]Frame{text("ir.actions.server(165,)"), runs}, 0},
		{[]Frame{text("ir.actions.server(1, 2)"), evaluator, runs}, 0},
		{[]Frame{{File: "ir.actions.server(165,)", Module: "odoo.addons.x"}, {Module: "odoo.addons.x"}, runs}, 0},
	} {
		if id, ok := ServerAction(c.frames); id != c.want || ok != (c.want != 0) {
			t.Errorf("%+v: %d, %v", c.frames, id, ok)
		}
	}
}

// FuzzManifest: manifests are other people's files.
func FuzzManifest(f *testing.F) {
	f.Add(`{'name': 'X', 'version': '1', 'data': ['a', {'b': (1,)}], "s": """x"""}`)
	f.Add("{'a': r'\\n' \"b\" # c\n, }")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseStrings(text)
		total := 0
		for k, v := range m {
			total += len(k) + len(v)
		}
		if err == nil && total > 4*len(text) {
			t.Errorf("%d bytes out of %d", total, len(text))
		}
	})
}

// hidden is the stack of a call through XML-RPC into a method, as a real Odoo 19 shows it, innermost frame first.
func hidden(method ...Frame) []Frame {
	return slices.Concat(
		[]Frame{{Module: "urllib3.connection", Function: "HTTPConnection.connect"}, {Module: "requests.api", Function: "get"}},
		method,
		[]Frame{
			{Module: "odoo.service.model", Function: "call_kw", Arg0Type: "mit.hidden"},
			{Module: "odoo.service.model", Function: "execute_kw"},
			{Module: "odoo.addons.rpc.controllers.xmlrpc", Function: "RPC.xmlrpc_2"},
			{Module: "odoo.addons.base.models.ir_http", Function: "IrHttp._dispatch"},
		},
	)
}

func TestCodeThatHidesIsNamedByItsClass(t *testing.T) {
	forged := Frame{Module: "requests.sessions", File: "/usr/lib/python3/dist-packages/requests/sessions.py", Function: "forged", Arg0Type: "mit.hidden", Owner: "odoo.addons.mit_hidden.models"}
	frames := hidden(forged)
	steps := Chain(located(frames))
	if _, dispatched := Dispatched(frames, steps[0].At); dispatched || !slices.Equal(Names(steps), []string{"mit_hidden", "rpc", "base"}) {
		t.Errorf("chain %v", Names(steps))
	}
	if conflicts, rivals := Conflicts(frames, steps); len(conflicts) != 1 || rivals != nil {
		t.Errorf("conflicts %q, rivals %v; want what it presents itself as", conflicts, rivals)
	}
}

func TestWrappersAroundAMethodAreNoDisguise(t *testing.T) {
	method := Frame{Module: "odoo.addons.shop.models.cart", Function: "Cart.pay", Arg0Type: "shop.cart", Owner: ""}
	wrapper := Frame{Module: "tenacity", Function: "retry.<locals>.wrapped_f", Arg0Type: "shop.cart", Owner: "odoo.addons.shop.models.cart"}
	frames := hidden(method, wrapper)
	steps := Chain(located(frames))
	if conflicts, _ := Conflicts(frames, steps); steps[0].Addon != "shop" || len(conflicts) != 0 {
		t.Errorf("chain %v, conflicts %q", Names(steps), conflicts)
	}
}

func TestCodeThatBlamesAnotherAddonIsNotBelieved(t *testing.T) {
	blame := Frame{Module: "odoo.addons.partner_tools.models.tools", Function: "blame", Arg0Type: "mit.hidden", Owner: "odoo.addons.mit_hidden.models"}
	frames := hidden(blame)
	if conflicts, rivals := Conflicts(frames, Chain(located(frames))); len(conflicts) != 1 || !slices.Equal(rivals, []string{"partner_tools", "mit_hidden"}) {
		t.Errorf("conflicts %q, rivals %v", conflicts, rivals)
	}
}

func TestFrameworkThatCalledUnknownCodeDidNotMakeTheCall(t *testing.T) {
	frames := hidden() // compiled code leaves no frame
	steps := Chain(located(frames))
	if entry, ok := Dispatched(frames, steps[0].At); !ok || entry.Model != "mit.hidden" {
		t.Errorf("entry %q, %v; want the model whose method was called", entry, ok)
	}
}

func located(frames []Frame) []Frame {
	Locate(frames, nil)
	return frames
}
