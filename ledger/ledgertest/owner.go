package ledgertest

import (
	"fmt"
	"strings"

	"netaudit/ledger"
)

// pids of the installation's processes.
var pids = map[string]int{"odoo_http": 1211, "odoo_cron": 1214, "other": 871}

// owner adds process, addon and evidence, as the appliance finds them on a host install.
func (i *Installation) owner(e *ledger.Event, k *kind) {
	pid := pids[k.role]
	if k.addon == "" {
		e.Process = &ledger.Process{PID: pid, Start: 1_760_000_000_000_000_000, Exe: "/usr/bin/" + k.program, Name: k.program, UID: 105, NetNS: 4026531840, Role: k.role}
		e.Evidence = &ledger.Evidence{Source: "process", Confidence: "exact", LatencyUS: int64(40 + i.rnd.IntN(60))}
		if k.direction == "inbound" {
			e.Process.Exe, e.Process.OdooVersion, e.Process.Database = "/usr/bin/python3.13", "19.0", "production"
			e.Evidence.Reason = "inbound: the process that accepted the connection"
		}
		return
	}
	e.Process = &ledger.Process{PID: pid, Start: 1_760_000_000_000_000_000, Exe: "/usr/bin/python3.13", Name: "odoo-bin", UID: 107, NetNS: 4026531840, Role: k.role, OdooVersion: "19.0", Database: "production"}
	chain := []string{k.addon}
	if k.behalf != "" {
		chain = append(chain, k.behalf)
	}
	file := k.addon + "/models/" + strings.ReplaceAll(k.model, ".", "_") + ".py"
	e.Addon = &ledger.Addon{
		Name: k.addon, Version: k.version, Author: k.author, License: k.license, OnBehalfOf: k.behalf, Chain: chain,
		CallSite: fmt.Sprintf("%s:%d %s", file, k.line, k.method), Model: k.model, Method: k.method,
	}
	e.Evidence = &ledger.Evidence{Source: "thread", Confidence: "exact", TID: int64(pid + 7 + i.rnd.IntN(4)), LatencyUS: int64(180 + i.rnd.IntN(900)), Stack: stack(k, file)}
	if k.conflict != "" {
		e.Evidence.Conflicts, e.Evidence.Confidence = []string{k.conflict}, "high"
	}
}

// stack is what stands on the calling thread, innermost first.
func stack(k *kind, file string) (frames []ledger.Frame) {
	const library, addons, odoo = "/usr/lib/python3.13/", "/opt/odoo/addons/", "/opt/odoo/odoo/"
	for n, module := range k.library {
		root := library
		if strings.Contains(module, "urllib3") || strings.Contains(module, "requests") || strings.Contains(module, "http") && module != "http.client" {
			root = "/usr/lib/python3/dist-packages/"
		}
		frames = append(frames, ledger.Frame{File: root + strings.ReplaceAll(module, ".", "/") + ".py", Line: 90 + 37*n, Function: []string{"read", "recv_into", "connect", "send", "request", "urlopen"}[n%6], Module: module})
	}
	frames = append(frames, ledger.Frame{File: addons + file, Line: k.line, Function: k.method, Module: "odoo.addons." + k.addon + ".models", Addon: k.addon})
	if k.behalf != "" {
		frames = append(frames, ledger.Frame{File: addons + k.behalf + "/models/main.py", Line: 61, Function: "action_run", Module: "odoo.addons." + k.behalf + ".models.main", Addon: k.behalf})
	}
	if k.role == "odoo_cron" {
		return append(frames,
			ledger.Frame{File: odoo + "addons/base/models/ir_actions.py", Line: 802, Function: "IrActionsServer.run", Module: "odoo.addons.base.models.ir_actions", Addon: "base"},
			ledger.Frame{File: odoo + "addons/base/models/ir_cron.py", Line: 467, Function: "IrCron._callback", Module: "odoo.addons.base.models.ir_cron", Addon: "base"},
			ledger.Frame{File: odoo + "service/server.py", Line: 556, Function: "ThreadedServer.cron_thread", Module: "odoo.service.server"},
			ledger.Frame{File: library + "threading.py", Line: 994, Function: "Thread.run", Module: "threading"})
	}
	return append(frames,
		ledger.Frame{File: odoo + "service/model.py", Line: 86, Function: "call_kw", Module: "odoo.service.model"},
		ledger.Frame{File: odoo + "addons/web/controllers/dataset.py", Line: 40, Function: "DataSet.call_kw", Module: "odoo.addons.web.controllers.dataset", Addon: "web"},
		ledger.Frame{File: odoo + "http.py", Line: 2210, Function: "Request._serve_db", Module: "odoo.http"},
		ledger.Frame{File: library + "socketserver.py", Line: 362, Function: "BaseServer.finish_request", Module: "socketserver"})
}
