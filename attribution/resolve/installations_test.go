package resolve

import (
	"testing"

	"netaudit/attribution/kernel"
	"netaudit/attribution/odoo"
)

func TestRoleThatNoStackTellsIsAskedForOnceASecond(t *testing.T) {
	var c installations
	self, err := kernel.Describe(ownPID)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	silent := func() [][]odoo.Frame { asked++; return nil }
	for range 1000 {
		if got := c.role(self, silent); got != odoo.RoleOdoo {
			t.Fatalf("role %q", got)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	c.change(self, func(known *installation) { known.asked = known.asked.Add(-askRoleAgain) })
	cron := func() [][]odoo.Frame {
		return [][]odoo.Frame{{{Module: "odoo.service.server", Arg0Type: "WorkerCron"}}}
	}
	if got := c.role(self, cron); got != odoo.RoleCron {
		t.Errorf("role %q a second later", got)
	}
}
