package dissect

import (
	"slices"

	"netaudit/tap/decode"
)

// TCP flags (RFC 9293 §3.1).
const (
	flagFIN = 1
	flagSYN = 2
	flagRST = 4
	flagACK = 16
)

// tcpSide is one direction of a connection. Sequence numbers wrap; they are compared by their signed difference.
type tcpSide struct {
	known   bool      // next is set
	next    uint32    // the sequence number after the last byte that was counted
	read    uint32    // the sequence number after the last byte that was handed to the protocol
	syn     bool      // its SYN was seen, with sequence number isn
	isn     uint32    //
	synACK  bool      // … which acknowledged another
	fin     bool      //
	told    bool      // acked is set
	acked   uint32    // the largest acknowledgement of the other side beyond next
	holes   []span    // what is missing below next
	pending []segment // what waits above read for a hole to close
	held    int       // bytes in pending

	state, before             endpoint // before: what state was until its last change
	last                      last
	resent, gaps, zeroWindows uint32
}

// span is a range of sequence numbers [from, to).
type span struct{ from, to uint32 }

// segment is payload that came before its predecessor.
type segment struct {
	seq  uint32
	data []byte
}

const (
	mostHoles    = 32       // of one side; the oldest counts as missed for good
	mostHeld     = 64 << 10 // bytes that wait for a hole to close
	mostSegments = 64
)

// tcpState follows a TCP connection.
type tcpState struct {
	sides   [2]tcpSide
	synTime int64
	history history
	closed  bool
}

func (t *tcpState) begin(c *conn, h *decode.Headers, fromInitiator bool) {
	c.flow.MidStream = h.Flags&flagSYN == 0
	if !fromInitiator {
		t.history.add('^')
	}
}

// queue says where the connection waits for its end.
func (t *tcpState) queue() queueName {
	switch {
	case t.closed:
		return queueClosing
	case t.sides[initiator].packets() && t.sides[responder].packets():
		return queueTCP
	default:
		return queueHalfOpen
	}
}

func (s *tcpSide) packets() bool { return s.known }

// reused tells a SYN that begins another connection on the ports of one that is over or was never answered.
func (t *tcpState) reused(c *conn, h *decode.Headers) bool {
	if h.Flags&(flagSYN|flagACK|flagRST) != flagSYN {
		return false
	}
	if t.closed {
		return true
	}
	side := &t.sides[responder]
	if h.Src == c.flow.Src.Addr() && h.SrcPort == c.flow.Src.Port() {
		side = &t.sides[initiator]
	}
	// A retransmitted SYN has the same number; a simultaneous open has a side that is not known yet.
	return side.known && !(side.syn && side.isn == h.Seq) && (side.syn || c.flow.SrcBytes+c.flow.DstBytes > 0) && int32(h.Seq-side.next) != 0
}

// packet follows one segment.
func (t *tcpState) packet(e *Engine, c *conn, h *decode.Headers, side int, now int64) {
	s := &t.sides[side]
	t.flags(c, h, side, now)
	seq := h.Seq
	if h.Flags&flagSYN != 0 {
		seq++
		if !s.known {
			s.known, s.next, s.read = true, seq, seq
		}
	}
	if !s.known {
		s.known, s.next, s.read = true, seq, seq
	}
	if h.Flags&flagACK != 0 { // first: what is acknowledged was said before
		t.acknowledge(e, c, 1-side, h.Ack, h.Flags&(flagSYN|flagRST) == 0, now)
	}
	switch {
	case h.Flags&flagRST != 0:
		t.reason(c, side, h)
	case h.PayloadLength > 0:
		t.segment(e, c, side, seq, h, now)
	case int32(seq-s.next) > 0 && !(s.fin && seq == s.next+1): // what lies before was never seen, other than a FIN, which has a number too
		s.account(c, seq, seq)
	}
	if h.Flags&flagFIN != 0 && !s.fin {
		s.fin = true
	}
	if s.fin && t.sides[1-side].fin || h.Flags&flagRST != 0 {
		t.closed = true
	}
}

