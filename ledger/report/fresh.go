package report

import (
	"context"
	"fmt"
	"slices"

	"netaudit/ledger"
)

// fresh is what came after the rows that the reader has seen: the hours after theirs, and the rest of the hour in which they end.
type fresh struct {
	hour  int64 // in which the first unseen row was logged
	until uint64
	out   Fresh
	hosts map[string]uint64 // first row of each destination in the window
}

// newFresh begins with the rows from the first unseen one to the end of its hour; nil when the reader's rows are not known.
func newFresh(ctx context.Context, src Source, seen, first uint64) (*fresh, error) {
	if seen == 0 {
		return nil, nil
	}
	f := &fresh{until: seen, out: Fresh{Destinations: []string{}}, hosts: map[string]uint64{}}
	h, err := src.AfterRow(ctx, max(seen, first))
	if err != nil {
		return nil, fmt.Errorf("read what is new: %w", err)
	}
	if h != nil {
		f.hour = h.Hour
		f.count(h)
	}
	return f, nil
}

// add takes the next hour of the window.
func (f *fresh) add(h *ledger.Hour) {
	for i := range h.Sums {
		r := &h.Sums[i]
		if r.Direction == "inbound" {
			continue
		}
		if first, known := f.hosts[r.Dest]; !known || r.First < first {
			f.hosts[r.Dest] = r.First
		}
	}
	if f.hour != 0 && h.Hour > f.hour {
		f.count(h)
	}
}

func (f *fresh) count(h *ledger.Hour) {
	for i := range h.Sums {
		f.out.Calls += int(h.Sums[i].Calls)
		if h.Sums[i].Class == "mit_bound" {
			f.out.MIT += int(h.Sums[i].Calls)
		}
	}
}

// finish names the destinations without an earlier call in the window, in the order of their first.
func (f *fresh) finish() *Fresh {
	var hosts []string
	for host, first := range f.hosts {
		if first >= f.until {
			hosts = append(hosts, host)
		}
	}
	slices.SortFunc(hosts, func(a, b string) int { return int(int64(f.hosts[a]) - int64(f.hosts[b])) })
	f.out.Destinations = append(f.out.Destinations, hosts[:min(len(hosts), mostListed)]...)
	return &f.out
}
