package dissect

import (
	"hash/maphash"
	"net/netip"
	"sync"
)

// Names remembers which name an address was given for, per client: DNS answers name the connections that follow them. It honours the
// records' time to live, with a grace period because clients hold on to answers. Safe for concurrent use.
//
// It is a set-associative cache: an answer has a few places where it can stand, and the oldest of them makes room. So it never grows, and a question costs one
// look at memory that lies together.
type Names struct {
	mu   sync.Mutex
	seed maphash.Seed
	sets [][namesInSet]nameEntry // a power of two
}

type nameKey struct{ client, address [16]byte }

type nameEntry struct {
	key     nameKey
	name    string // "": free
	expires int64  // nanoseconds since the Unix epoch
}

const (
	namesInSet   = 8
	defaultNames = 1 << 17
	nameGrace    = 5 * 60 * int64(1e9) // how long after its time to live an answer still names a new connection
	leastTTL     = 60                  // seconds; shorter ones are about load balancing, not about meaning
)

// NewNames returns a cache for some limit answers; 0 means 131,072 (9 MiB).
func NewNames(limit int) *Names {
	if limit <= 0 {
		limit = defaultNames
	}
	sets := 1
	for sets*namesInSet < limit {
		sets *= 2
	}
	return &Names{seed: maphash.MakeSeed(), sets: make([][namesInSet]nameEntry, sets)}
}

// Add notes that client was told at now that name has this address for ttl seconds.
func (n *Names) Add(client, address netip.Addr, name string, ttl uint32, now int64) {
	k := nameKey{client.As16(), address.As16()}
	n.mu.Lock()
	defer n.mu.Unlock()
	set := n.set(&k)
	place := &set[0]
	for i := range set {
		e := &set[i]
		if e.key == k && e.name != "" {
			place = e
			break
		}
		if e.expires < place.expires {
			place = e
		}
	}
	*place = nameEntry{k, name, now + int64(max(ttl, leastTTL))*1e9 + nameGrace}
}

// Lookup returns the name that client was told for address, if that is still good at now.
func (n *Names) Lookup(client, address netip.Addr, now int64) (string, bool) {
	k := nameKey{client.As16(), address.As16()}
	n.mu.Lock()
	defer n.mu.Unlock()
	set := n.set(&k)
	for i := range set {
		if e := &set[i]; e.key == k {
			return e.name, e.name != "" && now <= e.expires
		}
	}
	return "", false
}

func (n *Names) set(k *nameKey) *[namesInSet]nameEntry {
	return &n.sets[maphash.Comparable(n.seed, *k)&uint64(len(n.sets)-1)]
}
