package dissect

import (
	"hash/maphash"
	"net/netip"

	"netaudit/tap"
	"netaudit/tap/decode"
)

// key names a conversation, the same for both directions: endpoint a is the smaller one. The same addresses and ports on another
// VLAN or in another tunnel are another conversation.
type key struct {
	a, b  endpoint
	proto uint8
	path  uint64 // hash of VLANs and tunnels, 0 for none
}

// endpoint is an address and a port; for ICMP the port is part of what pairs question and answer.
type endpoint struct {
	addr netip.Addr
	port uint16
}

var pathSeed = maphash.MakeSeed()

// queueName says where a flow waits for its end. Half-open connections have their own queue, so that a flood of them evicts only
// each other.
type queueName uint8

const (
	queueClosing queueName = iota
	queueHalfOpen
	queueTCP
	queueOther
	queueCount
)

// queue holds flows in the order of their last packet.
type queue struct{ head, tail *conn }

func (q *queue) oldest() *conn { return q.head }

func (q *queue) push(c *conn) {
	c.before, c.after = q.tail, nil
	if q.tail != nil {
		q.tail.after = c
	} else {
		q.head = c
	}
	q.tail = c
}

func (q *queue) remove(c *conn) {
	if c.before != nil {
		c.before.after = c.after
	} else {
		q.head = c.after
	}
	if c.after != nil {
		c.after.before = c.before
	} else {
		q.tail = c.before
	}
	c.before, c.after = nil, nil
}

// lookup finds or opens the conversation of a packet. fromA says that the packet goes from the key's smaller endpoint.
func (e *Engine) lookup(h *decode.Headers, p *tap.Packet) (c *conn, fromA bool) {
	k, fromA := keyOf(h)
	if c = e.table[k]; c != nil && c.reused(h) {
		e.end(c)
		c = nil
	}
	if c == nil {
		if h.Fragment && h.Payload != nil && h.SrcPort == 0 && h.DstPort == 0 && (h.Proto == decode.ProtoTCP || h.Proto == decode.ProtoUDP) {
			e.damaged["ip: fragment without its beginning"]++
		}
		if len(e.table) >= e.config.MaxFlows {
			e.evict()
		}
		c = e.open(k, h, p, fromA)
	}
	return c, fromA
}

func keyOf(h *decode.Headers) (key, bool) {
	src, dst := endpoint{h.Src, h.SrcPort}, endpoint{h.Dst, h.DstPort}
	if h.Proto == decode.ProtoICMP || h.Proto == decode.ProtoICMPv6 {
		src.port, dst.port = icmpPair(h)
	}
	k := key{a: src, b: dst, proto: h.Proto}
	fromA := true
	if order := src.addr.Compare(dst.addr); order > 0 || order == 0 && src.port > dst.port {
		k.a, k.b, fromA = dst, src, false
	}
	if h.VLANCount > 0 || h.Tunnel.Count > 0 {
		k.path = pathHash(h)
	}
	return k, fromA
}

// icmpPair gives echo request and reply (and the like) the same pair of ports, as the Community ID specification does.
func icmpPair(h *decode.Headers) (uint16, uint16) {
	return communityPorts(h.Proto, uint8(h.SrcPort), uint8(h.DstPort))
}

func pathHash(h *decode.Headers) uint64 {
	var m maphash.Hash
	m.SetSeed(pathSeed)
	for _, v := range h.VLANs[:min(h.VLANCount, len(h.VLANs))] {
		maphash.WriteComparable(&m, v)
	}
	for _, l := range h.Tunnel.Layers[:h.Tunnel.Count] {
		a, b := l.Src, l.Dst
		if a.IsValid() && b.IsValid() && a.Compare(b) > 0 {
			a, b = b, a // both directions of a tunnel are one path
		}
		id := l.ID
		if l.Kind == decode.TunnelGTPU || l.Kind == decode.TunnelMPLS {
			id = 0 // these identifiers differ between the directions
		}
		maphash.WriteComparable(&m, decode.TunnelLayer{Kind: l.Kind, Src: a, Dst: b, ID: id})
	}
	return m.Sum64() | 1
}

// evict makes room: first a closed connection, then the oldest half-open one, then whoever was quiet longest.
func (e *Engine) evict() {
	for i := range e.queues {
		if c := e.queues[i].oldest(); c != nil && (queueName(i) != queueTCP || e.queues[queueOther].oldest() == nil ||
			c.lastSeen <= e.queues[queueOther].oldest().lastSeen) {
			e.stats.Evicted++
			e.end(c)
			return
		}
	}
}

// touch moves a flow to the end of its queue, or into another one.
func (e *Engine) touch(c *conn, to queueName, now int64) {
	c.lastSeen = max(c.lastSeen, now)
	if c.queue == to && e.queues[to].tail == c {
		return
	}
	e.queues[c.queue].remove(c)
	c.queue = to
	e.queues[to].push(c)
}
