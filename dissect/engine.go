package dissect

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"netaudit/dissect/dns"
	"netaudit/tap"
	"netaudit/tap/decode"
)

// Config tunes an Engine. The zero value works.
type Config struct {
	Local          func(netip.Addr) bool // whether an address belongs to the observed host; nil: private ranges do
	FingerprintKey [32]byte              // salt of Flow.FirstBytes
	MaxFlows       int                   // flows at the same time, default 200,000; the next one evicts
	TCPTimeout     time.Duration         // an idle TCP connection ends, default 1 h
	UDPTimeout     time.Duration         // an idle UDP, ICMP or other conversation ends, default 60 s
	OpenTimeout    time.Duration         // a TCP connection that never got an answer ends, default 30 s
	UpdateEvery    time.Duration         // rows of a living flow, default 1 min
	ActiveGap      time.Duration         // quiet after which a further request counts as new use, default 50 ms
	Names          *Names                // shared between engines; nil: an own one
	Sharded        bool                  // flows lie in Shards tables that know nothing of each other, as those of NewTeam do
	RunID          string                // what the flow ids of rows begin with, for Flow.AnnouncedBy
	Failed         func(Failure)         // told of panics that are survived, from the Engine's goroutine; nil: none is
}

const (
	defaultMaxFlows = 200_000
	clockStep       = int64(100 * time.Millisecond) // packets of several processors come out of order by less
	closeLinger     = 3 * time.Second               // how long a closed connection waits for stragglers before its row is written
	expireEvery     = int64(5 * time.Millisecond)   // of capture time: asking at every packet costs more than the packet
	mostLingering   = 1024                          // closed connections that wait, what the processor's second cache holds of them; then the oldest need not any longer,
	stragglerFrames = 2048                          // if so many frames have passed since its last one
)

// Stats counts what an Engine saw since it was made. Read it from the Engine's goroutine.
type Stats struct {
	Packets, Bytes uint64
	Flows, Evicted uint64
	NotIP          uint64            // frames that hold no IP packet: ARP and the like
	Malformed      map[string]uint64 // by "layer: reason"
	ClockSteps     uint64            // packets whose time lies more than 100 ms before an earlier one's
}

// Engine follows flows. One goroutine owns it.
type Engine struct {
	config     Config
	sink       Sink
	table      table
	placement  placement
	queues     [Shards][queueCount]queue
	living     [Shards]int // flows
	conns      pool[conn]
	tls        pool[TLS]
	streams    pool[tlsStream]
	questions  pool[DNS]
	datagrams  pool[dnsDatagrams]
	headers    decode.Headers
	identity   identity // of the packet that headers are from
	underWay   *conn    // whose packet is read or was read last, or who ends; nil when it has ended
	seed       hashSeed
	at         Position // of what is under way
	frame      uint64   // number of the frame that is followed: an earlier one than at.Frame when fragments are given up
	now        int64    // the latest packet or tick time
	nextExpiry int64    // when to look again for what has timed out
	stats      Stats
	malformed  map[*decode.Reason]uint64
	damaged    map[string]uint64 // by protocol parsers
	alien      map[tap.LinkType]uint64

	fingerprint fingerprinter
	fragments   fragments
	dns         dns.Message // of the datagram under way
	hellos      hellos
	words       words
	fields      headFields // of the HTTP head under way
	headerKey   []byte
	headerLists map[string][]string
	zones       *zones
	announced   []*announcements // by shard
	member      *member          // nil when no other engine follows the same frames
}

