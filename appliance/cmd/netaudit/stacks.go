package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"netaudit/attribution/pystack"
)

type stacksCommand struct {
	PID  int  `arg:"" help:"Process id."`
	JSON bool `help:"One JSON object instead of text." name:"json"`
}

// Help implements kong.HelpProvider.
func (stacksCommand) Help() string {
	return `Reads the Python stacks of every thread with process_vm_readv: the process is not stopped, not signalled, not written to.

Example:
  sudo netaudit stacks $(pgrep -f odoo-bin | head -1)`
}

// Run prints the stacks. Exit status 1: the process is no CPython, or of a version that is not known.
func (c *stacksCommand) Run(s *session) error {
	p, err := pystack.Open(c.PID)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no process %d, or it is a kernel thread", c.PID)
	}
	if err != nil {
		var unsupported *pystack.UnsupportedError
		if errors.Is(err, pystack.ErrNotPython) || errors.As(err, &unsupported) {
			return &exitError{code: 1, err: err}
		}
		return err
	}
	defer p.Close()
	threads, err := p.Threads()
	if err != nil {
		return fmt.Errorf("read the stacks of process %d: %w", c.PID, err)
	}
	if c.JSON {
		enc := json.NewEncoder(s.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			PID     int              `json:"pid"`
			Version string           `json:"python"`
			Threads []pystack.Thread `json:"threads"`
		}{c.PID, p.Version(), threads})
	}
	pystack.Format(s.stdout, c.PID, threads)
	return nil
}
