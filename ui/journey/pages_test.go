package journey

import (
	"fmt"
	"testing"

	"netaudit/ledger"
)

// place is a page in one of its states.
type place struct{ name, path string }

// pagesOf are all pages of a site, each once.
func pagesOf(t testing.TB, s *site) []place {
	t.Helper()
	list := []place{
		{"report", ""},
		{"log", "log"},
		{"log-filtered", "log?party=mit_bound&direction=outbound"},
		{"log-all", "log?kind=all"},
		{"log-nothing", "log?dest=nowhere.example"},
		{"modules", "modules?range=7d"},
		{"destinations", "destinations?range=7d"},
		{"traffic", "traffic?range=7d"},
		{"coverage", "coverage"},
		{"verify", "verify"},
		{"access", "access"},
		{"settings", "settings"},
		{"glossary", "glossary"},
		{"problem", "log/999999999"},
	}
	if s.ledger.Size() > 0 {
		call := s.find(t, "a call of an addon, or to anybody", func(e *ledger.Event) bool {
			return e.Kind == "flow" && e.Dst != nil && e.Party != nil && e.Party.Class != "internal" && (e.Addon != nil || e.Evidence == nil)
		})
		list = append(list, place{"record", fmt.Sprintf("log/%d", call)}, place{"record-heartbeat", fmt.Sprintf("log/%d", s.find(t, "a heartbeat", func(e *ledger.Event) bool { return e.Kind == "heartbeat" }))})
	}
	return list
}
