package dissect

// mostLateLooks is how many segments of a conversation without a beginning are looked at.
const mostLateLooks = 256

// lateLook reads a connection whose beginning the capture missed or lost: what clients and servers send often begins with a segment, so that a request, a response, a hello
// or an encrypted record at a segment's beginning tells the protocol.
type lateLook struct {
	looks  int
	hellos bool // the beginning was there and told nothing: only TLS is looked for, which some protocols turn to in ways of their own (RDP, NNTP, ManageSieve)
}

func (l *lateLook) data(e *Engine, c *conn, side int, b []byte, now int64) {
	f := &c.flow
	switch {
	case side == initiator && isClientHello(b), side == responder && isServerTLS(nil, b):
		f.Channel = tlsChannel(f.Dst.Port())
		c.proto = e.newTLSStream(c, "")
	case l.hellos && side == responder && c.flow.Channel == "tcp" && hasAnyPrefix(b, "HTTP/1.0 ", "HTTP/1.1 "): // the server has understood what nobody else would
		f.Channel = "http"
		c.proto = refusal()
	case l.hellos:
		l.another(c)
		return
	case side == initiator && isRequestLine(b), side == responder && hasAnyPrefix(b, "HTTP/1.0 ", "HTTP/1.1 "):
		f.Channel = "http"
		c.proto = newHTTPStream()
	case isApplicationRecord(b): // nothing more is to be learned
		f.Channel = tlsChannel(f.Dst.Port())
		c.proto = nil
		return
	default:
		l.another(c)
		return
	}
	c.proto.data(e, c, side, b, now)
}

// refusal reads what a server answers in HTTP to something else.
func refusal() *httpStream {
	return &httpStream{sides: [2]httpSide{initiator: {lost: true}}}
}

func (l *lateLook) another(c *conn) {
	if l.looks++; l.looks > mostLateLooks {
		c.proto = nil
	}
}

// helloAfterGreeting gives the word to TLS when that is what the client begins with, whatever the server has said before: servers that give up early speak first, and one
// that greets in another protocol must not hide the name that is called.
func (e *Engine) helloAfterGreeting(c *conn, b []byte) {
	if _, reading := c.proto.(*tlsStream); !reading && isClientHello(b) {
		c.flow.Channel = tlsChannel(c.flow.Dst.Port())
		c.proto = e.newTLSStream(c, "")
	}
}

func (l *lateLook) gap(*Engine, *conn, int, int) {}
func (l *lateLook) end(*Engine, *conn)           {}

// isApplicationRecord knows a record of encrypted data, and the header of the next one behind it when that is there (RFC 8446 §5.1).
func isApplicationRecord(b []byte) bool {
	for range 2 {
		if len(b) < recordHeader || b[0] != recordApplication || b[1] != 3 || b[2] == 0 || b[2] > 3 {
			return false
		}
		n := recordHeader + int(b[3])<<8 + int(b[4])
		if n < recordHeader+16 || n > largestRecord {
			return false
		}
		if len(b) < n+recordHeader {
			return true
		}
		b = b[n:]
	}
	return true
}
