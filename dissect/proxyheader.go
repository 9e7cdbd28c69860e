package dissect

import (
	"bytes"
	"encoding/binary"
)

// proxyHeader passes over what a load balancer puts in front of a connection that it hands on, the PROXY protocol of HAProxy, versions 1 and 2
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). What follows is recognised as if it were the beginning.
type proxyHeader struct {
	port   uint16
	number uint8 // of this header
	buffer []byte
}

// mostProxyHeaders bounds the headers of a connection. Where the server seems to speak first the header is not taken off, and would be met again, and again.
const mostProxyHeaders = 4

const (
	proxySignature  = "\r\n\r\n\x00\r\nQUIT\n"
	longestProxy1   = 107 // bytes of version 1's line
	longestProxy2   = 16 + 4096
	proxy2Preamble  = 16
	proxy1Signature = "PROXY "
)

func isProxyHeader(b []byte) bool {
	return hasAnyPrefix(b, proxy1Signature+"TCP4 ", proxy1Signature+"TCP6 ", proxy1Signature+"UNKNOWN", proxySignature)
}

func (p *proxyHeader) data(e *Engine, c *conn, side int, b []byte, now int64) {
	next := &detector{place: place{port: p.port, headers: p.number}}
	if side == responder {
		c.proto = next
		next.data(e, c, side, b, now)
		return
	}
	p.buffer = append(p.buffer, b...)
	n, ok := p.length()
	switch {
	case !ok:
		c.proto = nil
	case n > 0 && len(p.buffer) >= n:
		if c.proto = next; len(p.buffer) > n {
			next.data(e, c, side, p.buffer[n:], now)
		}
	}
}

// length is that of the header, 0 while it is not known; ok is false when there is none.
func (p *proxyHeader) length() (n int, ok bool) {
	b := p.buffer
	if b[0] == proxySignature[0] {
		if len(b) < proxy2Preamble {
			return 0, true
		}
		n = proxy2Preamble + int(binary.BigEndian.Uint16(b[14:]))
		return n, n <= longestProxy2
	}
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1, i < longestProxy1
	}
	return 0, len(b) < longestProxy1
}

func (p *proxyHeader) gap(_ *Engine, c *conn, _ int, _ int) { c.proto = &lateLook{} }
func (p *proxyHeader) end(*Engine, *conn)                   {}
