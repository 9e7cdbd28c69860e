package dissect

import (
	"sync"

	"netaudit/dissect/tls"
	"netaudit/tap/decode"
)

// mostECHNames bounds the public names that are remembered; then all are forgotten. There are few: one stands for all customers of a content network.
const mostECHNames = 4096

// echNames remembers the public names of the configurations for Encrypted Client Hello that DNS answers gave, and their ids. It is kept for all clients together: keys are
// public, and a client that got them where nobody saw it (over HTTPS, from its cache) says the same as one that was seen. Safe for concurrent use.
type echNames struct {
	mu    sync.Mutex
	known map[string]*echName
}

type echName struct {
	ids     [4]uint64 // one bit for each id
	expires int64     // nanoseconds since the Unix epoch
}

// AddECH notes that a DNS answer at now gave, for ttl seconds, a configuration with this public name and id.
func (n *Names) AddECH(publicName string, id uint8, ttl uint32, now int64) {
	n.ech.mu.Lock()
	defer n.ech.mu.Unlock()
	k := n.ech.known[publicName]
	if k == nil || now > k.expires {
		if n.ech.known == nil || len(n.ech.known) >= mostECHNames {
			n.ech.known = map[string]*echName{}
		}
		k = &echName{}
		n.ech.known[publicName] = k
	}
	k.ids[id/64] |= 1 << (id % 64)
	k.expires = max(k.expires, now+int64(max(ttl, leastTTL))*1e9+nameGrace)
}

// ECH says whether name is the public name of a configuration that is still good at now, and whether one of them has this id.
func (n *Names) ECH(name string, id uint8, now int64) (public, keyed bool) {
	n.ech.mu.Lock()
	defer n.ech.mu.Unlock()
	k := n.ech.known[name]
	if k == nil || now > k.expires {
		return false, false
	}
	return true, k.ids[id/64]&(1<<(id%64)) != 0
}

// learnECH keeps what a service record says of a server's keys.
func (e *Engine) learnECH(list []byte, ttl uint32, now int64) {
	tls.EachECHConfig(list, func(c tls.ECHConfig) { e.learnKeys(e.hostName(c.PublicName), c.ID, ttl, now) })
}

// judgeECH says what a client's ECH extension is worth. A client that has keys asks DNS for the true name and calls the public one; a client that has none asks
// for the very name that it calls. Through a proxy, what the proxy is asked for stands in place of the question. A client that asks for the public name only to look harmless cannot be
// told from one that means it, but the address is then one that DNS gives for that name: whoever answers there also holds the name that is shown.
func (e *Engine) judgeECH(c *conn, sni string, id uint8) ECH {
	f := &c.flow
	names := e.names()
	public, keyed := names.ECH(sni, id, f.Start)
	meant := false
	switch {
	case c.target != "":
		meant = c.target == sni
	case c.proxied && f.HTTP != nil:
		meant = f.HTTP.Host == sni
	default:
		k := keyOf(decode.BitsOf(f.Src.Addr()), decode.BitsOf(f.Dst.Addr()))
		meant = names.gave(k, sni, f.Start) || e.config.Local(f.Src.Addr()) && names.gave(nameKey{thisHost, k.address}, sni, f.Start)
	}
	switch {
	case keyed, public && !meant:
		return ECHConfigured
	case meant:
		return ECHGreaseLike
	default:
		return ECHOffered
	}
}

// refuseECH notes that the server speaks a version that has no ECH: it cannot have read any hello but the outer one.
func (t *handshake) refuseECH(f *TLS) {
	if f.ECH != ECHNone && !t.modern {
		f.ECH = ECHRefused
	}
}