// flags notes what the segment's flags say about the connection's state.
func (t *tcpState) flags(c *conn, h *decode.Headers, side int, now int64) {
	s := &t.sides[side]
	if h.Flags&(flagSYN|flagFIN|flagRST) == 0 { // nearly all: it begins and ends nothing
		t.note(side, h)
		if s.state == endpointInactive {
			t.wake(side, h)
		}
		return
	}
	if h.Flags&flagSYN != 0 {
		if ack := h.Flags&flagACK != 0; s.syn && s.isn == h.Seq && s.synACK == ack {
			c.flow.Retransmits++
		} else {
			s.synACK = ack
		}
		switch {
		case h.Flags&flagACK == 0 && c.flow.RTT == 0: // a repeated one: which of them was answered cannot be known, the last one is likelier
			t.synTime = now
		case h.Flags&flagACK != 0 && t.synTime != 0 && c.flow.RTT == 0 && side == responder:
			c.flow.RTT = max(0, now-t.synTime) // a clock may step back in between
		}
	}
	if h.Flags&flagFIN != 0 && s.fin && s.last.fin == h.Seq+uint32(h.PayloadLength) && h.PayloadLength == 0 {
		c.flow.Retransmits++
	}
	t.note(side, h)
	t.step(side, h)
	if h.Flags&flagSYN != 0 {
		s.syn, s.isn = true, h.Seq
	}
}

// reason counts what a reset carries: it belongs to no stream (RFC 9293 §3.5.3), but it is sent.
func (t *tcpState) reason(c *conn, side int, h *decode.Headers) {
	if t.closed { // a repeated one
		return
	}
	if n := uint64(h.PayloadLength); side == initiator {
		c.flow.SrcBytes += n
	} else {
		c.flow.DstBytes += n
	}
}

// segment counts payload once and hands the new part to the protocol in order.
func (t *tcpState) segment(e *Engine, c *conn, side int, seq uint32, h *decode.Headers, now int64) {
	s := &t.sides[side]
	length := uint32(h.PayloadLength)
	end := seq + length
	fresh := s.account(c, seq, end)
	count := &c.flow.SrcBytes
	if side == responder {
		count = &c.flow.DstBytes
	}
	*count += uint64(fresh)
	if fresh == 0 {
		if length > 1 || int32(end-s.next) != 0 { // a keep-alive probe repeats at most the last byte (RFC 9293 §3.8.4)
			c.flow.Retransmits++
			t.scaled(side, 'T', &s.resent)
		}
		return
	}
	c.used(e, side, now, uint64(fresh))
	if c.proto == nil && c.first[side].n == uint8(len(c.first[side].data)) {
		s.read = s.next // nothing more is to be learned: no reassembly
		s.pending, s.held = nil, 0
		return
	}
	t.deliver(e, c, side, seq, h.Payload, now)
}

// account says how many bytes of [seq, end) were not seen before, and keeps the list of holes.
func (s *tcpSide) account(c *conn, seq, end uint32) uint32 {
	fresh := uint32(0)
	if ahead := int32(end - s.next); ahead > 0 {
		from := seq
		if gap := int32(seq - s.next); gap > 0 {
			s.holes = append(s.holes, span{s.next, seq})
			c.flow.MissedBytes += uint64(gap)
			if len(s.holes) > mostHoles {
				s.holes = append(s.holes[:0], s.holes[1:]...)
			}
		} else {
			from = s.next
		}
		fresh = end - from
		s.next = end
	}
	for i := 0; i < len(s.holes) && fresh < end-seq; i++ {
		h := s.holes[i]
		at := int64(int32(h.from - seq)) // all else is told from here: of numbers, half of all apart, none is before the other
		from, to := max(at, 0), min(at+int64(h.to-h.from), int64(end-seq))
		if to <= from {
			continue
		}
		n := min(uint32(to-from), end-seq-fresh) // never more than the segment has, though its numbers came round again
		fresh += n
		c.flow.MissedBytes -= uint64(n)
		left, right := span{h.from, seq + uint32(from)}, span{seq + uint32(to), h.to}
		s.holes = slices.Delete(s.holes, i, i+1)
		for _, rest := range []span{right, left} {
			if rest.from != rest.to {
				s.holes = slices.Insert(s.holes, i, rest)
			}
		}
		if left.from != left.to {
			i++
		}
		if right.from == right.to {
			i--
		}
	}
	return fresh
}

func earlier(a, b uint32) uint32 {
	if int32(a-b) < 0 {
		return a
	}
	return b
}

// deliver hands payload to the protocol in order; what comes too early waits.
func (t *tcpState) deliver(e *Engine, c *conn, side int, seq uint32, data []byte, now int64) {
	s := &t.sides[side]
	if ahead := int32(seq - s.read); ahead > 0 {
		s.hold(seq, data)
		if s.held > mostHeld || len(s.pending) > mostSegments {
			t.skipHole(e, c, side, now)
		}
		return
	} else if skip := -int(ahead); skip >= len(data) { // half of all numbers behind: -ahead has no value of 32 bits
		return
	} else {
		data = data[skip:]
	}
	t.give(e, c, side, data, now)
	t.drain(e, c, side, now)
}

