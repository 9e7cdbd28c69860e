package dissect

import (
	"bytes"
	"encoding/binary"
)

// Capability flags of a MySQL client (MySQL documentation, Capabilities Flags).
const (
	mysqlConnectWithDB   = 1 << 3
	mysqlTLS             = 1 << 11
	mysqlSecure          = 1 << 15
	mysqlLengthEncoded   = 1 << 21
	mysqlClientFixed     = 32 // bytes before the user's name: flags, packet size, character set, reserved
	mostMySQLHead        = 4 << 10
	mysqlPacketHeader    = 4
	mysqlProtocolVersion = 10
)

// isMySQLGreeting knows protocol version 10's handshake: 3-byte length, sequence 0, version 10, a printable version text.
func isMySQLGreeting(b []byte) bool {
	return len(b) >= 7 && b[3] == 0 && b[4] == mysqlProtocolVersion && b[5] >= '0' && b[5] <= '9' && int(b[0])|int(b[1])<<8 > 20 && b[2] == 0
}

// mysqlStream reads the server's version, and the client's user and database, masked, or the TLS that the client asks for instead.
type mysqlStream struct {
	sides [2][]byte
	tls   bool
}

func (m *mysqlStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	if m.tls && side == initiator || side == responder && isServerTLS(nil, b) {
		c.proto = e.newTLSStream(c, "mysql")
		c.proto.data(e, c, side, b, now)
		return
	}
	if len(m.sides[side])+len(b) > mostMySQLHead {
		c.proto = nil
		return
	}
	m.sides[side] = append(m.sides[side], b...)
	whole := m.sides[side]
	if len(whole) < mysqlPacketHeader {
		return
	}
	n := mysqlPacketHeader + (int(whole[0]) | int(whole[1])<<8 | int(whole[2])<<16)
	if n > mostMySQLHead {
		c.proto = nil
		return
	}
	if len(whole) < n {
		return
	}
	packet := whole[mysqlPacketHeader:n]
	if side == responder {
		m.greeting(e, c, packet)
	} else if rest := bytes.Clone(whole[n:]); m.login(c, packet) && len(rest) > 0 {
		m.data(e, c, side, rest, now)
	}
}

func (m *mysqlStream) greeting(e *Engine, c *conn, packet []byte) {
	if len(packet) == 0 || packet[0] != mysqlProtocolVersion { // an error: the client is turned away
		c.proto = nil
		return
	}
	if version, _, ok := bytes.Cut(packet[1:], []byte{0}); ok && c.flow.Service == nil {
		c.service().Server = e.text(version)
	}
}

// login reads the client's answer; true means that TLS follows.
func (m *mysqlStream) login(c *conn, packet []byte) bool {
	if len(packet) < mysqlClientFixed {
		c.proto = nil
		return false
	}
	flags := binary.LittleEndian.Uint32(packet)
	if flags&mysqlTLS != 0 && len(packet) == mysqlClientFixed {
		m.tls = true
		return true
	}
	c.proto = nil
	user, rest, ok := bytes.Cut(packet[mysqlClientFixed:], []byte{0})
	if !ok {
		return false
	}
	service := c.service()
	service.User = mask(user)
	if flags&mysqlConnectWithDB == 0 || flags&(mysqlSecure|mysqlLengthEncoded) == 0 || len(rest) == 0 {
		return false
	}
	// The proof of the password lies between; its length is one byte, larger ones do not occur.
	if n := 1 + int(rest[0]); rest[0] < 0xfb && len(rest) > n {
		database, _, _ := bytes.Cut(rest[n:], []byte{0})
		service.Database = mask(database)
	}
	return false
}

func (m *mysqlStream) gap(e *Engine, c *conn, _ int, _ int) {
	c.proto = behindGap("mysql")
	if b := m.sides[responder]; len(b) > mysqlPacketHeader { // the version stands in front
		m.greeting(e, c, b[mysqlPacketHeader:])
	}
}

func (m *mysqlStream) end(*Engine, *conn) {}
