package resolve

import (
	"fmt"

	"netaudit/attribution"
	"netaudit/attribution/kernel"
	"netaudit/attribution/odoo"
	"netaudit/attribution/pystack"
)

// Inspection is what can be said of a Python process that calls nobody.
type Inspection struct {
	Process     attribution.Process
	Parent      int
	Odoo        bool     // by its command line
	AddonsPaths []string // as the process sees them
	Python      string   // version of the interpreter
}

// Inspect looks at one process. Errors are those of pystack.Open, and what is known without a stack is returned with them.
func Inspect(pid int) (i Inspection, err error) {
	p, err := kernel.Describe(pid)
	if err != nil {
		return i, fmt.Errorf("look at process %d: %w", pid, err)
	}
	i.Parent, i.Odoo = p.Parent, odoo.LooksLikeOdoo(p.Args)
	stacks, err := pystack.Open(pid)
	if err != nil {
		i.Process = attribution.Process{PID: pid, Name: p.Name, Exe: p.Exe, Container: p.Container}
		return i, err
	}
	i.Python = stacks.Version()
	if err := stacks.Close(); err != nil {
		return i, err
	}
	r, err := New(Config{})
	if err != nil {
		return i, err
	}
	defer r.stacks.close()
	w := &witness{r: r, process: p}
	i.Process = *w.describe(p, nil)
	if i.Odoo {
		i.AddonsPaths = w.addonsPaths()
		for _, frames := range w.allFrames(p) {
			if _, i.Process.OdooVersion = r.installs.of(p, frames); i.Process.OdooVersion != "" {
				break
			}
		}
	}
	return i, nil
}
