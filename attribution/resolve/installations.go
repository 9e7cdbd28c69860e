package resolve

import (
	"fmt"
	"os"
	"sync"
	"time"

	"netaudit/attribution/kernel"
	"netaudit/attribution/odoo"
)

// installations remembers of every Odoo process what it was told and which Odoo it is. Safe for concurrent use.
type installations struct {
	mu    sync.Mutex
	known map[int]*installation
}

// installation belongs to one process, known by pid and start time.
type installation struct {
	start    uint64
	settings odoo.Settings
	version  string    // "" until a stack has told
	database string    // the latest that it was seen to work on; "" before
	several  bool      // there was another before
	role     string    // of a process that does one thing only, or of what no thread tells; "" until the stacks have told
	asked    time.Time // when the stacks did not tell
}

// askRoleAgain is how long a process whose stacks do not tell what it does is not asked again: all its threads have to be read for that, which takes longer than all else about a call.
const askRoleAgain = time.Second

// mostInstallations bounds the memory; when it is full it begins anew.
const mostInstallations = 512

// of returns what is known about an Odoo process; frames, when there are any, tell the version.
func (c *installations) of(p kernel.Process, frames []odoo.Frame) (odoo.Settings, string) {
	i := c.get(p)
	if i.version == "" && len(frames) > 0 {
		if i.version = odoo.ReadVersion(rootOf(p), frames); i.version != "" {
			c.change(p, func(known *installation) { known.version = i.version })
		}
	}
	return i.settings, i.version
}

// role is what a process does whose calling thread does not tell. threads gives the stacks of all its threads, and is not asked twice. A prefork master is asked again: one that has just forked is its worker.
func (c *installations) role(p kernel.Process, threads func() [][]odoo.Frame) string {
	i := c.get(p)
	switch {
	case i.role != "":
		return i.role
	case time.Since(i.asked) < askRoleAgain:
		return odoo.RoleOdoo
	}
	role := odoo.ProcessRole(threads())
	if role == "" {
		c.change(p, func(known *installation) { known.asked = time.Now() })
		return odoo.RoleOdoo
	}
	if role != odoo.RoleMaster {
		c.change(p, func(known *installation) { known.role = role })
	}
	return role
}

// works notes databases that a process works on. It returns the one that is the only one so far, "" when there were several: also of one that has been dropped meanwhile a thread may be left.
func (c *installations) works(p kernel.Process, databases ...string) (only string) {
	c.get(p)
	c.change(p, func(known *installation) {
		for _, name := range databases {
			known.several = known.several || known.database != "" && known.database != name
			known.database = name
		}
		if only = known.database; known.several {
			only = ""
		}
	})
	return only
}

func (c *installations) get(p kernel.Process) installation {
	c.mu.Lock()
	i := c.known[p.PID]
	if i != nil && i.start == p.StartTick {
		defer c.mu.Unlock()
		return *i
	}
	c.mu.Unlock()
	i = &installation{start: p.StartTick, settings: settingsOf(p)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= mostInstallations {
		c.known = map[int]*installation{}
	}
	c.known[p.PID] = i
	return *i
}

func (c *installations) change(p kernel.Process, change func(*installation)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.known[p.PID]; i != nil && i.start == p.StartTick {
		change(i)
	}
}

// settingsOf reads the settings. Workers of Odoo may have replaced their command line by a title: then their parent's tells.
func settingsOf(p kernel.Process) odoo.Settings {
	if odoo.Titled(p.Args) {
		if parent, err := kernel.Describe(p.Parent); err == nil {
			p = parent
		}
	}
	directory, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.PID))
	if err != nil {
		directory = "/"
	}
	s, _ := odoo.ReadSettings(rootOf(p), directory, p.Args) // without its file, what the command line says is what is known
	return s
}

// rootOf is the file system as the process sees it.
func rootOf(p kernel.Process) string { return fmt.Sprintf("/proc/%d/root", p.PID) }
