package dissect

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"math"
	"math/bits"
	"net/netip"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/net/publicsuffix"
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
	ring    []zoneKey // in the order of arrival
	next    int
	seed    maphash.Seed  // of domains, where a collision costs time only
	keyed   xxhash.Digest // of names
	key     uint64        // from the installation's key: nobody can choose names that count as one, and the same capture gives the same numbers
	domains [1024]domainSlot
}

type zoneKey struct {
	client netip.Addr
	zone   string
}

type zoneCount struct {
	begun   int64
	queries uint32
	bytes   uint64
	seen    [nameBits / 64]uint64
}

func newZones(key [32]byte) *zones {
	sum := sha256.Sum256(append([]byte("zones\x00"), key[:]...))
	return &zones{counts: map[zoneKey]*zoneCount{}, seed: maphash.MakeSeed(), key: binary.BigEndian.Uint64(sum[:])}
}

// count notes a query and returns the sums of its domain.
func (z *zones) count(client netip.Addr, name []byte, now int64) Zone {
	zone := z.domain(name)
	c := z.entry(zoneKey{client, zone})
	if now-c.begun >= zoneWindow || c.queries == 0 {
		*c = zoneCount{begun: now}
	}
	below := bytes.TrimSuffix(name[:max(0, len(name)-len(zone))], []byte{'.'})
	z.keyed.ResetWithSeed(z.key)
	_, _ = z.keyed.Write(name) // it never fails
	bit := z.keyed.Sum64() % nameBits
	c.seen[bit/64] |= 1 << (bit % 64)
	c.queries++
	c.bytes += uint64(len(below))
	return Zone{Name: zone, Queries: c.queries, Names: c.names(), Bytes: c.bytes, Entropy: entropy(below)}
}

func (z *zones) entry(k zoneKey) *zoneCount {
	if c := z.counts[k]; c != nil {
		return c
	}
	c := &zoneCount{}
	if len(z.ring) < mostZones {
		z.ring = append(z.ring, k)
	} else {
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
	return uint32(math.Round(nameBits * math.Log(nameBits/float64(max(zeros, 1)))))
}

// domainSlot remembers the domain of the end of a name: looking it up in the list of public suffixes costs more than all the rest.
type domainSlot struct{ end, domain string }

// longestSuffix is how many labels the end of a name has that decides about its domain: the list's longest suffixes have four.
const longestSuffix = 5

func (z *zones) domain(name []byte) string {
	end := name
	for i, labels := len(name)-1, 0; i >= 0; i-- {
		if name[i] == '.' {
			if labels++; labels == longestSuffix {
				end = name[i+1:]
				break
			}
		}
	}
	slot := &z.domains[maphash.Bytes(z.seed, end)%uint64(len(z.domains))]
	if slot.end == string(end) && slot.domain != "" {
		return slot.domain
	}
	text := string(end)
	domain, err := publicsuffix.EffectiveTLDPlusOne(text)
	if err != nil {
		domain = text // a suffix itself, a host without a domain, an address
	}
	*slot = domainSlot{text, domain}
	return domain
}

// entropy is Shannon's, over the characters without the dots, in hundredths of a bit.
func entropy(text []byte) uint32 {
	var count [256]uint16
	n := 0
	for _, c := range text {
		if c != '.' {
			count[c]++
			n++
		}
	}
	if n == 0 {
		return 0
	}
	sum := 0.0
	for _, c := range text {
		if k := count[c]; k > 0 && c != '.' {
			sum += float64(k) * math.Log2(float64(k))
			count[c] = 0
		}
	}
	return uint32(math.Round(100 * (math.Log2(float64(n)) - sum/float64(n))))
}
