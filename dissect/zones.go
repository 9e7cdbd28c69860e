package dissect

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"math"
	"math/bits"
	"net/netip"
	"strings"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/net/publicsuffix"

	"netaudit/tap/decode"
)

// Zone is what one client asked about one registrable domain within the hour that runs, this query included. Data that leaves through DNS shows as
// many different, long, random-looking names below one domain.
type Zone struct {
	Name    string // registrable domain by the public suffix list; the name itself when it has none
	Queries uint32
	Names   uint32 // different names, by linear counting (Whang et al., 1990): within some percent up to 2,000, at most 3,194
	Bytes   uint64 // of the labels below the domain
	Entropy uint32 // of this query's labels below the domain, in hundredths of a bit a character (Shannon); 0 when there are none
}

const (
	mostZones  = 4096          // of all clients; the one that was first asked about longest ago makes room
	zoneWindow = int64(3600e9) // nanoseconds
	nameBits   = 512           // of the bitmap of different names
)

// zones counts queries by client and domain. One engine owns it.
type zones struct {
	counts  map[zoneKey]*zoneCount
	recent  [1024]*zoneCount // of counts, by a hash of client and domain: what is asked again need not be looked for
	ring    []zoneKey        // in the order of arrival
	next    int
	seed    maphash.Seed  // of names and domains, where a collision costs time only
	keyed   xxhash.Digest // of names
	key     uint64        // from the installation's key: nobody can choose names that count as one, and the same capture gives the same numbers
	domains [1024]domainSlot
	names   [1024]askedName
}

type zoneKey struct {
	client netip.Addr
	zone   string
}

type zoneCount struct {
	zoneKey
	gone    bool // it made room for another one
	begun   int64
	queries uint32
	bytes   uint64
	seen    [nameBits / 64]uint64
}

func newZones(key [32]byte) *zones {
	sum := sha256.Sum256(append([]byte("zones\x00"), key[:]...))
	return &zones{counts: map[zoneKey]*zoneCount{}, seed: maphash.MakeSeed(), key: binary.BigEndian.Uint64(sum[:])}
}

// count notes a query and fills in the sums of its domain.
func (z *zones) count(sums *Zone, client netip.Addr, name string, now int64) {
	n := z.known(name)
	c := z.entry(zoneKey{client, n.zone})
	if now-c.begun >= zoneWindow || c.queries == 0 {
		*c = zoneCount{zoneKey: c.zoneKey, begun: now}
	}
	c.seen[n.bit/64] |= 1 << (n.bit % 64)
	c.queries++
	c.bytes += uint64(n.below)
	sums.Name, sums.Queries, sums.Names, sums.Bytes, sums.Entropy = n.zone, c.queries, c.names(), c.bytes, n.entropy
}

// askedName is what a name alone tells. It is remembered by the name: most are asked again and again.
type askedName struct {
	name, zone string
	below      uint16 // bytes of the labels below the zone
	bit        uint16 // of zoneCount.seen
	entropy    uint32 // of the labels below the zone
}

// known returns what a name tells. The result is valid until the next call.
func (z *zones) known(name string) *askedName {
	n := &z.names[maphash.String(z.seed, name)%uint64(len(z.names))]
	if n.name == name && n.zone != "" {
		return n
	}
	zone := z.domain(name)
	below := strings.TrimSuffix(name[:max(0, len(name)-len(zone))], ".")
	z.keyed.ResetWithSeed(z.key)
	_, _ = z.keyed.WriteString(name) // it never fails
	*n = askedName{name, zone, uint16(len(below)), uint16(z.keyed.Sum64() % nameBits), entropy(below)}
	return n
}

func (z *zones) entry(k zoneKey) *zoneCount {
	recent := &z.recent[k.hash(z.key)%uint64(len(z.recent))]
	if c := *recent; c != nil && !c.gone && c.zoneKey == k {
		return c
	}
	c := z.counts[k]
	if c == nil {
		c = z.begin(k)
	}
	*recent = c
	return c
}

// hash looks at the beginning of the domain only: domains that begin alike cost a look into the map.
func (k *zoneKey) hash(secret uint64) uint64 {
	var begin [8]byte
	copy(begin[:], k.zone)
	client := decode.BitsOf(k.client)
	return fold(client.High^secret, client.Low^bits.RotateLeft64(binary.LittleEndian.Uint64(begin[:]), 1))
}

// begin makes a new count, in place of the oldest one when there are many.
func (z *zones) begin(k zoneKey) *zoneCount {
	c := &zoneCount{zoneKey: k}
	if len(z.ring) < mostZones {
		z.ring = append(z.ring, k)
	} else {
		z.counts[z.ring[z.next]].gone = true
		delete(z.counts, z.ring[z.next])
		z.ring[z.next] = k
		z.next = (z.next + 1) % mostZones
	}
	z.counts[k] = c
	return c
}

func (c *zoneCount) names() uint32 {
	zeros := nameBits
	for _, w := range c.seen {
		zeros -= bits.OnesCount64(w)
	}
	return namesByZeros[zeros]
}

// namesByZeros is the estimate of linear counting for every number of bits that are still zero.
var namesByZeros = func() (names [nameBits + 1]uint32) {
	for zeros := range names {
		names[zeros] = uint32(math.Round(nameBits * math.Log(nameBits/float64(max(zeros, 1)))))
	}
	return names
}()

// domainSlot remembers the domain of the end of a name: looking it up in the list of public suffixes costs more than all the rest.
type domainSlot struct{ end, domain string }

// longestSuffix is how many labels the end of a name has that decides about its domain: the list's longest suffixes have four.
const longestSuffix = 5

func (z *zones) domain(name string) string {
	end := name
	for i, labels := len(name)-1, 0; i >= 0; i-- {
		if name[i] == '.' {
			if labels++; labels == longestSuffix {
				end = name[i+1:]
				break
			}
		}
	}
	slot := &z.domains[maphash.String(z.seed, end)%uint64(len(z.domains))]
	if slot.end == end && slot.domain != "" {
		return slot.domain
	}
	end = strings.Clone(end) // the slot outlives the name
	domain, err := publicsuffix.EffectiveTLDPlusOne(end)
	if err != nil {
		domain = end // a suffix itself, a host without a domain, an address
	}
	*slot = domainSlot{end, domain}
	return domain
}

// entropy is Shannon's, over the characters without the dots, in hundredths of a bit.
func entropy(text string) uint32 {
	text = text[:min(len(text), longestName)]
	var count [256]uint8
	for _, c := range []byte(text) {
		count[c]++
	}
	n := len(text) - int(count['.'])
	if n == 0 {
		return 0
	}
	count['.'] = 0
	sum := 0.0
	for _, c := range []byte(text) {
		sum += timesLog[count[c]]
		count[c] = 0
	}
	return uint32(math.Round(100 * (timesLog[n] - sum) / float64(n)))
}

// longestName is how many characters the text of a domain name can have (RFC 1035 §2.3.4).
const longestName = 255

// timesLog is n·log2(n).
var timesLog = func() (products [longestName + 1]float64) {
	for n := 2; n < len(products); n++ {
		products[n] = float64(n) * math.Log2(float64(n))
	}
	return products
}()
