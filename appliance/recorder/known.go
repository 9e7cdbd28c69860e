package recorder

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"net/netip"

	"netaudit/attribution"
)

// addressTexts keeps addresses as text: the same few come again and again. It is a cache of fixed size in which a new address takes the
// place of another with the same hash. One goroutine owns it, like knownParties.
type addressTexts struct {
	secret addressSecret
	slots  []addressText
}

type addressText struct {
	address netip.Addr
	text    string
}

// Sizes of the caches. A destination has as many entries as it has names.
const (
	knownSlots = 4096
	partySlots = 16384
)

func newAddressTexts() addressTexts {
	return addressTexts{newAddressSecret(), make([]addressText, knownSlots)}
}

func (t *addressTexts) text(a netip.Addr) string {
	s := &t.slots[t.secret.hash(a)%knownSlots]
	if s.address != a {
		*s = addressText{a, a.String()}
	}
	return s.text
}

// addressSecret lets nobody choose addresses that take each other's place.
type addressSecret [2]uint64

func newAddressSecret() addressSecret { return addressSecret{rand.Uint64(), rand.Uint64()} }

// hash folds an address by multiplication, as dissect's flow table does.
func (s *addressSecret) hash(a netip.Addr) uint64 {
	b := a.As16()
	high, low := bits.Mul64(binary.BigEndian.Uint64(b[:8])^s[0], binary.BigEndian.Uint64(b[8:])^s[1])
	return high ^ low
}

// knownParties keeps what the catalogue said about a destination.
type knownParties struct {
	seed   maphash.Seed
	secret addressSecret
	slots  []knownParty
}

type knownParty struct {
	host  string
	ip    netip.Addr
	party attribution.Party
}

func newKnownParties() knownParties {
	return knownParties{maphash.MakeSeed(), newAddressSecret(), make([]knownParty, partySlots)}
}

func (k *knownParties) match(m Matcher, host string, ip netip.Addr) *attribution.Party {
	hash := k.secret.hash(ip)
	if host != "" {
		hash ^= maphash.String(k.seed, host)
	}
	s := &k.slots[hash%partySlots]
	if s.ip != ip || s.host != host {
		*s = knownParty{host, ip, m.Match(host, ip)}
	}
	return &s.party
}
