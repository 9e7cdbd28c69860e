package appliance

import (
	"testing"
	"time"
)

func TestPolicyIsWhatTheConfigurationSays(t *testing.T) {
	c := DefaultConfig()
	if p, err := c.policy(); err != nil || p.MaxAge != 0 || p.MaxBytes != 0 || len(p.Hold) != 0 {
		t.Errorf("by default something goes: %+v, %v", p, err)
	}
	c.KeepDays, c.KeepMB, c.LegalHold = 30, 100, []string{"2026-01-01/2026-03-31", "2026-05-01"}
	p, err := c.policy()
	if err != nil || p.MaxAge != 720*time.Hour || p.MaxBytes != 100<<20 || len(p.Hold) != 2 || p.Hold[1].First != p.Hold[1].Last || p.Hold[0].Last.Month() != time.March {
		t.Errorf("%+v, %v", p, err)
	}
	for _, wrong := range []string{"yesterday", "2026-03-31/2026-01-01", "2026-01-01/"} {
		c.LegalHold = []string{wrong}
		if err := c.Check(); err == nil {
			t.Errorf("legal_hold %q is taken", wrong)
		}
	}
	c.LegalHold, c.KeepDays = nil, -1
	if err := c.Check(); err == nil {
		t.Error("keep_days -1 is taken")
	}
}
