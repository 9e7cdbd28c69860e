package resolve

import (
	"fmt"
	"os"
	"sync"

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
	version  string // "" until a stack has told
}

// mostInstallations bounds the memory; when it is full it begins anew.
const mostInstallations = 512

// of returns what is known about an Odoo process; frames, when there are any, tell the version.
func (c *installations) of(p kernel.Process, frames []odoo.Frame) (odoo.Settings, string) {
	c.mu.Lock()
	i := c.known[p.PID]
	c.mu.Unlock()
	if i == nil || i.start != p.StartTick {
		i = &installation{start: p.StartTick, settings: settingsOf(p)}
	}
	version := i.version
	if version == "" && len(frames) > 0 {
		version = odoo.ReadVersion(rootOf(p), frames)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= mostInstallations {
		c.known = map[int]*installation{}
	}
	c.known[p.PID] = &installation{i.start, i.settings, version}
	return i.settings, version
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
