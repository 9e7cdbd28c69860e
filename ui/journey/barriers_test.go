package journey

import (
	"slices"
	"strings"
	"testing"

	"netaudit/ledger/ledgertest"
	"netaudit/ui/browser"
)

// view is how a page is looked at. Every page is judged by all rules on a desk and on a phone, and by its colours in the two other combinations.
type view struct {
	scheme      string
	width       int64
	onlyColours bool
}

var views = []view{{"light", 1440, false}, {"dark", 1440, true}, {"dark", 360, false}, {"light", 360, true}}

// TestNobodyIsShutOut lets axe-core judge every page in both colours, on a phone and on a desk. Long tables are judged by a few of their rows: what stands in them is alike.
func TestNobodyIsShutOut(t *testing.T) {
	axe := browser.Axe(t)
	seen := map[string][]string{}
	judge := func(w *browser.Window, p place, views ...view) {
		w.Go(p.path)
		for _, v := range views {
			w.Dress(v.scheme, v.width)
			for _, barrier := range w.Barriers(axe, v.onlyColours) {
				if !slices.Contains(seen[barrier], p.name) {
					seen[barrier] = append(seen[barrier], p.name)
				}
			}
		}
	}
	s := shared(t, ledgertest.Alarm)
	w := s.enter(t, "")
	w.Expect("status of 404")
	for _, p := range pagesOf(t, s) {
		switch p.name {
		case "log", "log-filtered":
			p.path = "log?addon=mit_maildesk&party=mit_bound&cols=time.direction.channel.dest.party.addon.process.confidence.source.sent.received.lasted.result"
		case "log-all":
			p.path = "log?kind=gap"
		}
		if p.name != "log-filtered" {
			judge(w, p, views...)
		}
	}
	judge(s.open(t), place{"login", "login"}, views...)
	for variant, places := range map[string][]place{ledgertest.Empty: {{"empty-report", ""}, {"empty-log", "log"}}, ledgertest.Mirror: {{"mirror-report", ""}, {"mirror-log", "log?party=mit_bound&since=2000-01-01&q=:07:"}}} {
		w := shared(t, variant).enter(t, "")
		for _, p := range places {
			judge(w, p, views[0])
		}
	}
	for barrier, pages := range seen {
		t.Errorf("%s: on %s", barrier, strings.Join(pages, ", "))
	}
}
