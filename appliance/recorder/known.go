package recorder

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"net/netip"

	"netaudit/attribution"
	"netaudit/tap/decode"
)

// known keeps what was found out about keys that come again and again. It is a cache of fixed size: each key has two places, and the one used longer ago
// makes room. One goroutine owns it.
type known[K comparable, V any] struct{ sets []knownSet[K, V] }

type knownSet[K comparable, V any] struct {
	used, newest uint8 // how many places are filled; which one was asked for last
	places       [2]knownEntry[K, V]
}

type knownEntry[K comparable, V any] struct {
	key   K
	value V
}

// newKnown returns a cache for 2·sets keys; sets is a power of two.
func newKnown[K comparable, V any](sets int) known[K, V] {
	return known[K, V]{make([]knownSet[K, V], sets)}
}

// at returns where the value of a key is kept. found is false for a key that is not known: the caller fills the place in.
func (k *known[K, V]) at(hash uint64, key K) (value *V, found bool) {
	s := &k.sets[hash&uint64(len(k.sets)-1)]
	for i := range s.places[:s.used] {
		if s.places[i].key == key {
			s.newest = uint8(i)
			return &s.places[i].value, true
		}
	}
	i := s.used
	if int(i) < len(s.places) {
		s.used++
	} else {
		i = 1 - s.newest
	}
	s.newest = i
	s.places[i] = knownEntry[K, V]{key: key}
	return &s.places[i].value, false
}

// addressTexts keeps addresses as text.
type addressTexts struct {
	secret addressSecret
	known  known[netip.Addr, string]
}

// Sizes of the caches, in keys. A destination has as many keys as it has names.
const (
	knownAddresses    = 4096
	knownDestinations = 16384
)

func newAddressTexts() addressTexts {
	return addressTexts{newAddressSecret(), newKnown[netip.Addr, string](knownAddresses / 2)}
}

func (t *addressTexts) text(a netip.Addr) string {
	text, found := t.known.at(t.secret.hash(a), a)
	if !found {
		*text = a.String()
	}
	return *text
}

// addressSecret lets nobody choose addresses that take each other's place.
type addressSecret [2]uint64

func newAddressSecret() addressSecret { return addressSecret{rand.Uint64(), rand.Uint64()} }

// hash folds an address by multiplication, as dissect's flow table does.
func (s *addressSecret) hash(a netip.Addr) uint64 {
	b := decode.BitsOf(a)
	high, low := bits.Mul64(b.High^s[0], b.Low^s[1])
	return high ^ low
}

// knownParties keeps what the catalogue said about a destination.
type knownParties struct {
	seed   maphash.Seed
	secret addressSecret
	known  known[destination, attribution.Party]
}

type destination struct {
	host string
	ip   netip.Addr
}

func newKnownParties() knownParties {
	return knownParties{maphash.MakeSeed(), newAddressSecret(), newKnown[destination, attribution.Party](knownDestinations / 2)}
}

func (k *knownParties) match(m Matcher, host string, ip netip.Addr) *attribution.Party {
	hash := k.secret.hash(ip)
	if host != "" {
		hash ^= maphash.String(k.seed, host)
	}
	party, found := k.known.at(hash, destination{host, ip})
	if !found {
		*party = m.Match(host, ip)
	}
	return party
}
