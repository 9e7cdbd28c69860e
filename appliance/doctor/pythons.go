package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"netaudit/attribution/kernel"
	"netaudit/attribution/pystack"
	"netaudit/attribution/resolve"
)

// mostPythons bounds how many other Python processes are named one by one.
const mostPythons = 6

// pythons looks at every process: which are CPython, can their stacks be read, which are an Odoo's.
func pythons(ctx context.Context) []Check {
	pids, err := kernel.Processes()
	if err != nil {
		return []Check{{Topic: "python", Status: Warning, Detail: err.Error()}}
	}
	slices.Sort(pids)
	var list, others []Check
	parts := map[int]resolve.Inspection{}
	more := 0
	for _, pid := range pids {
		if ctx.Err() != nil {
			break
		}
		i, err := resolve.Inspect(pid)
		switch {
		case errors.Is(err, pystack.ErrNotPython) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrProcessDone):
		case err != nil && i.Odoo:
			list = append(list, Check{Topic: "odoo", Status: Warning, Detail: fmt.Sprintf("process %d (%s): %v", pid, i.Process.Name, err)})
		case i.Odoo:
			parts[pid] = i
		case err != nil && !isUnsupported(err): // most processes of a host are no business of ours
		case len(others) == mostPythons:
			more++
		default:
			others = append(others, otherPython(i, err))
		}
	}
	list = append(instances(parts), list...)
	if len(list) == 0 {
		list = append(list, Check{
			Topic: "odoo", Status: Warning, Detail: "no Odoo process is running here",
			Fix: "start Odoo; netaudit notices by itself. At a mirror port use: netaudit run --mirror",
		})
	}
	if more > 0 {
		others = append(others, Check{Topic: "python", Detail: fmt.Sprintf("and %d more", more)})
	}
	return append(list, others...)
}

func isUnsupported(err error) bool {
	var unsupported *pystack.UnsupportedError
	return errors.As(err, &unsupported)
}

func otherPython(i resolve.Inspection, err error) Check {
	c := Check{Topic: "python", Detail: fmt.Sprintf("process %d (%s): ", i.Process.PID, i.Process.Name)}
	if err != nil {
		c.Status, c.Detail = Warning, c.Detail+err.Error()
		return c
	}
	c.Detail += "CPython " + i.Python + ", stacks readable"
	return c
}

// instances says in one line what belongs together: a server and the workers below it.
func instances(parts map[int]resolve.Inspection) []Check {
	groups := map[int][]resolve.Inspection{}
	for pid, i := range parts {
		root := pid
		for up, ok := parts[parts[root].Parent]; ok; up, ok = parts[up.Parent] {
			root = up.Process.PID
		}
		groups[root] = append(groups[root], i)
	}
	var list []Check
	for _, group := range groups {
		slices.SortFunc(group, func(a, b resolve.Inspection) int { return cmp.Compare(a.Process.PID, b.Process.PID) })
		list = append(list, instance(group))
	}
	slices.SortFunc(list, func(a, b Check) int { return cmp.Compare(a.Detail, b.Detail) })
	return list
}

// instance describes one Odoo, whose processes are in the order of their ids.
func instance(group []resolve.Inspection) Check {
	first := group[0]
	c := Check{Topic: "odoo", Detail: "Odoo"}
	for _, i := range group {
		if i.Process.OdooVersion != "" {
			c.Detail += " " + i.Process.OdooVersion
			break
		}
	}
	c.Detail += " on CPython " + first.Python + ", stacks readable"
	if first.Process.Container != "" {
		c.Detail += ", in container " + first.Process.Container
	}
	if first.Process.Database != "" {
		c.Detail += ", database " + first.Process.Database
	}
	var roles []string
	byRole := map[string]string{}
	for _, i := range group {
		if byRole[i.Process.Role] == "" {
			roles = append(roles, i.Process.Role)
		}
		byRole[i.Process.Role] += fmt.Sprintf(" %d", i.Process.PID)
	}
	for n, role := range roles {
		roles[n] = strings.ReplaceAll(strings.TrimPrefix(role, "odoo_"), "other", "process") + byRole[role]
	}
	c.Detail += ": " + strings.Join(roles, ", ")
	var missing []string
	for _, path := range first.AddonsPaths {
		if _, err := os.Stat(filepath.Join(fmt.Sprintf("/proc/%d/root", first.Process.PID), path)); err != nil {
			missing = append(missing, path)
		}
	}
	switch {
	case len(missing) > 0:
		c.Status, c.Detail = Warning, c.Detail+"; addons paths that cannot be read: "+strings.Join(missing, ", ")
		c.Fix = "correct addons_path in odoo.conf: addons below it are named without version, author and licence"
	case len(first.AddonsPaths) == 1:
		c.Detail += "; 1 addons path"
	case len(first.AddonsPaths) > 1:
		c.Detail += fmt.Sprintf("; %d addons paths", len(first.AddonsPaths))
	}
	return c
}
