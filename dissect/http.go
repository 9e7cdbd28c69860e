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

// isHTTPRequest knows the common methods by the beginning of what they ask for, others by the whole request line.
func isHTTPRequest(b []byte) bool {
	for _, method := range httpMethods {
		if target, ok := bytes.CutPrefix(b, []byte(method)); ok && len(target) > 0 {
			return beginsTarget(target, method == "CONNECT ") || isRequestLine(b)
		}
	}
	return isRequestLine(b)
}

// beginsTarget knows the forms of a request's target (RFC 9112 §3.2). Other protocols have commands of the same names: Redis GET, NATS CONNECT.
func beginsTarget(b []byte, authority bool) bool {
	if authority {
		return b[0] == '[' || b[0] >= '0' && b[0] <= '9' || b[0] >= 'a' && b[0] <= 'z' || b[0] >= 'A' && b[0] <= 'Z'
	}
	const web = "http"
	n := min(len(b), len(web)) // more may come
	scheme, _, ok := bytes.Cut(b[:min(len(b), longestScheme+len("://"))], []byte("://"))
	return b[0] == '/' || b[0] == '*' || hasPrefixFold(b, web[:n]) || ok && isScheme(scheme) && !hasPrefixFold(b, "rtsp") && !hasPrefixFold(b, "icap")
}

// longestScheme bounds the scheme of a target in bytes: proxies are asked for few others than http, https and ftp.
const longestScheme = 16

