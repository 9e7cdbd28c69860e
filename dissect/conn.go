package dissect

import (
	"net/netip"

	"netaudit/dissect/quic"
	"netaudit/dissect/tls"
	"netaudit/tap"
	"netaudit/tap/decode"
)

// Sides of a conversation.
const (
	initiator = 0
	responder = 1
)

// conn is a living conversation: the flow that is handed out, and what is needed to follow it.
type conn struct {
	flow     Flow
	key      key
	hash     uint64 // of key
	aIsSrc   bool   // the key's smaller endpoint is the initiator
	queue    queueName
	shard    uint8
	lastSeen int64  // by the engine's clock, which never goes back: the queues are in its order
	touched  uint64 // number of the last frame
	lastRow  int64  // when the last row was written, or the flow opened

	before, after *conn // neighbours in the queue

	tcp      tcpState
	proto    protocol   // reads the payload; nil when nothing more is to be learned
	stream   *tlsStream // the memory of proto while that reads TLS over TCP, and after
	first    [2]firstBytes
	lastSide int         // who spoke last
	lastData int64       // when the last payload was seen
	answered bool        // UDP: the responder has spoken
	spent    *quic.Spent // QUIC: the server has answered
	proxied  bool        // the responder is a proxy: what DNS says of its address says nothing about the destination
	target   string      // the host that a SOCKS proxy was asked for
}

// firstBytes is the beginning of what a side sent, for the fingerprint.
type firstBytes struct {
	data [64]byte
	n    uint8
}

// lookup finds or opens the conversation of a packet.
func (e *Engine) lookup(h *decode.Headers, id *identity, p *tap.Packet) *conn {
	c := e.table.find(id.hash, &id.key)
	if c != nil && c.reused(h) {
		e.end(c)
		c = nil
	}
	if c == nil {
		if h.Fragment && h.Payload != nil && h.SrcPort == 0 && h.DstPort == 0 && (h.Proto == decode.ProtoTCP || h.Proto == decode.ProtoUDP) {
			e.damage("ip: fragment without its beginning")
		}
		c = e.open(h, id, p)
	}
	return c
}

// reused tells a packet that begins another conversation on the ports of one that is over.
func (c *conn) reused(h *decode.Headers) bool {
	if h.Proto == decode.ProtoTCP {
		return c.tcp.reused(c, h)
	}
	if c.spent != nil {
		return h.Src == c.flow.Src.Addr() && h.SrcPort == c.flow.Src.Port() && c.spent.Another(h.Payload)
	}
	if c.flow.TLS != nil {
		return c.anotherDTLS(h)
	}
	d, ok := c.proto.(*dnsDatagrams)
	return ok && d.reused(c, h)
}

// open begins a conversation at its first packet.
func (e *Engine) open(h *decode.Headers, id *identity, p *tap.Packet) *conn {
	shard := e.placement.of(h)
	if e.living[shard] >= e.config.MaxFlows/e.placement.shards() {
		e.evict(shard)
	}
	e.living[shard]++
	e.stats.Flows++
	c := e.conns.take()
	*c = conn{} // apart from what follows: a kilobyte is cleared in place and not copied
	c.key, c.hash, c.aIsSrc, c.shard, c.queue, c.lastRow = id.key, id.hash, id.fromA, shard, queueOther, p.Time
	f := &c.flow
	f.ID, f.Proto, f.Iface, f.Start, f.End = e.frame, h.Proto, p.Iface, p.Time, p.Time
	f.Src, f.Dst = netip.AddrPortFrom(h.Src, h.SrcPort), netip.AddrPortFrom(h.Dst, h.DstPort)
	if h.VLANCount > 0 {
		f.VLANs = append([]uint16(nil), h.VLANs[:min(h.VLANCount, len(h.VLANs))]...)
	}
	if h.Tunnel.Count > 0 {
		path := h.Tunnel
		f.Tunnel = &path
	}
	if reversed(h) {
		f.Src, f.Dst = f.Dst, f.Src
		c.aIsSrc = !c.aIsSrc
		if isICMP(h.Proto) { // type and code stay in their places
			f.setTypeCode(h)
		}
	}
	f.Channel = baseChannel(h.Proto)
	f.Direction = e.direction(f)
	c.proto = e.firstProtocol(c)
	switch h.Proto {
	case decode.ProtoTCP:
		c.tcp.begin(c, h, id.fromA == c.aIsSrc)
		c.queue = queueHalfOpen
	}
	c.lastSeen, c.touched = e.now, e.at.Frame
	e.queues[c.shard][c.queue].push(c)
	e.table.add(c)
	e.name(c)
	f.State = StateOpen
	e.sink.FlowOpened(f)
	return c
}