// New returns an Engine that hands what it finds to sink.
func New(c Config, sink Sink) *Engine {
	if c.Local == nil {
		c.Local = privateAddress
	}
	c.MaxFlows = orDefault(c.MaxFlows, defaultMaxFlows)
	c.TCPTimeout = orDefault(c.TCPTimeout, time.Hour)
	c.UDPTimeout = orDefault(c.UDPTimeout, time.Minute)
	c.OpenTimeout = orDefault(c.OpenTimeout, 30*time.Second)
	c.UpdateEvery = orDefault(c.UpdateEvery, time.Minute)
	c.ActiveGap = orDefault(c.ActiveGap, 50*time.Millisecond)
	if c.Names == nil {
		c.Names = NewNames(0)
	}
	e := &Engine{config: c, sink: sink, placement: placement(c.Sharded), announced: []*announcements{&c.Names.announced}, table: newTable(), seed: newHashSeed(), malformed: map[*decode.Reason]uint64{}, damaged: map[string]uint64{}, fingerprint: newFingerprinter(c.FingerprintKey), words: newWords(), zones: newZones(c.FingerprintKey)}
	for range e.placement.shards() - 1 {
		e.announced = append(e.announced, &announcements{})
	}
	return e
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// privateAddress is the notion of "ours" when nothing else is known: RFC 1918, RFC 4193, loopback, link-local.
func privateAddress(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
}

// Packet follows one frame. It keeps nothing of p.
func (e *Engine) Packet(p *tap.Packet) {
	defer e.survive()
	e.stats.Packets++
	e.stats.Bytes += uint64(p.Length)
	e.begin(e.stats.Packets)
	if p.Time < e.now-clockStep {
		e.stats.ClockSteps++
	}
	e.advance(p.Time)
	e.read(p)
}

// read finds out what a frame holds.
func (e *Engine) read(p *tap.Packet) {
	h := &e.headers
	if err := decode.Decode(p.Link, p.Data, p.Length, h); err != nil {
		if err == decode.ErrLinkType && e.countLink(p.Link) {
			return
		}
		e.count(err)
		if !h.Src.IsValid() || h.Proto == 0 {
			return
		}
	}
	for frame := p; h.Fragment; frame = nil { // what is put together may be a fragment again, inside a tunnel
		if !e.whole(h, frame, p.Time) {
			return
		}
	}
	e.follow(h, p, e.at.Frame)
}

func (e *Engine) begin(frame uint64) {
	e.at, e.underWay = Position{Frame: frame}, nil
	if m := e.member; m != nil {
		m.counts, m.known = m.first, false
	}
}

// follow gives a packet to its conversation. frame is its number.
func (e *Engine) follow(h *decode.Headers, p *tap.Packet, frame uint64) {
	e.at.Step++
	if m := e.member; m != nil && !m.known && !m.mine[e.placement.of(h)] {
		return
	}
	e.frame = frame
	id := &e.identity
	e.seed.identify(h, id)
	c := e.lookup(h, id, p)
	e.underWay = c
	c.packet(e, h, p.Time, id.fromA)
}

// count notes why a frame was not understood.
func (e *Engine) count(err error) {
	reason, ok := err.(*decode.Reason)
	switch {
	case !ok, e.member != nil && !e.member.counts:
	case reason == decode.ErrNoIP:
		e.stats.NotIP++
	default:
		e.malformed[reason]++
	}
}

// mostAlienLinks is how many link types are told apart that are not known: a damaged file may name them all.
const mostAlienLinks = 16

// countLink counts a frame of a link type that is not known; false when there are too many of them to tell apart.
func (e *Engine) countLink(link tap.LinkType) bool {
	if e.member != nil && !e.member.counts {
		return true
	}
	if e.alien == nil {
		e.alien = map[tap.LinkType]uint64{}
	}
	if _, known := e.alien[link]; !known && len(e.alien) >= mostAlienLinks {
		return false
	}
	e.alien[link]++
	return true
}

// damage counts something that a protocol's parser could not read.
func (e *Engine) damage(what string) { e.damaged[what]++ }

// Tick lets time pass while the wire is idle. now is in nanoseconds since the Unix epoch.
func (e *Engine) Tick(now int64) {
	defer e.survive()
	e.underWay = nil
	e.advance(now)
}

// advance moves the clock forward, never back, and ends what has timed out.
func (e *Engine) advance(now int64) {
	if now <= e.now {
		return
	}
	e.now = now
	if now < e.nextExpiry {
		return
	}
	e.nextExpiry = now + expireEvery
	e.expireFragments(now)
	for shard := range e.placement.shards() {
		e.at.Step++
		for i := range e.queues[shard] {
			q, limit := &e.queues[shard][i], now-int64(e.timeout(queueName(i)))
			for c := q.oldest(); c != nil && c.lastSeen < limit; c = q.oldest() {
				e.end(c)
			}
		}
	}
}

func (e *Engine) timeout(q queueName) time.Duration {
	switch q {
	case queueClosing:
		return closeLinger
	case queueHalfOpen:
		return e.config.OpenTimeout
	case queueTCP:
		return e.config.TCPTimeout
	default:
		return e.config.UDPTimeout
	}
}

// end writes a flow's last row and forgets it.
func (e *Engine) end(c *conn) {
	e.underWay = c
	e.queues[c.shard][c.queue].remove(c)
	e.living[c.shard]--
	e.table.remove(c)
	c.finish(e)
	c.flow.State = StateClosed
	e.sink.FlowClosed(&c.flow)
	if c.flow.TLS != nil {
		e.tls.give(c.flow.TLS)
	}
	if c.stream != nil {
		e.streams.give(c.stream)
	}
	e.conns.give(c)
	e.underWay = nil
}

// Close hands out every flow that is still open, of those that were quiet longest in their queues the one that was opened first.
func (e *Engine) Close() {
	for e.fragments.oldest.Front() != nil {
		e.closeFragments()
	}
	e.begin(closed)
	if e.member != nil {
		e.member.last()
	}
	for {
		var first *conn
		for shard := range e.placement.shards() {
			for i := range e.queues[shard] {
				if c := e.queues[shard][i].oldest(); c != nil && (first == nil || c.flow.ID < first.flow.ID) {
					first = c
				}
			}
		}
		if first == nil {
			return
		}
		e.closeFlow(first)
	}
}

func (e *Engine) closeFragments() {
	defer e.survive()
	e.begin(closing)
	e.expireFragments(math.MaxInt64)
}

func (e *Engine) closeFlow(c *conn) {
	defer e.survive()
	e.at.Step = c.flow.ID
	e.end(c)
}

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Malformed = make(map[string]uint64, len(e.malformed)+len(e.damaged))
	for reason, n := range e.malformed {
		s.Malformed[reason.Error()] = n
	}
	for what, n := range e.damaged {
		s.Malformed[what] = n
	}
	for link, n := range e.alien {
		s.Malformed[fmt.Sprintf("link: type %d not known", link)] = n
	}
	return s
}
