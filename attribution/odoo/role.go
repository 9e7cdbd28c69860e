package odoo

import (
	"path/filepath"
	"strings"
)

// Roles of a process (DESIGN §4).
const (
	RoleHTTP   = "odoo_http"
	RoleCron   = "odoo_cron"
	RoleGevent = "odoo_gevent"
	RoleChild  = "odoo_child"
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

// Role says what an Odoo process does, by its command line and by the stack of the thread that called. An Odoo process without
// other signs serves HTTP.
func Role(args []string, frames []Frame) string {
	for _, a := range args {
		switch {
		case a == "gevent" || strings.Contains(a, "WorkerGevent"):
			return RoleGevent
		case strings.Contains(a, "WorkerCron"):
			return RoleCron
		}
	}
	for _, f := range frames {
		if f.Module == "odoo.service.server" && (strings.Contains(f.Function, "cron_thread") || strings.HasPrefix(f.Function, "WorkerCron.")) {
			return RoleCron
		}
	}
	return RoleHTTP
}

// Titled says whether the command line is a title that a worker gave itself (python3-setproctitle) instead of what it was started with.
func Titled(args []string) bool { return len(args) > 0 && strings.HasPrefix(args[0], "odoo: ") }
