package dissect

import (
	"bytes"
	"net/netip"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"netaudit/dissect/tls"
)

const (
	longestHead   = 32 << 10 // bytes of a request or response head
	longestPath   = 512
	longestAgent  = 256
	mostHeaders   = 64
	mostPipelined = 32 // requests that wait for their response
)

var httpMethods = []string{"GET ", "POST ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PROPFIND ", "MKCOL ", "COPY ", "MOVE ", "LOCK ", "UNLOCK ", "REPORT ", "SEARCH "}

func isHTTPRequest(b []byte) bool {
	return slices.ContainsFunc(httpMethods, func(m string) bool { return hasAnyPrefix(b, m) })
}

// httpStream reads the heads of HTTP/1 requests and responses on one connection (RFC 9112). Bodies are counted off, never kept.
type httpStream struct {
	sides   [2]httpSide
	waiting []*HTTP // requests without a response yet, oldest first
	tunnel  bool    // after CONNECT was granted: something else speaks
}

// httpSide is one direction: in a head, or somewhere in a body.
type httpSide struct {
	head    []byte
	skip    int64 // bytes of body left
	chunked bool  // a chunked body goes on until its last chunk
	toEnd   bool  // the body lasts until the connection ends
	lost    bool  // out of step: nothing more is read
}

func newHTTPStream() *httpStream { return &httpStream{} }

func (s *httpStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	d := &s.sides[side]
	for len(b) > 0 && !d.lost && !d.toEnd {
		if s.tunnel {
			s.handOver(e, c, side, b, now)
			return
		}
		if d.skip > 0 {
			n := min(d.skip, int64(len(b)))
			d.skip -= n
			b = b[n:]
			continue
		}
		if d.chunked {
			b = d.chunk(b)
			continue
		}
		b = s.headBytes(e, c, side, b, now)
	}
}

// headBytes collects a head until its empty line; it returns what comes after.
func (s *httpStream) headBytes(e *Engine, c *conn, side int, b []byte, now int64) []byte {
	d := &s.sides[side]
	if len(d.head) == 0 {
		b = bytes.TrimLeft(b, "\r\n")
	}
	before := len(d.head)
	d.head = append(d.head, b[:min(len(b), longestHead+1-before)]...)
	from := max(0, before-3)
	i := bytes.Index(d.head[from:], []byte("\r\n\r\n"))
	if i < 0 {
		if len(d.head) > longestHead {
			e.damage("http: head too long")
			d.lost = true
		}
		return nil
	}
	end := from + i + 4
	head := d.head[:end]
	rest := b[end-before:]
	if side == initiator {
		s.request(e, c, head, now)
	} else {
		s.response(e, c, head, now)
	}
	d.head = d.head[:0]
	return rest
}

// request reads a request line and its fields (RFC 9112 §3).
func (s *httpStream) request(e *Engine, c *conn, head []byte, now int64) {
	d := &s.sides[initiator]
	line, fields := splitHead(head)
	method, rest, ok1 := strings.Cut(line, " ")
	target, _, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 || len(method) > 32 {
		e.damage("http: request line")
		d.lost = true
		return
	}
	h := &HTTP{Method: strings.ToUpper(tls.CleanText(method)), Path: cleanPath(target), Start: now, End: now}
	h.Host = hostWithoutPort(fields.get("Host"))
	h.UserAgent = cut(tls.CleanText(fields.get("User-Agent")), longestAgent)
	for _, f := range fields[:min(len(fields), mostHeaders)] {
		h.Headers = append(h.Headers, strings.ToLower(tls.CleanText(f.name)))
	}
	d.bodyOf(fields, false)
	if h.Method == "CONNECT" {
		h.Host, h.Path = hostWithoutPort(target), ""
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
	s.waiting = append(s.waiting, h)
}

// response reads a status line (RFC 9112 §4) and completes the oldest request that waits.
func (s *httpStream) response(e *Engine, c *conn, head []byte, now int64) {
	d := &s.sides[responder]
	line, fields := splitHead(head)
	version, rest, ok := strings.Cut(line, " ")
	status, err := strconv.Atoi(cut(rest, 3))
	if !ok || !strings.HasPrefix(version, "HTTP/1.") || err != nil || status < 100 {
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
		e.sink.HTTPRequest(&c.flow, h)
	}
	switch {
	case status == 101:
		if strings.EqualFold(fields.get("Upgrade"), "websocket") {
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
	d.skip, d.chunked = 0, false
	if strings.Contains(strings.ToLower(fields.get("Transfer-Encoding")), "chunked") {
		d.chunked = true
		return
	}
	if text := fields.get("Content-Length"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
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
	if i < 0 {
		d.head = append(d.head, b[:min(len(b), 256)]...)
		d.lost = len(d.head) > 256
		return nil
	}
	line := string(append(d.head, b[:i]...))
	d.head = d.head[:0]
	size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
	n, err := strconv.ParseInt(size, 16, 64)
	switch {
	case err != nil || n < 0:
		d.lost = true
	case n == 0:
		d.chunked = false // trailers and the last line break are skipped as the beginning of the next head
	default:
		d.skip = n + 2
	}
	return b[i+1:]
}

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
	if d.skip >= int64(n) && d.skip > 0 {
		d.skip -= int64(n) // the gap lies inside a body whose end is known
		return
	}
	d.lost = true
}

func (s *httpStream) end(e *Engine, c *conn) {
	for _, h := range s.waiting {
		e.sink.HTTPRequest(&c.flow, h)
	}
	s.waiting = nil
}

// headFields are the fields of one head, in their order. Values stay inside the parser.
type headFields []headField

type headField struct{ name, value string }

// get returns the first value of a field, "" when it is absent.
func (l headFields) get(name string) string {
	for _, f := range l {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

// splitHead separates the first line from the fields; field names become canonical.
func splitHead(head []byte) (string, headFields) {
	line, rest, _ := strings.Cut(string(head), "\r\n")
	var fields headFields
	for len(rest) > 0 && len(fields) < 2*mostHeaders {
		var one string
		one, rest, _ = strings.Cut(rest, "\r\n")
		name, value, ok := strings.Cut(one, ":")
		if ok && name != "" && !strings.ContainsAny(name, " \t") {
			fields = append(fields, headField{textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value)})
		}
	}
	return line, fields
}

// cleanPath is a request target without scheme, authority, query and fragment.
func cleanPath(target string) string {
	if i := strings.Index(target, "://"); i >= 0 {
		target = target[i+3:]
		if j := strings.IndexAny(target, "/?#"); j >= 0 {
			target = target[j:]
		} else {
			target = "/"
		}
	}
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	return cut(tls.CleanText(target), longestPath)
}

// hostWithoutPort is a Host field or authority in lower case, without port, user and password.
func hostWithoutPort(host string) string {
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	if ap, err := netip.ParseAddrPort(host); err == nil {
		return ap.Addr().String()
	}
	if strings.HasPrefix(host, "[") {
		host, _, _ = strings.Cut(host[1:], "]")
	} else if name, _, ok := strings.Cut(host, ":"); ok && strings.Count(host, ":") == 1 {
		host = name
	}
	return tls.CleanName([]byte(host))
}

func cut(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
