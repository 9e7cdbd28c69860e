package dissect

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

const (
	longestHead   = 32 << 10 // bytes of a request or response head
	longestPath   = 512
	longestAgent  = 256
	longestMethod = 32
	mostHeaders   = 64
	mostPipelined = 32 // requests that wait for their response
)

var httpMethods = []string{
	"GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PROPFIND ", "MKCOL ", "COPY ", "MOVE ", "LOCK ", "UNLOCK ", "REPORT ", "SEARCH ",
	"PROPPATCH ", "NOTIFY ", "SUBSCRIBE ", "UNSUBSCRIBE ", "PURGE ", "MERGE ", "LINK ", "UNLINK ", "MKACTIVITY ", "MKCALENDAR ", "CHECKOUT ", "ACL ", "QUERY ",
}

func isHTTPRequest(b []byte) bool {
	return slices.ContainsFunc(httpMethods, func(m string) bool { return hasAnyPrefix(b, m) })
}

// http2Preface is how a client that knows beforehand begins (RFC 9113 §3.4). The rest of its words are compressed with a table that grows with the connection;
// netaudit says that they are there and does not follow them.
const http2Preface = "PRI * HTTP/2.0\r\n"

// httpStream reads the heads of HTTP/1 requests and responses on one connection (RFC 9112). Bodies are counted off, never kept.
type httpStream struct {
	sides   [2]httpSide
	waiting []*HTTP // requests without a response yet, oldest first
	space   [2]*HTTP
	current *HTTP // whose response body is under way
	tunnel  bool  // after CONNECT was granted: something else speaks
}

// httpSide is one direction: in a head, or somewhere in a body.
type httpSide struct {
	head    []byte
	skip    uint64 // bytes of body, or of a chunk, left
	framing uint64 // how many of them are a chunk's line break
	chunked bool   // a chunked body goes on until its last chunk
	toEnd   bool   // the body lasts until the connection ends
	lost    bool   // out of step: nothing more is read
	body    uint64 // bytes of body so far
}

func newHTTPStream() *httpStream { return &httpStream{} }

func (s *httpStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	d := &s.sides[side]
	for len(b) > 0 && !d.lost {
		switch {
		case s.tunnel:
			s.handOver(e, c, side, b, now)
			return
		case d.toEnd:
			d.body += uint64(len(b))
			b = nil
		case d.skip > 0:
			n := min(d.skip, uint64(len(b)))
			d.consume(n)
			b = b[n:]
		case d.chunked:
			b = d.chunk(b)
		default:
			b = s.headBytes(e, c, side, b, now)
		}
		s.settle(e, c, side, now)
	}
}

// consume counts bytes of a body or chunk.
func (d *httpSide) consume(n uint64) {
	d.skip -= n
	if d.skip < d.framing { // the line break behind a chunk is none of its content
		n -= min(n, d.framing-d.skip)
		d.framing = d.skip
	}
	d.body += n
}

// settle hands out the request whose body, or whose response's body, has ended.
func (s *httpStream) settle(e *Engine, c *conn, side int, now int64) {
	d := &s.sides[side]
	if side == initiator {
		if n := len(s.waiting); n > 0 {
			s.waiting[n-1].RequestBytes = d.body
		}
		return
	}
	if s.current != nil && !d.toEnd && !d.chunked && d.skip == 0 {
		s.finish(e, c, now)
	}
}

func (s *httpStream) finish(e *Engine, c *conn, now int64) {
	h := s.current
	s.current = nil
	h.ResponseBytes, h.End = s.sides[responder].body, max(now, h.Start)
	if f := c.flow.HTTP; f != nil && f.Start == h.Start && f.ResponseBytes == 0 {
		f.RequestBytes, f.ResponseBytes, f.End = h.RequestBytes, h.ResponseBytes, h.End
	}
	e.sink.HTTPRequest(&c.flow, h)
}

// headBytes collects a head until its empty line; it returns what comes after.
func (s *httpStream) headBytes(e *Engine, c *conn, side int, b []byte, now int64) []byte {
	d := &s.sides[side]
	if len(d.head) == 0 {
		b = bytes.TrimLeft(b, "\r\n")
		if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 && i < longestHead { // whole: no copy
			s.headOf(e, c, side, b[:i+4], now)
			return b[i+4:]
		}
	}
	before := len(d.head)
	d.head = append(d.head, b[:min(len(b), longestHead+1-before)]...)
	from := max(0, before-3)
	i := bytes.Index(d.head[from:], []byte("\r\n\r\n"))
	if i < 0 {
		if len(d.head) > longestHead {
			e.damage("http: head too long")
			d.lost, d.head = true, nil
		}
		return nil
	}
	end := from + i + 4
	head := d.head[:end]
	d.head = nil
	s.headOf(e, c, side, head, now)
	return b[end-before:]
}

func (s *httpStream) headOf(e *Engine, c *conn, side int, head []byte, now int64) {
	s.sides[side].body = 0
	if side == initiator {
		s.request(e, c, head, now)
	} else {
		s.response(e, c, head, now)
	}
}

