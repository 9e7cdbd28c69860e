package recorder

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"net/netip"

	"netaudit/attribution"
	"netaudit/tap/decode"
)

// known keeps what was found out about keys that come again and again. It is a cache that grows to a fixed size: each key has two places, and the one used longer ago
// makes room. What is known lies together in the order in which it came, so that a few hosts fill a few lines of the processor's cache wherever chance puts their places. One goroutine owns it.
type known[K comparable, V any] struct {
	sets    []knownSet
	entries []knownEntry[K, V]
}

// knownSet is two places. tags are other bits of the keys' hashes than those that choose the set.
type knownSet struct {
	tags         [2]uint16
	at           [2]uint16 // in entries
	used, newest uint8     // how many places are filled; which one was asked for last
}

type knownEntry[K comparable, V any] struct {
	key   K
	value V
}

// newKnown returns a cache for 2·sets keys; sets is a power of two, at most 2^15.
func newKnown[K comparable, V any](sets int) known[K, V] {
	return known[K, V]{sets: make([]knownSet, sets)}
}

// at returns where the value of a key is kept until the next call. found is false for a key that is not known: the caller fills the place in.
func (k *known[K, V]) at(hash uint64, key K) (value *V, found bool) {
	s, tag := &k.sets[hash&uint64(len(k.sets)-1)], uint16(hash>>48)
	for i := range s.used {
		if e := &k.entries[s.at[i]]; s.tags[i] == tag && e.key == key {
			s.newest = i
			return &e.value, true
		}
	}
	i := s.used
	if int(i) < len(s.at) {
		s.used++
		s.at[i] = uint16(len(k.entries))
		k.entries = append(k.entries, knownEntry[K, V]{})
	} else {
		i = 1 - s.newest
	}
	s.newest, s.tags[i] = i, tag
	e := &k.entries[s.at[i]]
	*e = knownEntry[K, V]{key: key}
	return &e.value, false
}

// addressTexts keeps addresses as text.
type addressTexts struct {
	secret addressSecret
	known  known[netip.Addr, string]
}

// Sizes of the caches, in keys. A destination has as many keys as it has names.
const (
	knownAddresses    = 16384
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
