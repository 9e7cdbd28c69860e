package dissect

import (
	"hash/maphash"
	"net/netip"
	"slices"
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
	names   [namesOfAddress]string // the newest first; "": free
	expires int64                  // nanoseconds since the Unix epoch
}

// namesOfAddress is how many names of one address are remembered: content networks serve many from one.
const namesOfAddress = 4

const (
	namesInSet   = 8
	defaultNames = 1 << 17
	nameGrace    = 5 * 60 * int64(1e9) // how long after its time to live an answer still names a new connection
	leastTTL     = 60                  // seconds; shorter ones are about load balancing, not about meaning
)

// NewNames returns a cache for some limit answers; 0 means 131,072 (14 MiB).
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
	expires := now + int64(max(ttl, leastTTL))*1e9 + nameGrace
	n.mu.Lock()
	defer n.mu.Unlock()
	set := n.set(&k)
	place := &set[0]
	for i := range set {
		e := &set[i]
		if e.key == k && e.names[0] != "" {
			e.add(name, expires)
			return
		}
		if e.expires < place.expires {
			place = e
		}
	}
	*place = nameEntry{key: k, expires: expires}
	place.names[0] = name
}

// add puts a name in front of the others.
func (e *nameEntry) add(name string, expires int64) {
	at := slices.Index(e.names[:], name)
	if at < 0 {
		at = len(e.names) - 1
	}
	copy(e.names[1:at+1], e.names[:at])
	e.names[0], e.expires = name, max(e.expires, expires)
}

// Lookup returns the newest name that client was told for address, if that is still good at now.
func (n *Names) Lookup(client, address netip.Addr, now int64) (string, bool) {
	names, ok := n.all(client, address, now)
	return names[0], ok
}

// Contradicts returns the newest name that client was told for address, if it was told names for it and none of them is name.
func (n *Names) Contradicts(client, address netip.Addr, name string, now int64) (told string, ok bool) {
	names, ok := n.all(client, address, now)
	if !ok || slices.Contains(names[:], name) {
		return "", false
	}
	return names[0], true
}

func (n *Names) all(client, address netip.Addr, now int64) (names [namesOfAddress]string, ok bool) {
	k := nameKey{client.As16(), address.As16()}
	n.mu.Lock()
	defer n.mu.Unlock()
	set := n.set(&k)
	for i := range set {
		if e := &set[i]; e.key == k {
			return e.names, e.names[0] != "" && now <= e.expires
		}
	}
	return names, false
}

func (n *Names) set(k *nameKey) *[namesInSet]nameEntry {
	return &n.sets[maphash.Comparable(n.seed, *k)&uint64(len(n.sets)-1)]
}
