package dissect

import (
	"bytes"
	"encoding/binary"
)

// Codes in the place of a protocol version (PostgreSQL documentation, §55.7 message formats).
const (
	postgresMajor  = 3 // of the protocol, in the upper half; 3.2 came with PostgreSQL 18
	postgresCancel = 80877102
	postgresTLS    = 80877103
	postgresGSS    = 80877104
)

const (
	mostPostgresHead = 8 << 10 // of a side, before the reading ends
	postgresAgrees   = 'S'
)

// isPostgres knows the messages with which a client may begin.
func isPostgres(b []byte) bool {
	if len(b) < 8 || b[0] != 0 || b[1] != 0 {
		return false
	}
	switch code := binary.BigEndian.Uint32(b[4:]); code {
	case postgresTLS, postgresGSS, postgresCancel:
		return true
	default:
		return code>>16 == postgresMajor && code&0xffff < 100
	}
}

// postgresStream reads the start of a PostgreSQL session: TLS after SSLRequest, else user, database and program of the start-up message and the server's
// version. Names are masked; nothing is read once the session has begun.
type postgresStream struct {
	sides    [2][]byte
	asked    bool // for encryption: the server's next byte decides
	accepted bool
	started  bool
}

func (p *postgresStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	if side == initiator && (p.accepted || p.asked && isClientHello(b)) || side == responder && isServerTLS(nil, b) { // the other side may be missing
		c.proto = e.newTLSStream(c, "postgres")
		c.proto.data(e, c, side, b, now)
		return
	}
	if len(p.sides[side])+len(b) > mostPostgresHead {
		c.proto = nil
		return
	}
	p.sides[side] = append(p.sides[side], b...)
	if side == initiator {
		p.fromClient(e, c)
	} else {
		p.fromServer(e, c)
	}
}

func (p *postgresStream) fromClient(e *Engine, c *conn) {
	b := p.sides[initiator]
	if p.started || p.asked || len(b) < 8 {
		return
	}
	n := int(binary.BigEndian.Uint32(b))
	if n < 8 || n > mostPostgresHead {
		c.proto = nil
		return
	}
	if len(b) < n {
		return
	}
	switch binary.BigEndian.Uint32(b[4:]) {
	case postgresTLS, postgresGSS:
		p.asked = true
	case postgresCancel: // carries a secret and nothing else
		c.proto = nil
	default:
		p.started = true
		p.parameters(e, c, b[8:n])
	}
	p.sides[initiator] = nil
}

// parameters are pairs of texts that end with a zero byte each.
func (p *postgresStream) parameters(e *Engine, c *conn, b []byte) {
	service := c.service()
	for {
		key, rest, ok1 := bytes.Cut(b, []byte{0})
		value, rest, ok2 := bytes.Cut(rest, []byte{0})
		if !ok1 || !ok2 || len(key) == 0 {
			return
		}
		switch string(key) {
		case "user":
			service.User = mask(value)
		case "database":
			service.Database = mask(value)
		case "application_name":
			service.Client = maskMail(e.text(value))
		}
		b = rest
	}
}

// fromServer reads the answer to a request for encryption, or the messages before the session begins.
func (p *postgresStream) fromServer(e *Engine, c *conn) {
	b := p.sides[responder]
	if p.asked {
		p.asked = false
		p.accepted = b[0] == postgresAgrees
		if b[0] == 'G' { // encrypted by Kerberos from here on
			c.proto = nil
		}
		p.sides[responder] = nil
		return
	}
	for len(b) >= 5 {
		n := 1 + int(binary.BigEndian.Uint32(b[1:]))
		if n < 5 || n > mostPostgresHead {
			c.proto = nil
			return
		}
		if len(b) < n {
			break
		}
		switch b[0] {
		case 'S': // ParameterStatus
			if value, ok := bytes.CutPrefix(b[5:n], []byte("server_version\x00")); ok {
				c.service().Server = "PostgreSQL " + e.text(bytes.TrimRight(value, "\x00"))
			}
		case 'Z', 'E': // ReadyForQuery, ErrorResponse
			c.proto = nil
			return
		}
		b = b[n:]
	}
	p.sides[responder] = append(p.sides[responder][:0], b...)
}

func (p *postgresStream) gap(_ *Engine, c *conn, _ int, _ int) { c.proto = behindGap("postgres") }
func (p *postgresStream) end(*Engine, *conn)                   {}
