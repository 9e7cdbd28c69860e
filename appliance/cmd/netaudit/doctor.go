package main

import (
	"encoding/json"
	"fmt"

	"netaudit/appliance"
	"netaudit/appliance/doctor"
)

type doctorCommand struct {
	State string `help:"State directory that will be used." placeholder:"DIR" type:"path"`
	JSON  bool   `help:"JSON instead of text." name:"json"`
}

// Help implements kong.HelpProvider.
func (doctorCommand) Help() string {
	return `Looks at rights, interfaces, Python and Odoo processes and the disk, and says how to get what is missing. Changes nothing.

Exit status: 0 ready, 1 something that is needed is missing.

Example:
  sudo netaudit doctor`
}

// Run prints one line a check.
func (c *doctorCommand) Run(s *session) error {
	state := c.State
	if state == "" {
		state = appliance.DefaultConfig().State
	}
	checks := doctor.Examine(s.ctx, state)
	missing := 0
	for _, check := range checks {
		if check.Status == doctor.Missing {
			missing++
		}
	}
	if c.JSON {
		enc := json.NewEncoder(s.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(checks); err != nil {
			return err
		}
	} else {
		printChecks(s, checks, missing)
	}
	if missing > 0 {
		return &exitError{code: 1}
	}
	return nil
}

func printChecks(s *session, checks []doctor.Check, missing int) {
	c := paletteFor(s.stdout)
	signs := map[doctor.Status]string{doctor.OK: c.good("✓"), doctor.Warning: c.warn("!"), doctor.Missing: c.bad("✗")}
	for _, check := range checks {
		fmt.Fprintf(s.stdout, "  %s  %-12s %s\n", signs[check.Status], check.Topic, check.Detail)
		if check.Fix != "" {
			fmt.Fprintf(s.stdout, "     %-12s %s\n", "", c.dim("→ "+check.Fix))
		}
	}
	if missing == 0 {
		fmt.Fprintf(s.stdout, "\n%s  Start with: netaudit run\n", c.good("Ready."))
		return
	}
	fmt.Fprintf(s.stdout, "\n%s\n", c.bad(fmt.Sprintf("Not ready: %d missing.", missing)))
}