// isScheme knows the first part of a URI (RFC 3986 §3.1).
func isScheme(b []byte) bool {
	for i, c := range b {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return len(b) > 0 && len(b) <= longestScheme
}

// isRequestLine knows a whole request line (RFC 9112 §3).
func isRequestLine(b []byte) bool {
	line, _, whole := bytes.Cut(b[:min(len(b), longestHead)], []byte("\n"))
	if !whole {
		return false
	}
	method, _, version, ok := splitRequestLine(bytes.TrimSuffix(line, []byte("\r")))
	return ok && len(method) > 0 && isMethod(method) && (string(version) == "HTTP/1.1" || string(version) == "HTTP/1.0")
}

// mayBeRequestLine knows the beginning of a request line whose end is not there yet.
func mayBeRequestLine(b []byte) bool {
	method, rest, ok := bytes.Cut(b, []byte(" "))
	rest = bytes.TrimLeft(rest, " ")
	scheme, _, _ := bytes.Cut(rest, []byte(":"))
	return ok && len(method) > 0 && len(method) <= longestMethod && isMethod(method) && len(rest) > 0 && (rest[0] == '/' || isScheme(scheme)) && bytes.IndexByte(rest, '\n') < 0
}

// isMethod knows a word that can be one: servers exist that take small letters.
func isMethod(b []byte) bool {
	for _, c := range b {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// httpStream reads the heads of HTTP/1 requests and responses on one connection (RFC 9112). Bodies are counted off, never kept.
type httpStream struct {
	sides    [2]httpSide
	waiting  []*HTTP // requests without a response yet, oldest first
	gone     int     // … that were handed out already: their responses are nobody's
	space    [2]*HTTP
	current  *HTTP  // whose response body is under way
	early    bool   // … or is there already, and the request's body is not
	upgrade  bool   // another protocol follows that is not read
	version2 bool   // HTTP/2 does
	tunnel   bool   // after CONNECT was granted: something else speaks
	port     uint16 // that CONNECT asked for
}

// httpSide is one direction: in a head, or somewhere in a body.
type httpSide struct {
	head    []byte
	skip    uint64 // bytes of body, or of a chunk, left
	framing uint64 // how many of them are a chunk's line break
	chunked bool   // a chunked body goes on until its last chunk
	trailer bool   // fields behind the last chunk, until an empty line
	toEnd   bool   // the body lasts until the connection ends
	expects bool   // whether the body comes is for the server to say (RFC 9110 §10.1.1)
	lost    bool   // out of step: nothing is read until a segment begins with a head
	body    uint64 // bytes of body so far
}

func newHTTPStream() *httpStream { return &httpStream{} }

func (s *httpStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	d := &s.sides[side]
	if d.lost {
		s.regain(e, c, side, b)
	}
	if len(b) > 0 && s.overTLS(e, c, side, b, now) {
		return
	}
	if d.expects && s.early && d.body == 0 && isHTTPRequest(b) { // the server did not want the body
		*d = httpSide{}
	}
	for len(b) > 0 && !d.lost {
		switch {
		case s.version2, side == initiator && len(d.head) == 0 && !d.inBody() && hasAnyPrefix(b, http2Preface):
			s.end(e, c)
			next := newHTTP2Stream()
			if s.version2 {
				next.upgraded(now)
			}
			c.proto = next
			next.data(e, c, side, b, now)
			return
		case s.upgrade:
			s.end(e, c)
			c.proto = behindGap("http") // TLS may follow (RFC 2817)
			c.proto.data(e, c, side, b, now)
			return
		case s.tunnel:
			s.end(e, c)
			c.proto = &detector{place: place{port: s.port, through: "http-connect"}}
			c.proto.data(e, c, side, b, now)
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
		case d.trailer:
			b = d.trailerLine(b)
		default:
			b = s.headBytes(e, c, side, b, now)
		}
		s.settle(e, c, side, now)
	}
}

// overTLS gives the word to TLS when a side begins with a hello where a head could be: what led there is not in a capture that has one direction alone.
func (s *httpStream) overTLS(e *Engine, c *conn, side int, b []byte, now int64) bool {
	d := &s.sides[side]
	if s.tunnel || s.upgrade || d.inBody() || len(d.head) > 0 || side == initiator && !isClientHello(b) || side == responder && !isServerTLS(nil, b) {
		return false
	}
	through := ""
	switch n := len(s.waiting); {
	case side == initiator && n > 0 && s.waiting[n-1].Method == "CONNECT":
		through = "http-connect"
	case side == responder && s.current != nil && s.current.Method == "": // the request is missing
		through = "http-connect"
		c.proxied = true
	case side == responder:
		return false
	}
	s.end(e, c)
	c.proto = e.newTLSStream(c, through)
	c.proto.data(e, c, side, b, now)
	return true
}

// regain finds the way back after a loss: the next head is believed where a segment begins with one. Of the requests that wait, only the last can be the one that the
// next response is for.
func (s *httpStream) regain(e *Engine, c *conn, side int, b []byte) {
	if side == initiator && isRequestLine(b) {
		s.sides[side] = httpSide{}
	}
	if side == responder && hasAnyPrefix(b, "HTTP/1.1 ", "HTTP/1.0 ") {
		s.sides[side] = httpSide{}
		for len(s.waiting) > 1 {
			e.sink.HTTPRequest(&c.flow, s.waiting[0])
			s.waiting = slices.Delete(s.waiting, 0, 1)
		}
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
		} else if s.current != nil { // the server answers before it has heard everything
			s.current.RequestBytes = d.body
		}
		if s.early && !d.inBody() {
			s.finish(e, c, now)
		}
		return
	}
	if s.current == nil || d.toEnd || d.inBody() {
		return
	}
	if s.early = len(s.waiting) == 0 && s.sides[initiator].inBody(); !s.early { // what is sent on after the answer counts too
		s.finish(e, c, now)
	}
}

// inBody says that more of a body whose end is known will come.
func (d *httpSide) inBody() bool { return d.skip > 0 || d.chunked || d.trailer }

func (s *httpStream) finish(e *Engine, c *conn, now int64) {
	h := s.current
	s.current, s.early = nil, false
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
		if n := headEnd(b); n > 0 && n <= longestHead { // whole: no copy
			s.headOf(e, c, side, b[:n], now)
			return b[n:]
		}
		if len(b) > 0 && !mayBeginHead(side, b) {
			e.damage(headDamage[side])
			d.lost = true
			return nil
		}
	} else if side == initiator && isNewRequest(d.head, b) {
		e.damage(headDamage[side])
		d.head = nil
		return s.headBytes(e, c, side, b, now)
	}
	before := len(d.head)
	d.head = append(d.head, b[:min(len(b), longestHead+1-before)]...)
	from := max(0, before-3)
	n := headEnd(d.head[from:])
	if n == 0 {
		if len(d.head) > longestHead {
			e.damage("http: head too long")
			d.lost, d.head = true, nil
		}
		return nil
	}
	head := d.head[:from+n]
	d.head = nil
	s.headOf(e, c, side, head, now)
	return b[from+n-before:]
}

var headDamage = [2]string{"http: request line", "http: status line"}

// mayBeginHead says that bytes can be the beginning of a head: of what is sent behind a body without being announced most can not.
func mayBeginHead(side int, b []byte) bool {
	if side == responder {
		const version = "HTTP/1."
		return string(b[:min(len(b), len(version))]) == version[:min(len(b), len(version))]
	}
	method, _, _ := bytes.Cut(b[:min(len(b), longestMethod+1)], []byte(" "))
	return len(method) <= longestMethod && isMethod(method)
}

// isNewRequest says that a segment begins with a request that does not go on with what is there of a head: a word without an end, which was sent behind a body without being announced.
func isNewRequest(head, b []byte) bool {
	if len(head) > longestMethod || bytes.IndexByte(head, ' ') >= 0 || !isHTTPRequest(b) || !isRequestLine(b) {
		return false
	}
	method, _, _ := bytes.Cut(b, []byte(" "))
	return isCommonMethod(method) && !isCommonMethod(slices.Concat(head, method))
}

func isCommonMethod(b []byte) bool { return slices.Contains(httpMethods, string(b)+" ") }

// headEnd is where a head ends: behind the first empty line, 0 when there is none. Lines may end without a carriage return (RFC 9112 §2.2).
func headEnd(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return 0
		}
		at += i + 1
		if bytes.HasPrefix(b[at:], []byte("\r\n")) {
			return at + 2
		}
		if bytes.HasPrefix(b[at:], []byte("\n")) {
			return at + 1
		}
	}
}