func (t *tcpState) give(e *Engine, c *conn, side int, data []byte, now int64) {
	if len(data) == 0 {
		return // cut by the snap length
	}
	t.sides[side].read += uint32(len(data))
	if side == initiator && c.first[side].n == 0 && c.first[responder].n > 0 {
		e.helloAfterGreeting(c, data)
	}
	c.remember(side, data)
	if c.proto != nil {
		c.proto.data(e, c, side, data, now)
	}
}

// hold keeps a copy of early payload, in the order of sequence numbers.
func (s *tcpSide) hold(seq uint32, data []byte) {
	if len(data) == 0 {
		return
	}
	i := len(s.pending)
	for i > 0 && int32(s.pending[i-1].seq-seq) > 0 {
		i--
	}
	s.pending = slices.Insert(s.pending, i, segment{seq, append([]byte(nil), data...)})
	s.held += len(data)
}

// drain hands out what a closed hole has freed.
func (t *tcpState) drain(e *Engine, c *conn, side int, now int64) {
	s := &t.sides[side]
	for len(s.pending) > 0 {
		p := s.pending[0]
		behind := int32(s.read - p.seq)
		if behind < 0 {
			return
		}
		s.pending = s.pending[1:]
		s.held -= len(p.data)
		if int(behind) < len(p.data) {
			t.give(e, c, side, p.data[behind:], now)
		}
	}
	s.pending = nil
}

// acknowledge learns from the other side's acknowledgement that bytes arrived which the capture never saw, or of which the snap length cut off some. plain says that its segment neither begins nor resets the connection: only such are believed about what was not seen.
func (t *tcpState) acknowledge(e *Engine, c *conn, side int, ack uint32, plain bool, now int64) {
	s := &t.sides[side]
	if ahead := int32(ack - s.next); ahead > 0 && s.known && plain && (!s.told || int32(ack-s.acked) > 0) {
		s.told, s.acked = true, ack
	}
	if !s.known || s.read == s.next || int32(ack-s.read) <= 0 {
		return
	}
	if len(s.pending) > 0 {
		if int32(ack-s.pending[0].seq) >= 0 {
			t.skipHole(e, c, side, now)
		}
		return
	}
	if len(s.holes) > 0 {
		t.scaled(side, 'G', &s.gaps)
	}
	cut := earlier(ack, s.next) - s.read
	s.read += cut
	if c.proto != nil {
		c.proto.gap(e, c, side, int(cut))
	}
}

// skipHole gives up on missing bytes: the protocol is told, then gets what waited behind them.
func (t *tcpState) skipHole(e *Engine, c *conn, side int, now int64) {
	s := &t.sides[side]
	if len(s.pending) == 0 {
		return
	}
	missing := s.pending[0].seq - s.read
	s.read = s.pending[0].seq
	t.scaled(side, 'G', &s.gaps)
	if c.proto != nil {
		c.proto.gap(e, c, side, int(missing))
	}
	t.drain(e, c, side, now)
}

// neverSeen counts what the other side has acknowledged behind the last segment that was seen. It is not counted before the end: an acknowledgement may stand before what it is for in the capture.
func (t *tcpState) neverSeen(c *conn, side int) {
	const largestWindow = 1 << 30 // RFC 7323 §2.3
	s := &t.sides[side]
	n := int32(s.acked - s.next)
	if !s.told || n > largestWindow {
		return
	}
	if s.fin || n == 1 { // a FIN is acknowledged like a byte
		n--
	}
	if n > 0 {
		c.flow.MissedBytes += uint64(n)
		t.scaled(side, 'G', &s.gaps)
	}
}

// finish gives the protocol what still waits behind bytes that never came, and releases memory.
func (t *tcpState) finish(e *Engine, c *conn) {
	for side := range t.sides {
		s := &t.sides[side]
		for len(s.pending) > 0 {
			t.skipHole(e, c, side, c.flow.End)
		}
		t.neverSeen(c, side)
		if s.known && c.proto != nil && s.read != s.next {
			c.proto.gap(e, c, side, int(s.next-s.read)) // cut by the snap length
		}
		s.pending, s.holes = nil, nil
	}
}
