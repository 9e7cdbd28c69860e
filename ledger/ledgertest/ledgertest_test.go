package ledgertest

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netaudit/ledger"
	"netaudit/ledger/report"
)

// rules are those that the appliance takes from its catalogue.
var rules = report.Rules{Install: "host", LicenseAddons: []string{"mit_license"}, LicenseHosts: []string{"license.mit-odoo.de"}, DailyBudget: 65536}

func TestInstallationsGiveTheVerdictsTheyStandFor(t *testing.T) {
	for variant, want := range map[string]string{Calm: report.AllClear, Alarm: report.Alarm, Mirror: report.AllClear, Hostile: report.Alarm} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			l, _, err := Open(t.Context(), filepath.Join(Dir(t), "state"), Options{Variant: variant, Days: 9, Calls: 900})
			if err != nil {
				t.Fatal(err)
			}
			rules := rules
			if variant == Mirror {
				rules.Install = "mirror"
			}
			now := time.Now()
			r, err := report.Build(t.Context(), l, now.Add(-24*time.Hour), now, rules)
			if err != nil || r.Verdict != want {
				t.Errorf("%s: %s, %s, error %v; want %s", r.Verdict, r.Sentence, findings(r), err, want)
			}
			if r.LastSeal == "" || r.Calls.Total < 50 {
				t.Errorf("last seal %q, %d calls", r.LastSeal, r.Calls.Total)
			}
			if v, err := l.Verify(t.Context(), nil); err != nil || v.Status != ledger.Intact || v.Size < 900+9*1440 {
				t.Errorf("%v, %d rows, damage %+v, error %v", v.Status, v.Size, v.Damage, err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func findings(r report.Report) string {
	var list []string
	for _, f := range r.Findings {
		list = append(list, f.Rule+": "+f.Sentence)
	}
	return strings.Join(list, " ")
}

func TestTheSameOptionsMakeTheSameCalls(t *testing.T) {
	now := time.Now()
	read := func(seed uint64) (text string) {
		l, _, err := Open(t.Context(), filepath.Join(Dir(t), "state"), Options{Days: 1, Calls: 100, Now: now, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		err = l.Rows(t.Context(), 0, func(row ledger.Row) bool {
			e, err := ledger.ParseEvent(row.JSON)
			if err != nil {
				t.Fatal(err)
			}
			e.Salt = ""
			text += string(e.AppendJSON(nil))
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return text
	}
	if one := read(1); one != read(1) || one == read(2) {
		t.Error("the seed does not decide what happens")
	}
}
