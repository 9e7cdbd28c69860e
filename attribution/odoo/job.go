package odoo

import (
	"regexp"
	"strconv"
)

// serverAction is the file name that Odoo gives to the text of a server action: the record as Python writes it (ir.actions.server._run_action_code_multi).
var serverAction = regexp.MustCompile(`^ir\.actions\.server\((\d{1,9}),\)$`)

// ServerAction is the number of the server action whose text runs on a stack: the outermost, that began the others. A file name alone proves nothing: the evaluator and the method that runs actions stand around the text.
func ServerAction(frames []Frame) (id int, ok bool) {
	for i := range frames {
		m := serverAction.FindStringSubmatch(frames[i].File)
		if m == nil || i+2 >= len(frames) || !evaluates(frames[i+1]) || methodOf(frames[i+2]) != "_run_action_code_multi" || frames[i+2].Module != "odoo.addons.base.models.ir_actions" {
			continue
		}
		if n, err := strconv.Atoi(m[1]); err == nil {
			id, ok = n, true
		}
	}
	return id, ok
}

// Scheduled says that Odoo's scheduler is on a stack.
func Scheduled(frames []Frame) bool {
	for _, f := range frames {
		if methodOf(f) == "_callback" && f.Module == "odoo.addons.base.models.ir_cron" {
			return true
		}
	}
	return false
}