// request reads a request line and its fields (RFC 9112 §3).
func (s *httpStream) request(e *Engine, c *conn, head []byte, now int64) {
	d := &s.sides[initiator]
	line, fields := e.splitHead(head)
	method, rest, ok1 := bytes.Cut(line, []byte(" "))
	target, version, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok1 || !ok2 || len(method) > longestMethod {
		e.damage("http: request line")
		d.lost = true
		return
	}
	h := &HTTP{Method: strings.ToUpper(e.text(method)), Path: e.path(target), Start: now, End: now}
	if v, ok := bytes.CutPrefix(version, []byte("HTTP/")); ok && len(v) <= 3 {
		h.Version = e.text(v)
	}
	h.Host = e.hostWithoutPort(fields.get("Host"))
	h.UserAgent = maskMail(cut(e.text(fields.get("User-Agent")), longestAgent))
	h.Headers = e.headerNames(fields)
	d.bodyOf(fields, false)
	if h.Method == "CONNECT" {
		h.Host, h.Path = e.hostWithoutPort(target), ""
	}
	if c.flow.Direction == Inbound || c.flow.Direction == Local {
		h.Route = route(h.Path)
	}
	if bytes.Equal(fields.get("Content-Type"), []byte("application/dns-message")) || bytes.Contains(fields.get("Accept"), []byte("application/dns-message")) {
		c.flow.Channel = "doh" // RFC 8484
	}
	if c.flow.HTTP == nil {
		first := *h
		c.flow.HTTP = &first
		e.name(c)
	}
	if len(s.waiting) >= mostPipelined {
		e.sink.HTTPRequest(&c.flow, s.waiting[0])
		s.waiting = slices.Delete(s.waiting, 0, 1)
	}
	if s.waiting == nil {
		s.waiting = s.space[:0]
	}
	s.waiting = append(s.waiting, h)
	e.sink.HTTPBegan(&c.flow, h)
}

// response reads a status line (RFC 9112 §4) and completes the oldest request that waits.
func (s *httpStream) response(e *Engine, c *conn, head []byte, now int64) {
	d := &s.sides[responder]
	line, fields := e.splitHead(head)
	version, rest, ok := bytes.Cut(line, []byte(" "))
	status, err := strconv.Atoi(string(rest[:min(len(rest), 3)]))
	if !ok || !bytes.HasPrefix(version, []byte("HTTP/1.")) || err != nil || status < 100 {
		e.damage("http: status line")
		d.lost = true
		return
	}
	if status < 200 && status != 101 {
		return // an interim response; the final one follows
	}
	method := ""
	if len(s.waiting) > 0 {
		h := s.waiting[0]
		s.waiting = slices.Delete(s.waiting, 0, 1)
		h.Status, h.End, method = status, now, h.Method
		if c.flow.HTTP.Status == 0 {
			c.flow.HTTP.Status = status
		}
		s.current = h
	}
	switch {
	case status == 101:
		if bytes.EqualFold(fields.get("Upgrade"), []byte("websocket")) {
			c.flow.Channel = "websocket"
		}
		s.sides[initiator].lost, d.lost = true, true
	case method == "CONNECT" && status < 300:
		s.tunnel = true
	case method == "HEAD" || status == 204 || status == 304:
	default:
		d.bodyOf(fields, true)
	}
}

// bodyOf says how long the body is (RFC 9112 §6.3).
func (d *httpSide) bodyOf(fields headFields, response bool) {
	d.skip, d.framing, d.chunked = 0, 0, false
	if bytes.Contains(bytes.ToLower(fields.get("Transfer-Encoding")), []byte("chunked")) {
		d.chunked = true
		return
	}
	if text := fields.get("Content-Length"); len(text) > 0 {
		n, err := strconv.ParseUint(string(text), 10, 63)
		if err != nil {
			d.lost = true
			return
		}
		d.skip = n
		return
	}
	d.toEnd = response
}

// chunk reads a chunk's size line (RFC 9112 §7.1); the chunk itself is skipped with the line break that ends it.
func (d *httpSide) chunk(b []byte) []byte {
	i := bytes.IndexByte(b, '\n')
	if i < 0 || len(d.head)+i > longestChunkLine {
		d.head = append(d.head, b[:min(len(b), longestChunkLine)]...)
		d.lost = len(d.head) > longestChunkLine
		return nil
	}
	line := append(d.head, b[:i]...)
	d.head = d.head[:0]
	size, _, _ := bytes.Cut(bytes.TrimSpace(line), []byte(";"))
	n, err := strconv.ParseUint(string(size), 16, 62)
	switch {
	case err != nil:
		d.lost = true
	case n == 0:
		d.chunked = false // trailers and the last line break are skipped as the beginning of the next head
	default:
		d.skip, d.framing = n+2, 2
	}
	return b[i+1:]
}

const longestChunkLine = 256

// handOver gives a tunnel's content to whoever recognises it.
func (s *httpStream) handOver(e *Engine, c *conn, side int, b []byte, now int64) {
	if side == initiator && isClientHello(b) {
		c.flow.Channel = "https"
		c.proto = newTLSStream("http-connect")
		c.proto.data(e, c, side, b, now)
		return
	}
	c.proto = nil
}

func (s *httpStream) gap(_ *Engine, _ *conn, side int, n int) {
	d := &s.sides[side]
	if d.skip >= uint64(n) && d.skip > 0 {
		d.consume(uint64(n)) // the gap lies inside a body whose end is known
		return
	}
	d.lost = true
}

func (s *httpStream) end(e *Engine, c *conn) {
	if s.current != nil {
		s.finish(e, c, c.flow.End)
	}
	for _, h := range s.waiting {
		e.sink.HTTPRequest(&c.flow, h)
	}
	s.waiting = nil
}
