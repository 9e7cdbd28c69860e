package odoo

import (
	"path/filepath"
	"strings"
)

// Roles of a process (DESIGN §4).
const (
	RoleHTTP   = "odoo_http"
	RoleCron   = "odoo_cron"
	RoleGevent = "odoo_gevent" // websockets and long polling
	RoleMaster = "odoo_master" // of a prefork server: starts the workers
	RoleShell  = "odoo_shell"  // odoo-bin shell
	RoleOdoo   = "odoo_other"  // another part, such as a thread of an addon's own in a threaded server
	RoleChild  = "odoo_child"  // a program that Odoo started
	RoleSelf   = "self"
	RoleOther  = "other"
)

// LooksLikeOdoo says whether a command line is Odoo's: odoo, odoo-bin, openerp-server, or the titles that workers give themselves.
func LooksLikeOdoo(args []string) bool {
	for i, a := range args {
		if i > 3 {
			break
		}
		base := filepath.Base(a)
		if base == "odoo" || base == "odoo-bin" || base == "odoo.py" || strings.HasPrefix(base, "openerp-") || strings.HasPrefix(a, "odoo: ") {
			return true
		}
	}
	return false
}

// Role says what an Odoo process does, by its command line or title and by the stack of the thread that called; "" when these do not tell.
func Role(args []string, frames []Frame) string {
	if Titled(args) {
		for title, role := range workers {
			if strings.HasPrefix(args[0], "odoo: "+title+" ") {
				return role
			}
		}
	}
	for _, a := range args[min(1, len(args)):] {
		if strings.HasPrefix(a, "-") {
			break // the command stands before the options
		}
		switch a {
		case "gevent":
			return RoleGevent
		case "shell":
			return RoleShell
		}
	}
	for _, f := range frames {
		switch {
		case f.Module == "odoo.service.server" && methodOf(f) == "cron_thread":
			return RoleCron
		case f.Module == "odoo.service.server" && workers[f.Arg0Type] != "":
			return workers[f.Arg0Type]
		case f.Module == "socketserver" && methodOf(f) == "process_request_thread":
			return RoleHTTP // a threaded server has a thread for each request
		}
	}
	return ""
}

// workers are the classes of odoo/service/server.py whose processes do one thing only. Their names are in the titles too (python3-setproctitle).
var workers = map[string]string{"WorkerHTTP": RoleHTTP, "WorkerCron": RoleCron, "GeventServer": RoleGevent}

// ProcessRole says what a process does whose calling thread does not tell, by the stacks of all its threads; "" when none is of Odoo's server. The frames of a prefork master stay on the main thread of the workers that it
// has forked.
func ProcessRole(threads [][]Frame) string {
	role := ""
	for _, frames := range threads {
		for _, f := range frames {
			if f.Module != "odoo.service.server" {
				continue
			}
			switch {
			case workers[f.Arg0Type] != "":
				return workers[f.Arg0Type]
			case f.Arg0Type == "PreforkServer":
				role = RoleMaster
			case f.Arg0Type == "ThreadedServer" && role == "":
				role = RoleOdoo
			}
		}
	}
	return role
}

// Titled says whether the command line is a title that a worker gave itself (python3-setproctitle) instead of what it was started with.
func Titled(args []string) bool { return len(args) > 0 && strings.HasPrefix(args[0], "odoo: ") }
