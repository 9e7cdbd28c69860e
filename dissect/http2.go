package dissect

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// http2Stream reads the requests of HTTP/2 in the clear (RFC 9113). Names and values of fields are compressed with a table that grows with what a side sends (RFC 7541): behind a loss within them nothing more of
// that side can be read. Contents are counted off, never kept.
type http2Stream struct {
	sides [2]http2Side
	open  []*http2Request // whose response has not ended, oldest first
}

// http2Request is a request and what is known of its stream.
type http2Request struct {
	http  *HTTP
	id    uint32
	ended [2]bool
}

// http2Side is one direction: in a frame that is read, or in one that is passed over.
type http2Side struct {
	preface int    // bytes left of what the client begins with
	frame   []byte // of a frame that is not whole yet
	skip    int    // bytes left of one that is not read
	table   *hpack.Decoder
	fields  headFields // of the head under way
	held    int        // bytes of them
	stream  uint32     // that they belong to, 0: nobody reads them
	last    bool       // nothing follows them in their stream
	lost    bool       // nothing more is read
}

const (
	http2Start   = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // RFC 9113 §3.4
	http2Preface = "PRI * HTTP/2.0\r\n"               // what of it is enough to know it
	http2Header  = 9
	http2Table   = 4096 // bytes of a table, as long as nobody asks for more (RFC 7541 §4.2); who does is not followed
	mostStreams  = 128  // requests at the same time; then the oldest is handed out
	usualFrame   = 1024 // bytes of a frame that is read; the room for a longer one is not kept
)

// Types and flags of frames (RFC 9113 §6).
const (
	http2Data, http2Headers, http2Reset, http2Push, http2Continuation = 0, 1, 3, 5, 9

	http2EndStream, http2EndHeaders, http2Padded, http2Priority = 0x01, 0x04, 0x08, 0x20
)

// newHTTP2Stream begins with the client's preface, which may be the next bytes or lie behind an upgrade.
func newHTTP2Stream() *http2Stream {
	s := &http2Stream{}
	s.sides[initiator].preface = len(http2Start)
	for i := range s.sides {
		d := &s.sides[i]
		d.table = hpack.NewDecoder(http2Table, func(f hpack.HeaderField) {
			if d.held += len(f.Name) + len(f.Value); d.held <= longestHead && len(d.fields) < 2*mostHeaders { // one byte may stand for a field of the whole table
				d.fields = append(d.fields, headField{[]byte(f.Name), []byte(f.Value)})
			}
		})
		d.table.SetMaxStringLength(longestHead)
	}
	return s
}

// upgraded awaits the answer to the request that asked for HTTP/2: it comes in the first stream (RFC 7540 §3.2). That request has its row already.
func (s *http2Stream) upgraded(now int64) {
	s.open = append(s.open, &http2Request{http: &HTTP{Version: "2", Start: now}, id: 1, ended: [2]bool{initiator: true}})
}

func (s *http2Stream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	d := &s.sides[side]
	for len(b) > 0 && !d.lost {
		if n := min(max(d.preface, d.skip), len(b)); n > 0 {
			d.preface, d.skip = max(0, d.preface-n), max(0, d.skip-n)
			b = b[n:]
			continue
		}
		n := min(d.need()-len(d.frame), len(b))
		d.frame = append(d.frame, b[:n]...)
		b = b[n:]
		need := d.need()
		if need > http2Header+longestHead {
			s.give(e, c, "http2: head too long")
			return
		}
		if len(d.frame) < need {
			continue
		}
		if !s.frame(e, c, side, d.frame, now) {
			s.give(e, c, "http2: frame")
			return
		}
		if d.frame = d.frame[:0]; cap(d.frame) > usualFrame {
			d.frame = nil
		}
	}
}

// need is how many bytes of a frame are read: all of those with fields, of others the header, and how much padding there is.
func (d *http2Side) need() int {
	if len(d.frame) < http2Header {
		return http2Header
	}
	length := frameLength(d.frame)
	switch kind := d.frame[3]; {
	case kind == http2Headers || kind == http2Push || kind == http2Continuation:
		return http2Header + length
	case kind == http2Data && d.frame[4]&http2Padded != 0 && length > 0:
		return http2Header + 1
	}
	return http2Header
}