func (s *httpStream) headOf(e *Engine, c *conn, side int, head []byte, now int64) {
	if s.current != nil && (side == responder || s.early) { // the end of a body was lost
		s.finish(e, c, now)
	}
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
	method, target, version, ok := readRequestLine(line)
	if !ok {
		e.damage(headDamage[initiator])
		d.lost = true
		return
	}
	h := &HTTP{Method: strings.ToUpper(e.text(method)), Path: e.path(target), Start: now, End: now, Version: e.text(version)}
	h.Host = e.hostWithoutPort(fields.get("Host"))
	if authority := authorityOf(target); len(authority) > 0 { // to a proxy: what the request line says counts (RFC 9112 §3.2.2)
		h.Host, c.proxied = e.hostWithoutPort(authority), true
	}
	d.bodyOf(fields, false)
	d.expects = bytes.EqualFold(fields.get("Expect"), []byte("100-continue"))
	if h.Method == "CONNECT" {
		h.Host, h.Path, s.port, c.proxied = e.hostWithoutPort(target), "", portOf(target), true
	}
	if len(s.waiting) >= mostPipelined {
		e.sink.HTTPRequest(&c.flow, s.waiting[0])
		s.waiting = slices.Delete(s.waiting, 0, 1)
		s.gone++
	}
	if s.waiting == nil {
		s.waiting = s.space[:0]
	}
	s.waiting = append(s.waiting, h)
	e.beginRequest(c, h, fields)
}

// beginRequest completes what is told of a request when its head is there. The first one of a flow names it.
func (e *Engine) beginRequest(c *conn, h *HTTP, fields headFields) {
	h.UserAgent = maskMail(cut(e.text(fields.get("User-Agent")), longestAgent))
	h.Headers = e.headerNames(fields)
	if c.flow.Direction == Inbound || c.flow.Direction == Local {
		h.Route = route(h.Path)
	}
	if bytes.Equal(fields.get("Content-Type"), []byte("application/dns-message")) || bytes.Contains(fields.get("Accept"), []byte("application/dns-message")) {
		c.flow.Channel = "doh" // RFC 8484
	}
	if c.flow.HTTP == nil || c.flow.HTTP.Method == "" {
		first := *h
		c.flow.HTTP = &first
		e.name(c)
		e.contradicted(c) // rows of requests come before the flow's
	}
	e.sink.HTTPBegan(&c.flow, h)
}

// splitRequestLine takes a request line apart. Servers pass over more than one space between its parts (RFC 9112 §3).
func splitRequestLine(line []byte) (method, target, version []byte, ok bool) {
	line = bytes.TrimRight(line, " \t")
	method, rest, _ := bytes.Cut(line, []byte(" "))
	last := bytes.LastIndexByte(rest, ' ')
	if len(method) > longestMethod || last < 0 {
		return nil, nil, nil, false
	}
	target, version = bytes.Trim(rest[:last], " \t"), rest[last+1:]
	return method, target, version, len(target) > 0
}

