package recorder

import (
	"hash/maphash"
	"net/netip"

	"netaudit/attribution"
)

// addressTexts keeps addresses as text: the same few come again and again. It is a cache of fixed size in which a new address takes the
// place of another with the same hash. One goroutine owns it, like knownParties.
type addressTexts struct {
	seed  maphash.Seed
	slots []addressText
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
	return addressTexts{maphash.MakeSeed(), make([]addressText, knownSlots)}
}

func (t *addressTexts) text(a netip.Addr) string {
	s := &t.slots[addressHash(t.seed, a)%knownSlots]
	if s.address != a {
		*s = addressText{a, a.String()}
	}
	return s.text
}

func addressHash(seed maphash.Seed, a netip.Addr) uint64 {
	b := a.As16()
	return maphash.Bytes(seed, b[:])
}

// knownParties keeps what the catalogue said about a destination.
type knownParties struct {
	seed  maphash.Seed
	slots []knownParty
}

type knownParty struct {
	host  string
	ip    netip.Addr
	party attribution.Party
}

func newKnownParties() knownParties {
	return knownParties{maphash.MakeSeed(), make([]knownParty, partySlots)}
}

func (k *knownParties) match(m Matcher, host string, ip netip.Addr) *attribution.Party {
	s := &k.slots[(maphash.String(k.seed, host)^addressHash(k.seed, ip))%partySlots]
	if s.ip != ip || s.host != host {
		*s = knownParty{host, ip, m.Match(host, ip)}
	}
	return &s.party
}