func frameLength(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

// frame reads what need says; false means that the sides no longer understand each other, or that we do not.
func (s *http2Stream) frame(e *Engine, c *conn, side int, b []byte, now int64) bool {
	const mask = 1<<31 - 1
	d := &s.sides[side]
	kind, flags, id, body := b[3], b[4], binary.BigEndian.Uint32(b[5:])&mask, b[http2Header:]
	d.skip = frameLength(b) - len(body)
	switch kind {
	case http2Data:
		content := d.skip
		if len(body) > 0 {
			content -= min(content, int(body[0]))
		}
		s.content(e, c, side, id, content, flags&http2EndStream != 0, now)
	case http2Headers, http2Push:
		body, ok := withoutPadding(body, flags)
		before := 0 // bytes in front of the fields
		if kind == http2Push {
			before, id = 4, 0
		} else if flags&http2Priority != 0 {
			before = 5
		}
		if !ok || len(body) < before {
			return false
		}
		d.forget()
		d.stream, d.last = id, flags&http2EndStream != 0
		return s.block(e, c, side, body[before:], flags, now)
	case http2Continuation:
		return s.block(e, c, side, body, flags, now)
	case http2Reset:
		s.over(e, c, id, now)
	}
	return true
}

// withoutPadding takes off what hides the length of a frame's content (RFC 9113 §6.2).
func withoutPadding(b []byte, flags byte) ([]byte, bool) {
	if flags&http2Padded == 0 {
		return b, true
	}
	if len(b) == 0 || int(b[0]) > len(b)-1 {
		return nil, false
	}
	return b[1 : len(b)-int(b[0])], true
}

// block decompresses a part of a head.
func (s *http2Stream) block(e *Engine, c *conn, side int, b []byte, flags byte, now int64) bool {
	d := &s.sides[side]
	if _, err := d.table.Write(b); err != nil {
		return false
	}
	if flags&http2EndHeaders == 0 {
		return true
	}
	if d.table.Close() != nil {
		return false
	}
	r := s.request(d.stream)
	switch {
	case d.stream == 0:
	case side == responder && r == nil && s.sides[initiator].lost && len(s.open) < mostStreams:
		r = &http2Request{http: &HTTP{Version: "2", Start: now}, id: d.stream, ended: [2]bool{initiator: true}}
		s.open = append(s.open, r)
		s.answer(c, r, d.fields, now)
	case side == initiator && r == nil:
		s.begin(e, c, d, now)
	case side == responder && r != nil:
		s.answer(c, r, d.fields, now)
	}
	d.forget()
	if d.last {
		s.content(e, c, side, d.stream, 0, true, now)
	}
	return true
}

// forget lets go of a head.
func (d *http2Side) forget() {
	clear(d.fields)
	d.fields, d.held = d.fields[:0], 0
}

// request finds what a stream was opened for, nil when it is not open.
func (s *http2Stream) request(id uint32) *http2Request {
	for _, r := range s.open {
		if r.id == id {
			return r
		}
	}
	return nil
}

// begin reads a request (RFC 9113 §8.3.1).
func (s *http2Stream) begin(e *Engine, c *conn, d *http2Side, now int64) {
	method := d.fields.get(":method")
	if len(method) == 0 || len(method) > longestMethod || !isMethod(method) {
		e.damage("http2: request")
		return
	}
	authority := d.fields.get(":authority")
	if len(authority) == 0 {
		authority = d.fields.get("host")
	}
	h := &HTTP{Version: "2", Method: strings.ToUpper(e.text(method)), Host: e.hostWithoutPort(authority), Path: e.path(d.fields.get(":path")), Start: now, End: now}
	if h.Method == "CONNECT" && len(h.Path) == 0 {
		c.proxied = true
	}
	if len(s.open) >= mostStreams {
		s.over(e, c, s.open[0].id, now)
	}
	s.open = append(s.open, &http2Request{http: h, id: d.stream})
	fields := slices.DeleteFunc(slices.Clone(d.fields), func(f headField) bool { return bytes.HasPrefix(f.name, []byte(":")) })
	e.beginRequest(c, h, fields)
}

// answer reads the head of a response; those before the final one, and what follows its content, say nothing that is kept.
func (s *http2Stream) answer(c *conn, r *http2Request, fields headFields, now int64) {
	status, err := strconv.Atoi(string(fields.get(":status")))
	if err != nil || status < 200 || status > 999 {
		return
	}
	r.http.Status, r.http.End = status, now
	if f := c.flow.HTTP; f != nil && f.Status == 0 && f.Start == r.http.Start {
		f.Status = status
	}
}

// content counts the bytes of a body, and hands the request out when both sides have ended.
func (s *http2Stream) content(e *Engine, c *conn, side int, id uint32, n int, last bool, now int64) {
	r := s.request(id)
	if r == nil {
		return
	}
	if side == initiator {
		r.http.RequestBytes += uint64(n)
	} else {
		r.http.ResponseBytes += uint64(n)
	}
	if r.ended[side] = r.ended[side] || last; (r.ended[initiator] || s.sides[initiator].lost) && r.ended[responder] {
		s.over(e, c, id, now)
	}
}

// over hands a request out.
func (s *http2Stream) over(e *Engine, c *conn, id uint32, now int64) {
	i := slices.IndexFunc(s.open, func(r *http2Request) bool { return r.id == id })
	if i < 0 {
		return
	}
	h := s.open[i].http
	s.open = slices.Delete(s.open, i, i+1)
	h.End = max(now, h.Start)
	if f := c.flow.HTTP; f != nil && f.Start == h.Start && f.Method == h.Method && f.ResponseBytes == 0 {
		f.RequestBytes, f.ResponseBytes, f.End = h.RequestBytes, h.ResponseBytes, h.End
	}
	if h.Method != "" || h.Status != 0 {
		e.sink.HTTPRequest(&c.flow, h)
	}
}

// give stops reading.
func (s *http2Stream) give(e *Engine, c *conn, why string) {
	e.damage(why)
	s.end(e, c)
	c.proto = nil
}

// gap goes on within a frame that is not read, else with the other side alone: of answers whose requests are lost the statuses are told.
func (s *http2Stream) gap(e *Engine, c *conn, side int, n int) {
	d := &s.sides[side]
	if d.skip >= n {
		d.skip -= n
		return
	}
	d.lost, d.frame, d.fields = true, nil, nil
	if s.sides[1-side].lost {
		s.end(e, c)
		c.proto = nil
	}
}

func (s *http2Stream) end(e *Engine, c *conn) {
	for len(s.open) > 0 {
		s.over(e, c, s.open[0].id, c.flow.End)
	}
}
