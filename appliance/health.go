package appliance

import (
	"strings"

	"netaudit/api"
)

// health says whether every interface is being watched. The ledger's own state is added by the API.
func (a *Appliance) health() api.Health {
	var down []string
	for _, w := range a.watchers {
		if !w.source.Stats().InterfaceUp {
			down = appendNew(down, w.name)
		}
	}
	if len(down) > 0 {
		return api.Health{Detail: "not capturing on " + strings.Join(down, ", ") + "; netaudit goes on by itself once the interface is back"}
	}
	return api.Health{OK: true, Detail: "watching"}
}
