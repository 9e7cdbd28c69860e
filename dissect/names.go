package dissect

import (
	"net/netip"
	"sync"
)

// Names remembers which name an address was given for, per client: DNS answers name the connections that follow them. It honours the
// records' time to live, with a grace period because clients hold on to answers. Safe for concurrent use.
type Names struct {
	mu      sync.Mutex
	limit   int
	entries map[nameKey]nameEntry
	ring    []nameKey // in the order of arrival, to forget the oldest
	next    int
}

type nameKey struct{ client, address netip.Addr }

type nameEntry struct {
	name    string
	expires int64 // nanoseconds since the Unix epoch
}

const (
	defaultNames = 100_000
	nameGrace    = 5 * 60 * int64(1e9) // how long after its time to live an answer still names a new connection
	leastTTL     = 60                  // seconds; shorter ones are about load balancing, not about meaning
)

// NewNames returns a cache for at most limit answers; 0 means 100,000. The oldest make room.
func NewNames(limit int) *Names {
	if limit <= 0 {
		limit = defaultNames
	}
	return &Names{limit: limit, entries: map[nameKey]nameEntry{}}
}

// Add notes that client was told at now that name has this address for ttl seconds.
func (n *Names) Add(client, address netip.Addr, name string, ttl uint32, now int64) {
	k := nameKey{client.Unmap(), address.Unmap()}
	e := nameEntry{name, now + int64(max(ttl, leastTTL))*1e9 + nameGrace}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.entries[k]; !known {
		if len(n.ring) < n.limit {
			n.ring = append(n.ring, k)
		} else {
			delete(n.entries, n.ring[n.next])
			n.ring[n.next] = k
			n.next = (n.next + 1) % n.limit
		}
	}
	n.entries[k] = e
}

// Lookup returns the name that client was told for address, if that is still good at now.
func (n *Names) Lookup(client, address netip.Addr, now int64) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e, ok := n.entries[nameKey{client.Unmap(), address.Unmap()}]
	if !ok || now > e.expires {
		return "", false
	}
	return e.name, true
}
