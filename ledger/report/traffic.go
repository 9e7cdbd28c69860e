package report

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"netaudit/ledger"
)

// Hours reads what hours come to; *ledger.Ledger is one.
type Hours interface {
	Hours(ctx context.Context, from, to time.Time, yield func(*ledger.Hour) bool) error
}

// Group is calls added up by one thing: a module, a destination, a party, a channel or a pair of module and destination.
type Group struct {
	Name     string    `json:"name"`
	To       string    `json:"to,omitempty"` // of a pair: the destination
	Class    string    `json:"class,omitempty"`
	Party    string    `json:"party,omitempty"`
	MIT      int64     `json:"mit_calls"`
	Calls    int64     `json:"calls"`
	Out      int64     `json:"bytes_out"`
	In       int64     `json:"bytes_in"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Partners []string  `json:"partners"` // destinations of a module, modules of a destination; at most mostListed
	Series   []int64   `json:"series"`   // calls by step of the window
}

// What calls can be added up by.
const (
	ByModule      = "module"
	ByDestination = "destination"
	ByParty       = "party"
	ByChannel     = "channel"
	ByPair        = "pair"
)

// seriesSteps is how many steps a group's series has at most; a step is at least an hour.
const seriesSteps = 48

// Traffic adds up the calls in [from, to), the largest groups first; from the beginning of an hour. Its cost does not grow with the number of rows. Internal and local calls count too; inbound ones are
// left out: they are other people's.
func Traffic(ctx context.Context, src Hours, from, to time.Time, by string) ([]Group, error) {
	if !slices.Contains([]string{ByModule, ByDestination, ByParty, ByChannel, ByPair}, by) {
		return nil, fmt.Errorf("calls cannot be added up by %q; use module, destination, party, channel or pair", by)
	}
	from, to = from.UTC().Truncate(time.Hour), to.UTC()
	step := max(time.Hour, (to.Sub(from) / seriesSteps).Round(time.Hour))
	steps := int((to.Sub(from) + step - 1) / step)
	groups := map[[3]string]*Group{}
	add := func(r *ledger.Rollup) {
		key, partner := groupOf(&r.RollupKey, by)
		g := groups[key]
		at := time.Unix(r.Hour*3600, 0).UTC()
		if g == nil {
			g = &Group{Name: key[0], To: key[1], Class: key[2], Party: r.Party, First: time.Unix(0, r.FirstAt).UTC(), Partners: []string{}, Series: make([]int64, steps)}
			groups[key] = g
		}
		if last := time.Unix(0, r.LoggedAt).UTC(); last.After(g.Last) {
			g.Last = last
		}
		g.Calls, g.Out, g.In = g.Calls+r.Calls, g.Out+r.Out, g.In+r.In
		if r.Class == "mit_bound" {
			g.MIT += r.Calls
		}
		g.Partners = keep(g.Partners, partner)
		if i := int(at.Sub(from) / step); i >= 0 && i < steps {
			g.Series[i] += r.Calls
		}
	}
	err := src.Hours(ctx, from, to, func(h *ledger.Hour) bool {
		for i := range h.Sums {
			if h.Sums[i].Direction != "inbound" {
				add(&h.Sums[i])
			}
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("add up the traffic: %w", err)
	}
	list := make([]Group, 0, len(groups))
	for _, g := range groups {
		slices.Sort(g.Partners)
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Out+b.In, a.Out+a.In), cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Name, b.Name), cmp.Compare(a.To, b.To), cmp.Compare(a.Class, b.Class))
	})
	return list, nil
}

// groupOf is the group of a sum: name, destination of a pair, class; and what stands on the other side.
func groupOf(k *ledger.RollupKey, by string) (key [3]string, partner string) {
	switch by {
	case ByModule:
		return [3]string{k.Addon, "", ""}, k.Dest
	case ByDestination:
		return [3]string{k.Dest, "", k.Class}, k.Addon
	case ByParty:
		return [3]string{k.Party, "", k.Class}, k.Dest
	case ByChannel:
		return [3]string{k.Channel, "", ""}, k.Dest
	default:
		return [3]string{k.Addon, k.Dest, k.Class}, ""
	}
}
