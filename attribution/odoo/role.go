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

// AddonsPaths reads --addons-path from a command line.
func AddonsPaths(args []string) []string {
	for i, a := range args {
		value, ok := strings.CutPrefix(a, "--addons-path=")
		if !ok && a == "--addons-path" && i+1 < len(args) {
			value, ok = args[i+1], true
		}
		if ok {
			var list []string
			for p := range strings.SplitSeq(value, ",") {
				if p = strings.TrimSpace(p); filepath.IsAbs(p) {
					list = append(list, filepath.Clean(p))
				}
			}
			return list
		}
	}
	return nil
}

// ConfigFile reads -c or --config from a command line.
func ConfigFile(args []string) string {
	for i, a := range args {
		if value, ok := strings.CutPrefix(a, "--config="); ok {
			return value
		}
		if (a == "-c" || a == "--config") && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}
