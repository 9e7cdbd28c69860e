package dissect

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"netaudit/tap/decode"
)

// Names remembers which name an address was given for, per client: DNS answers name the connections that follow them. It honours the
// records' time to live, with a grace period because clients hold on to answers. It also knows which conversations others have announced. Safe for concurrent use.
//
// It is a set-associative cache: an answer has a few places where it can stand. It grows while they do not suffice, up to its limit; then the answer that expires first makes room. The tags of all
// places lie together, a quarter of a megabyte at the most: a question about an address that has no name, which is the usual one, stays in the processor's cache. Few hosts know many addresses, and a
// small table stays there as a whole.
type Names struct {
	mu   sync.Mutex
	seed hashSeed
	tags [][namesInSet]uint16 // a power of two; other bits of the keys' hashes than those that choose the set, 0 for a free place
	sets [][namesInSet]nameEntry
	most int // sets
	ech  echNames

	announced announcements

	resolver atomic.Bool // a name server at a loopback address has answered: all programs of the host ask it, whatever address they call from
}

type nameKey struct{ client, address decode.Bits }

// keyOf takes all loopback addresses for one client: this host, which asks a name server of its own.
func keyOf(client, address decode.Bits) nameKey {
	if isLoopback(client) {
		client = thisHost
	}
	return nameKey{client, address}
}

// isLoopback knows 127.0.0.0/8 and ::1.
func isLoopback(a decode.Bits) bool { return a.High == 0 && (a.Low>>24 == 0xffff7f || a.Low == 1) }

var thisHost = decode.BitsOf(netip.AddrFrom4([4]byte{127, 0, 0, 1}))

func (k *nameKey) is(o *nameKey) bool { return k.address == o.address && k.client == o.client }

type nameEntry struct {
	key     nameKey
	expires int64                  // nanoseconds since the Unix epoch
	names   [namesOfAddress]string // the newest first
}

// namesOfAddress is how many names of one address are remembered: content networks serve many from one.
const namesOfAddress = 4

const (
	namesInSet   = 8
	firstSets    = 64
	defaultNames = 1 << 17
	nameGrace    = 5 * 60 * int64(1e9) // how long after its time to live an answer still names a new connection
	leastTTL     = 60                  // seconds; shorter ones are about load balancing, not about meaning
)

// NewNames returns a cache for at most some limit answers; 0 means 131,072 (14 MiB).
func NewNames(limit int) *Names {
	if limit <= 0 {
		limit = defaultNames
	}
	sets := 1
	for sets*namesInSet < limit {
		sets *= 2
	}
	n := &Names{seed: newHashSeed(), most: sets}
	n.resize(min(sets, firstSets))
	return n
}

// resize makes other sets, twice as many as before: what was in one goes into two.
func (n *Names) resize(sets int) {
	tags, before := n.tags, n.sets
	n.tags, n.sets = make([][namesInSet]uint16, sets), make([][namesInSet]nameEntry, sets)
	for i := range before {
		for j := range before[i] {
			if tags[i][j] != 0 {
				set, tag := n.place(&before[i][j].key)
				n.put(set, n.room(set), tag, &before[i][j])
			}
		}
	}
}

// Add notes that client was told at now that name has this address for ttl seconds.
func (n *Names) Add(client, address netip.Addr, name string, ttl uint32, now int64) {
	if name == "" {
		return
	}
	by := decode.BitsOf(client)
	if isLoopback(by) {
		n.resolver.Store(true)
	}
	k := keyOf(by, decode.BitsOf(address))
	expires := now + int64(max(ttl, leastTTL))*1e9 + nameGrace
	n.mu.Lock()
	defer n.mu.Unlock()
	e, set, tag := n.find(&k)
	if e != nil {
		e.add(name, expires)
		return
	}
	for n.full(set) && len(n.sets) < n.most {
		n.resize(2 * len(n.sets))
		set, _ = n.place(&k)
	}
	n.put(set, n.room(set), tag, &nameEntry{key: k, expires: expires, names: [namesOfAddress]string{name}})
}

// put lets an answer stand at a place of a set.
func (n *Names) put(set uint64, i int, tag uint16, e *nameEntry) {
	n.tags[set][i], n.sets[set][i] = tag, *e
}

// add puts a name in front of the others.
func (e *nameEntry) add(name string, expires int64) {
	e.expires = max(e.expires, expires)
	if e.names[0] == name {
		return
	}
	at := slices.Index(e.names[:], name)
	if at < 0 {
		at = len(e.names) - 1
	}
	copy(e.names[1:at+1], e.names[:at])
	e.names[0] = name
}

// Lookup returns the newest name that client was told for address, if that is still good at now.
func (n *Names) Lookup(client, address netip.Addr, now int64) (string, bool) {
	return n.lookup(keyOf(decode.BitsOf(client), decode.BitsOf(address)), now)
}

func (n *Names) lookup(k nameKey, now int64) (name string, ok bool) {
	n.mu.Lock()
	if e := n.good(&k, now); e != nil {
		name, ok = e.names[0], true
	}
	n.mu.Unlock()
	return name, ok
}

// contradicts returns the newest name that a client was told for an address, if it was told names for it and none of them is name.
func (n *Names) contradicts(k nameKey, name string, now int64) (told string) {
	n.mu.Lock()
	if e := n.good(&k, now); e != nil && !slices.Contains(e.names[:], name) {
		told = e.names[0]
	}
	n.mu.Unlock()
	return told
}

// gave says whether a client was told name, perhaps among others, for an address, and that is still good at now.
func (n *Names) gave(k nameKey, name string, now int64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.good(&k, now)
	return e != nil && slices.Contains(e.names[:], name)
}

// good returns what is known about k and has not expired, else nil. n is locked.
func (n *Names) good(k *nameKey, now int64) *nameEntry {
	if e, _, _ := n.find(k); e != nil && now <= e.expires {
		return e
	}
	return nil
}

// find returns the entry of k, nil when there is none, and where it stands or would.
func (n *Names) find(k *nameKey) (e *nameEntry, set uint64, tag uint16) {
	set, tag = n.place(k)
	for i, t := range n.tags[set] {
		if t == tag && n.sets[set][i].key.is(k) {
			return &n.sets[set][i], set, tag
		}
	}
	return nil, set, tag
}

// place returns in which set k stands, and its tag.
func (n *Names) place(k *nameKey) (set uint64, tag uint16) {
	hash := n.seed.addresses(k.client, k.address)
	return hash & uint64(len(n.sets)-1), uint16(hash>>48) | 1
}

func (n *Names) full(set uint64) bool { return !slices.Contains(n.tags[set][:], 0) }

// room returns a free place of a set, or the one whose answer expires first.
func (n *Names) room(set uint64) int {
	place := 0
	for i, t := range n.tags[set] {
		if t == 0 {
			return i
		}
		if n.sets[set][i].expires < n.sets[set][place].expires {
			place = i
		}
	}
	return place
}