// readRequestLine is splitRequestLine for lines without a version, too: those of HTTP/0.9.
func readRequestLine(line []byte) (method, target, version []byte, ok bool) {
	const longestVersion = 3
	method, target, version, ok = splitRequestLine(line)
	if number, named := bytes.CutPrefix(version, []byte("HTTP/")); ok && named && len(number) <= longestVersion {
		return method, target, number, isMethod(method)
	}
	method, target, _ = bytes.Cut(bytes.TrimRight(line, " \t"), []byte(" "))
	target = bytes.TrimLeft(target, " \t")
	return method, target, []byte("0.9"), len(target) > 0 && isCommonMethod(method) && beginsTarget(target, false)
}

// response reads a status line (RFC 9112 §4) and completes the oldest request that waits.
func (s *httpStream) response(e *Engine, c *conn, head []byte, now int64) {
	d := &s.sides[responder]
	line, fields := e.splitHead(head)
	version, rest, ok := bytes.Cut(line, []byte(" "))
	status, err := strconv.Atoi(string(rest[:min(len(rest), 3)]))
	if !ok || !bytes.HasPrefix(version, []byte("HTTP/1.")) || err != nil || status < 100 {
		e.damage(headDamage[responder])
		d.lost = true
		return
	}
	if status < 200 && status != 101 {
		return // an interim response; the final one follows
	}
	method := ""
	switch {
	case s.gone > 0:
		s.gone--
	case len(s.waiting) > 0:
		h := s.waiting[0]
		s.waiting = slices.Delete(s.waiting, 0, 1)
		h.Status, h.End, method = status, now, h.Method
		if c.flow.HTTP.Status == 0 {
			c.flow.HTTP.Status = status
		}
		s.current = h
	default: // the capture began later than the request, or has this direction alone
		s.current = &HTTP{Version: e.text(version[len("HTTP/"):]), Status: status, Start: now, End: now}
		if c.flow.HTTP == nil {
			first := *s.current
			c.flow.HTTP = &first
		}
	}
	switch {
	case status == 101:
		if bytes.EqualFold(fields.get("Upgrade"), []byte("websocket")) {
			c.flow.Channel = "websocket"
		}
		s.version2 = bytes.EqualFold(fields.get("Upgrade"), []byte("h2c")) // RFC 7540 §3.2
		s.upgrade = !s.version2
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
		text, _, _ = bytes.Cut(text, []byte(",")) // the same value repeated (RFC 9112 §6.3)
		n, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 63)
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
	size, _, _ := bytes.Cut(line, []byte(";"))
	n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 62)
	switch {
	case err != nil:
		d.lost = true
	case n == 0:
		d.chunked, d.trailer = false, true
	default:
		d.skip, d.framing = n+2, 2
	}
	return b[i+1:]
}

const longestChunkLine = 256

// trailerLine skips a line of the trailer section (RFC 9112 §7.1.2); the empty one ends it.
func (d *httpSide) trailerLine(b []byte) []byte {
	i := bytes.IndexByte(b, '\n')
	if i < 0 || len(d.head)+i > longestHead {
		d.head = append(d.head, b[:min(len(b), longestHead)]...)
		d.lost = len(d.head) > longestHead
		return nil
	}
	line := append(d.head, b[:i]...)
	d.head = d.head[:0]
	d.trailer = len(bytes.TrimRight(line, "\r")) > 0
	return b[i+1:]
}

func (s *httpStream) gap(e *Engine, c *conn, side int, n int) {
	d := &s.sides[side]
	switch {
	case d.skip >= uint64(n) && d.skip > 0: // the gap lies inside a body whose end is known
		d.consume(uint64(n))
		s.settle(e, c, side, c.flow.End)
		return
	case d.toEnd:
		d.body += uint64(n)
		return
	case !d.chunked && !d.trailer && !d.lost: // what is there of a head that was cut, without the line that the cut is in
		if i := bytes.LastIndexByte(d.head, '\n'); i > 0 {
			s.headOf(e, c, side, d.head[:i+1], c.flow.End)
		}
	}
	*d = httpSide{lost: true, body: d.body}
}

func (s *httpStream) end(e *Engine, c *conn) {
	if head := s.sides[initiator].head; len(s.waiting) == 0 && bytes.Count(head, []byte("\n")) == 1 && !isRequestLine(head) { // HTTP/0.9 has no fields and no empty line
		s.sides[initiator].head = nil
		s.request(e, c, head, c.flow.End)
	}
	if s.current != nil {
		s.finish(e, c, c.flow.End)
	}
	for _, h := range s.waiting {
		e.sink.HTTPRequest(&c.flow, h)
	}
	s.waiting = nil
}
