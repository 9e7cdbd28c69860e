package dissect

import "netaudit/tap/decode"

// protocol reads the payload of one conversation. data gets the bytes of one side in order (for UDP: one datagram a call), at least one; gap says
// that bytes of a side are missing; end is called once, before the last row. A protocol that has learned all it can sets
// conn.proto to nil.
type protocol interface {
	data(e *Engine, c *conn, side int, b []byte, now int64)
	gap(e *Engine, c *conn, side int, n int)
	end(e *Engine, c *conn)
}

// firstProtocol chooses who reads the first payload.
func (e *Engine) firstProtocol(c *conn) protocol {
	f := &c.flow
	if e.announced[c.shard].claim(c) {
		if f.Proto == decode.ProtoUDP {
			return nil
		}
		return &lateLook{hellos: true} // whoever encrypts there shall be seen
	}
	switch f.Proto {
	case decode.ProtoTCP:
		if f.Dst.Port() == 53 {
			return &dnsStream{}
		}
		return firstLook{}
	case decode.ProtoUDP:
		switch f.Dst.Port() {
		case 53, 5353, 5355:
			f.Channel = "dns"
			return e.newDNSDatagrams()
		case 123:
			return ntpDatagram{}
		}
		return firstDatagram{}
	}
	return nil
}

// mostDetect is how many bytes of a side are looked at before a stream counts as unknown. A ClientHello with post-quantum keys
// has about 2 kB; none is larger than this.
const mostDetect = 16 << 10

// mostChunks bounds the pieces in which the first bytes come: whoever sends one byte at a time is not waited for.
const mostChunks = 64

// firstLook reads the first payload of a TCP connection: mostly it tells the protocol by itself, and nothing need be kept. It has no state: all
// conversations share it.
type firstLook struct{}

func (firstLook) data(e *Engine, c *conn, side int, b []byte, now int64) {
	if e.announced[c.shard].claim(c) { // another engine, or a later packet of a shuffled capture, has said so only now
		c.proto = &lateLook{hellos: true}
		c.proto.data(e, c, side, b, now)
		return
	}
	p := place{port: c.flow.Dst.Port()}
	p.sides[side] = b
	next, undecided := p.recognise(e, c)
	switch {
	case undecided:
		next = &detector{place: place{port: p.port}}
	case next == nil:
		next = unknown(c)
	}
	c.proto = next
	if next != nil {
		next.data(e, c, side, b, now)
	}
}

func (firstLook) gap(_ *Engine, c *conn, _ int, _ int) { c.proto = &lateLook{} }
func (firstLook) end(*Engine, *conn)                   {}

// unknown is who reads on when the first bytes told nothing. Of a connection whose beginning was there, only a hello can still tell something.
func unknown(c *conn) protocol {
	if c.flow.Channel != "tcp" {
		return nil
	}
	return &lateLook{hellos: !c.flow.MidStream}
}

// detector waits until the first bytes tell the protocol, then hands everything over.
type detector struct {
	place
	order []int // which side spoke, chunk by chunk, as indexes into ends
	ends  []int // length of the side's buffer after each chunk
}

func (d *detector) data(e *Engine, c *conn, side int, b []byte, now int64) {
	if len(d.sides[side])+len(b) > mostDetect || len(d.order) > mostChunks {
		c.proto = unknown(c)
		return
	}
	d.sides[side] = append(d.sides[side], b...)
	d.order = append(d.order, side)
	d.ends = append(d.ends, len(d.sides[side]))
	next, undecided := d.recognise(e, c)
	if undecided && c.silent(1-side) && (side == initiator && isClientHello(b) || side == responder && isServerTLS(nil, b)) { // in a capture of one direction the other's words are not waited for
		c.proto = unknown(c)
		c.proto.data(e, c, side, b, now)
		return
	}
	if undecided {
		return
	}
	if c.proto = next; next == nil {
		c.proto = unknown(c)
	}
	d.replay(e, c, now)
}

// silent says that the capture has nothing of a side.
func (c *conn) silent(side int) bool {
	return side == initiator && c.flow.SrcPackets == 0 || side == responder && c.flow.DstPackets == 0
}

// replay hands what was kept to the protocol in the order in which it came.
func (d *detector) replay(e *Engine, c *conn, now int64) {
	var given [2]int
	for i, side := range d.order {
		if c.proto == nil {
			return
		}
		chunk := d.sides[side][given[side]:d.ends[i]]
		given[side] = d.ends[i]
		c.proto.data(e, c, side, chunk, now)
	}
}

func (d *detector) gap(e *Engine, c *conn, _ int, _ int) {
	c.proto = &lateLook{}
	d.replay(e, c, c.flow.End)
}

// end lets those decide who would have waited for more.
func (d *detector) end(e *Engine, c *conn) {
	d.final = true
	if c.proto, _ = d.recognise(e, c); c.proto != nil {
		d.replay(e, c, c.flow.End)
	}
	if c.proto != nil {
		c.proto.end(e, c)
	}
}
