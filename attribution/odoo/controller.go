package odoo

import "slices"

// Controller finds the addon that answers an HTTP request: what odoo.http's wrapper of a routed method calls. The outermost wrapper counts: an override of a controller answers, also when
// it lets the overridden one do the work. ok is false while no controller runs, as for static files.
func Controller(frames []Frame) (step Step, ok bool) {
	for i := len(frames) - 1; i > 0; i-- {
		if frames[i].Module != "odoo.http" || !routed(frames[i]) {
			continue
		}
		for at := i - 1; at >= 0; at-- { // decorators may stand between the wrapper and the controller
			if f := frames[at]; f.Addon != "" {
				return Step{Addon: f.Addon, Frame: f, Outer: f, Entry: f, Path: f.Dir, At: at}, true
			}
			if at > 0 && frames[at-1].Module == "odoo.http" {
				break
			}
		}
		return Step{}, false
	}
	return Step{}, false
}

// routed knows the function that the decorator odoo.http.route puts around a controller's method: route_wrapper since Odoo 15.2, response_wrap before.
func routed(f Frame) bool {
	name := methodOf(f)
	return name == "route_wrapper" || name == "response_wrap"
}

// Answered says that the controller of a request has returned and its page is made now, which odoo.http.Response does afterwards.
func Answered(frames []Frame) bool {
	return slices.ContainsFunc(frames, func(f Frame) bool { return f.Module == "odoo.http" && methodOf(f) == "flatten" })
}