// direction says how a flow lies relative to the observed host.
func (e *Engine) direction(f *Flow) Direction {
	src, dst := e.config.Local(f.Src.Addr()), e.config.Local(f.Dst.Addr())
	switch {
	case src && dst:
		return Local
	case src:
		return Outbound
	case dst:
		return Inbound
	default:
		return Transit
	}
}

// reversed tells a first packet that comes from the responder: a SYN-ACK, or a reply whose port says so.
func reversed(h *decode.Headers) bool {
	switch h.Proto {
	case decode.ProtoTCP:
		if h.Flags&flagSYN != 0 {
			return h.Flags&flagACK != 0
		}
		return fromServer(h)
	case decode.ProtoUDP:
		if isDTLS(h.Payload) {
			return h.Payload[dtlsRecordHeader] != tls.TypeClientHello
		}
		return servicePort(h.SrcPort) && !servicePort(h.DstPort) && h.DstPort >= 1024
	case decode.ProtoICMP, decode.ProtoICMPv6:
		return isEchoReply(h.Proto, h.SrcPort)
	default:
		return false
	}
}

// fromServer tells who sends a segment in the middle of a connection: by its first words, by a port that is known, or by one from which systems take ports for clients.
func fromServer(h *decode.Headers) bool {
	const ephemeral = 32768 // Linux; others begin higher (RFC 6335 §6)
	src, dst := servicePort(h.SrcPort), servicePort(h.DstPort)
	switch b := h.Payload; {
	case isClientHello(b), isRequestLine(b):
		return false
	case isServerTLS(nil, b), hasAnyPrefix(b, "HTTP/1.0 ", "HTTP/1.1 "):
		return true
	case src != dst:
		return src
	default:
		return h.SrcPort < ephemeral && h.DstPort >= ephemeral
	}
}

// servicePort says that a server is likelier behind this port than a client.
func servicePort(p uint16) bool {
	if p < 1024 && p != 0 {
		return true
	}
	switch p {
	case 1433, 1521, 3128, 3306, 3389, 5060, 5222, 5353, 5355, 5432, 6379, 8000, 8008, 8069, 8072, 8080, 8443, 8883, 9200, 27017:
		return true
	}
	return false
}

// packet accounts for one packet of the conversation and reads its payload.
func (c *conn) packet(e *Engine, h *decode.Headers, now int64, fromA bool) {
	f := &c.flow
	side := responder
	if fromA == c.aIsSrc {
		side = initiator
	}
	f.Start, f.End = min(f.Start, now), max(f.End, now)
	if side == initiator {
		f.SrcPackets++
	} else {
		f.DstPackets++
	}
	if len(h.Payload) < h.PayloadLength && c.proto != nil {
		f.Truncated = true
	}
	if h.Proto == decode.ProtoTCP {
		c.tcp.packet(e, c, h, side, now)
		e.touch(c, c.tcp.queue())
	} else {
		c.datagram(e, h, side, now)
		e.touch(c, c.datagramQueue())
	}
	if now-c.lastRow >= int64(e.config.UpdateEvery) && (c.queue != queueClosing || h.Proto != decode.ProtoTCP) {
		c.lastRow = now
		f.State = StateUpdate
		e.finishHead(c)
		e.sink.FlowUpdated(f)
	}
}

// datagramQueue lets answered DNS go soon: resolvers take a new port for every question, and rows should not wait a minute.
func (c *conn) datagramQueue() queueName {
	if c.answered && c.flow.Channel == "dns" {
		return queueClosing
	}
	return queueOther
}

