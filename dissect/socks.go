package dissect

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// mostSOCKS bounds what is kept of a side until the proxy has agreed: a request has at most some 270 bytes, and some clients send what is for the other end without waiting.
const mostSOCKS = 16 << 10

const socksConnect = 1

// socksStream reads what a client asks a SOCKS proxy for (version 4 and 4a, https://www.openssh.com/txt/socks4a.protocol; version 5, RFC 1928), then hands what the proxy carries to whoever
// recognises it. User names and passwords (RFC 1929) are passed over.
type socksStream struct {
	version byte
	sides   [2][]byte
	host    string // that the client wants
	port    uint16
	asked   bool // host and port are known
	greeted [2]bool
	method  byte // of version 5, once the server has chosen
	proven  [2]bool
}

// Methods of version 5 to show who one is (RFC 1928 §3).
const (
	socksOpen     = 0
	socksPassword = 2
)

// mayBeSOCKS5 knows a greeting: version, number of methods, methods (RFC 1928 §3).
func mayBeSOCKS5(b []byte) bool {
	return len(b) >= 1 && b[0] == 5 && (len(b) < 2 || b[1] >= 1 && b[1] < 8)
}

func isSOCKS5(client, server []byte) bool {
	return mayBeSOCKS5(client) && len(client) >= 3 && len(client) >= 2+int(client[1]) && len(server) >= 2 && server[0] == 5 && (server[1] <= 2 || server[1] == 0xff)
}

// mayBeSOCKS4 knows a request: version, command, port, address.
func mayBeSOCKS4(b []byte) bool { return len(b) >= 9 && b[0] == 4 && (b[1] == 1 || b[1] == 2) }

func isSOCKS4(client, server []byte) bool {
	return mayBeSOCKS4(client) && len(server) >= 8 && server[0] == 0 && server[1] >= 0x5a && server[1] <= 0x5d
}

func (s *socksStream) data(e *Engine, c *conn, side int, b []byte, now int64) {
	if len(s.sides[side])+len(b) > mostSOCKS {
		c.proto = nil
		return
	}
	s.sides[side] = append(s.sides[side], b...)
	for range 2 { // clients that do not wait have asked before the server has answered the greeting
		if !s.asked && !s.request(e) {
			c.proto = nil
			return
		}
		if s.asked && !c.proxied {
			c.proxied, c.target = true, s.host
			e.name(c)
		}
		granted, ok := s.answer()
		if !ok {
			c.proto = nil
			return
		}
		if granted {
			s.handOver(e, c, now)
			return
		}
	}
}

// request reads the client's messages as far as they are there; false ends the reading.
func (s *socksStream) request(e *Engine) bool {
	if s.version == 4 {
		return s.request4(e)
	}
	b := s.sides[initiator]
	if !s.greeted[initiator] {
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return true
		}
		b = b[2+int(b[1]):]
		s.greeted[initiator] = true
	}
	s.sides[initiator] = b
	if !s.greeted[responder] {
		return true // the method is not known yet
	}
	if s.method == socksPassword && !s.proven[initiator] {
		n, whole := passwordLength(b)
		if !whole {
			return true
		}
		b = b[n:]
		s.sides[initiator], s.proven[initiator] = b, true
	}
	return s.request5(e, b)
}

// passwordLength is the length of a user name and password with their lengths (RFC 1929 §2).
func passwordLength(b []byte) (n int, whole bool) {
	if len(b) < 2 || len(b) < 3+int(b[1]) {
		return 0, false
	}
	n = 3 + int(b[1]) + int(b[2+int(b[1])])
	return n, len(b) >= n
}

// request5 reads a request of version 5 (RFC 1928 §4).
func (s *socksStream) request5(e *Engine, b []byte) bool {
	if len(b) < 5 {
		return true
	}
	n := addressLength(b)
	if b[0] != 5 || b[1] != socksConnect || n == 0 {
		return false
	}
	if len(b) < n {
		return true
	}
	switch address := b[4 : n-2]; b[3] {
	case 3:
		s.host = e.hostName(address[1:])
	default:
		a, _ := netip.AddrFromSlice(address)
		s.host = a.String()
	}
	s.port, s.asked = binary.BigEndian.Uint16(b[n-2:]), true
	s.sides[initiator] = b[n:]
	return true
}

// addressLength is the length of a request or answer of version 5 up to its port, 0 when its kind of address is not known.
func addressLength(b []byte) int {
	switch b[3] {
	case 1:
		return 4 + 4 + 2
	case 3:
		return 4 + 1 + int(b[4]) + 2
	case 4:
		return 4 + 16 + 2
	}
	return 0
}

// request4 reads a request of version 4 or 4a: 0.0.0.x stands for the name that follows the user's.
func (s *socksStream) request4(e *Engine) bool {
	b := s.sides[initiator]
	if len(b) < 9 {
		return true
	}
	if b[1] != socksConnect {
		return false
	}
	_, rest, ok := bytes.Cut(b[8:], []byte{0})
	if !ok {
		return true
	}
	address := netip.AddrFrom4([4]byte(b[4:8]))
	s.host = address.String()
	if v := address.As4(); v[0] == 0 && v[1] == 0 && v[2] == 0 && v[3] != 0 {
		name, behind, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return true
		}
		s.host, rest = e.hostName(name), behind
	}
	s.port, s.asked, s.sides[initiator] = binary.BigEndian.Uint16(b[2:]), true, rest
	return true
}

// answer reads the proxy's messages as far as they are there. granted says that the way is open; ok is false when it will not be, or when nothing more can be read.
func (s *socksStream) answer() (granted, ok bool) {
	b := s.sides[responder]
	if s.version == 4 {
		if len(b) < 8 {
			return false, true
		}
		s.sides[responder] = b[8:]
		return s.asked && b[1] == 0x5a, b[1] == 0x5a
	}
	if !s.greeted[responder] {
		if len(b) < 2 {
			return false, true
		}
		s.method, b = b[1], b[2:]
		if s.greeted[responder] = true; s.method != socksOpen && s.method != socksPassword {
			return false, false
		}
	}
	if s.method == socksPassword && !s.proven[responder] && len(b) >= 2 {
		b, s.proven[responder] = b[2:], true
	}
	s.sides[responder] = b
	if s.method == socksPassword && !s.proven[responder] || len(b) < 5 {
		return false, true
	}
	n := addressLength(b)
	if n == 0 || b[1] != 0 {
		return false, false
	}
	if len(b) < n || !s.asked {
		return false, true
	}
	s.sides[responder] = b[n:]
	return true, true
}

// handOver gives what the proxy carries to whoever recognises it.
func (s *socksStream) handOver(e *Engine, c *conn, now int64) {
	c.proto = &detector{place: place{port: s.port, through: "socks"}}
	for side, b := range s.sides {
		if len(b) > 0 && c.proto != nil {
			c.proto.data(e, c, side, b, now)
		}
	}
}

// gap takes it that the way was opened: a proxy that refuses has nothing more to carry.
func (s *socksStream) gap(e *Engine, c *conn, side int, _ int) {
	if s.sides[side] = nil; !s.asked {
		c.proto = &lateLook{}
		return
	}
	s.handOver(e, c, c.flow.End)
}

func (s *socksStream) end(*Engine, *conn) {}
