package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

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

// topicWidth is how many columns the topics take.
const topicWidth = 13

func printChecks(s *session, checks []doctor.Check, missing int) {
	c := paletteFor(s.stdout)
	signs := map[doctor.Status]string{doctor.OK: c.good("✓"), doctor.Warning: c.warn("!"), doctor.Missing: c.bad("✗")}
	room := widthOf(s.stdout) - 5 - topicWidth
	write := func(head, detail string) {
		if room > 20 {
			detail = strings.ReplaceAll(text.WrapSoft(detail, room), "\n", "\n"+strings.Repeat(" ", topicWidth+5))
		}
		fmt.Fprintln(s.stdout, head+detail)
	}
	for _, check := range checks {
		write(fmt.Sprintf("  %s  %-*s", signs[check.Status], topicWidth, check.Topic), check.Detail)
		if check.Fix != "" {
			write(strings.Repeat(" ", topicWidth+5), c.dim("→ "+check.Fix))
		}
	}
	if missing == 0 {
		fmt.Fprintf(s.stdout, "\n%s  Start with: netaudit run\n", c.good("Ready."))
		return
	}
	fmt.Fprintf(s.stdout, "\n%s\n", c.bad(fmt.Sprintf("Not ready: %d missing.", missing)))
}