// datagram counts and reads a packet that has no sequence numbers.
func (c *conn) datagram(e *Engine, h *decode.Headers, side int, now int64) {
	f := &c.flow
	n := uint64(h.PayloadLength)
	if side == initiator {
		f.SrcBytes += n
		if f.SrcPackets == 1 && isICMP(h.Proto) { // the capture may have begun with an answer: what is asked names the flow
			f.setTypeCode(h)
		}
	} else {
		f.DstBytes += n
		if !c.answered {
			c.answered = true
			f.RTT = max(0, now-f.Start)
		}
	}
	if n == 0 || h.Fragment {
		return
	}
	c.used(e, side, now, n)
	if len(h.Payload) == 0 {
		return // cut by the snap length
	}
	c.remember(side, h.Payload)
	if c.proto != nil {
		c.proto.data(e, c, side, h.Payload, now)
	}
}

// used tells the sink when the initiator speaks again after a pause: perhaps somebody else uses the connection now.
func (c *conn) used(e *Engine, side int, now int64, sent uint64) {
	if side == initiator && c.lastSide == responder && c.lastData != 0 && now-c.lastData >= int64(e.config.ActiveGap) {
		e.sink.FlowActive(&c.flow, sent)
	}
	c.lastSide, c.lastData = side, now
}

// remember keeps the first bytes of a side.
func (c *conn) remember(side int, payload []byte) {
	b := &c.first[side]
	if int(b.n) < len(b.data) {
		b.n += uint8(copy(b.data[b.n:], payload))
	}
}

// finish completes the flow before its last row.
func (c *conn) finish(e *Engine) {
	if c.flow.Proto == decode.ProtoTCP {
		c.tcp.finish(e, c)
	}
	if c.proto != nil {
		c.proto.end(e, c)
		c.proto = nil
	}
	e.finishHead(c)
}

// finishHead fills in what is derived: state, fingerprint, name.
func (e *Engine) finishHead(c *conn) {
	f := &c.flow
	if f.Proto == decode.ProtoTCP {
		f.TCPState, f.History = c.tcp.state(f), e.words.of(c.tcp.history.text())
	}
	if c.first[0].n > 0 || c.first[1].n > 0 {
		f.FirstBytes = e.fingerprint.sum(&c.first)
	}
	e.name(c)
	e.contradicted(c)
}

// contradicted notes what DNS had called the address that the connection has another name for.
func (e *Engine) contradicted(c *conn) {
	f := &c.flow
	if !c.proxied && (f.HostSource == HostSNI || f.HostSource == HostHTTP) {
		f.ToldHost = e.names().contradicts(c.nameKey(), f.Host, f.Start)
	}
}

// name gives the flow the best name known: what the connection itself says, else what a proxy was asked for, else what DNS said.
func (e *Engine) name(c *conn) {
	f := &c.flow
	switch {
	case f.TLS != nil && f.TLS.SNI != "" && f.TLS.ECH != ECHConfigured:
		f.Host, f.HostSource = f.TLS.SNI, HostSNI
	case f.HTTP != nil && f.HTTP.Host != "":
		f.Host, f.HostSource = f.HTTP.Host, HostHTTP
	case c.target != "":
		f.Host, f.HostSource = c.target, HostProxy
	case f.HostSource == HostNone:
		if name, ok := e.told(c); ok {
			f.Host, f.HostSource = name, HostDNS
		} else if f.TLS != nil && f.TLS.Cert != nil && len(f.TLS.Cert.SAN) > 0 {
			f.Host, f.HostSource = f.TLS.Cert.SAN[0], HostCert
		} else if f.TLS != nil && f.TLS.SNI != "" {
			f.Host, f.HostSource = f.TLS.SNI, HostSNI
		}
	}
}

// told returns the name that DNS gave the destination: to this client, or to the host that it is an address of.
func (e *Engine) told(c *conn) (string, bool) {
	names, k := e.names(), c.nameKey()
	name, ok := names.lookup(k, c.flow.Start)
	if ok || !names.resolver.Load() || !e.config.Local(c.flow.Src.Addr()) {
		return name, ok
	}
	return names.lookup(nameKey{thisHost, k.address}, c.flow.Start)
}

// nameKey is what the destination's name is asked for by.
func (c *conn) nameKey() nameKey {
	if c.aIsSrc {
		return keyOf(c.key.a, c.key.b)
	}
	return keyOf(c.key.b, c.key.a)
}

func baseChannel(proto uint8) string {
	switch proto {
	case decode.ProtoTCP:
		return "tcp"
	case decode.ProtoUDP:
		return "udp"
	case decode.ProtoICMP, decode.ProtoICMPv6:
		return "icmp"
	default:
		return "raw"
	}
}
