package quic

import (
	"bytes"
	"errors"
)

// Sides of a connection.
const (
	Client = 0
	Server = 1
)

// MaxCrypto bounds the CRYPTO data of one side that is put together, in bytes: hellos with post-quantum keys have about 2 kB, certificates
// do not travel in Initial packets.
const MaxCrypto = 32 << 10

// mostPieces bounds the pieces of one side that wait for their predecessors.
const mostPieces = 64

// Connection follows the Initial packets of one connection. One goroutine owns it.
type Connection struct {
	version uint32
	dcid    []byte // what the keys were derived from
	keys    [2]*protection
	crypto  [2]stream
	server  []byte   // the id that the server has given itself
	tries   int      // keys that were derived
	early   [][]byte // datagrams of the server that were captured before the client's first one
	closed  [2]uint64
}

// mostKeys bounds the derivations: one for the first packet, one after a Retry, one after a version negotiation, and some for the unexpected.
const mostKeys = 8

// mostEarly and longestEarly bound what waits for the client's first datagram.
const (
	mostEarly    = 4
	longestEarly = 2048
)

// Datagram reads one UDP datagram that a side sent. It returns the first error; what came before it counts. What the server sent waits for the client's first
// datagram when the capture has them in the wrong order: the keys come from that one.
func (c *Connection) Datagram(side int, datagram []byte) error {
	if side == Server && c.keys[Server] == nil {
		if len(c.early) < mostEarly && len(datagram) <= longestEarly {
			c.early = append(c.early, bytes.Clone(datagram))
		}
		return nil
	}
	err := c.packets(side, datagram)
	if c.keys[Server] != nil && len(c.early) > 0 {
		early := c.early
		c.early = nil
		for _, d := range early {
			err = errors.Join(err, c.packets(Server, d))
		}
	}
	return err
}

// packets reads the packets of one datagram.
func (c *Connection) packets(side int, datagram []byte) error {
	for rest := datagram; len(rest) > 0; {
		if rest[0]&0x80 == 0 {
			return nil // a short header, or padding behind the last packet: the rest is out of reach
		}
		h, after, err := parse(rest)
		if err != nil {
			return err
		}
		rest = after
		if h.kind != kindInitial {
			continue
		}
		plain, err := c.open(side, &h)
		if err != nil {
			return err
		}
		if side == Server && c.server == nil {
			c.server = bytes.Clone(h.scid)
		}
		read := c.frames
		if google(h.version) {
			read = c.googleFrames
		}
		if err := read(side, plain); err != nil {
			return err
		}
	}
	return nil
}

// open decrypts with the keys in use; a client's packet that does not fit them may be the first one after a Retry, whose keys come from
// its own destination id (RFC 9001 §5.2).
func (c *Connection) open(side int, h *header) ([]byte, error) {
	if c.keys[side] != nil && c.version == h.version {
		plain, err := c.keys[side].open(h)
		if err == nil || side == Server {
			return plain, err
		}
	}
	if side == Server {
		return c.upgrade(h)
	}
	if c.tries >= mostKeys || c.keys[Client] != nil && c.version == h.version && bytes.Equal(c.dcid, h.dcid) {
		return nil, ErrKeys
	}
	return c.derive(side, h, h.dcid)
}

// upgrade reads a server's packet of another version than the client's: servers may choose one that is compatible, and keep the client's id for the keys (RFC 9368 §2.3, RFC 9369 §4.1).
func (c *Connection) upgrade(h *header) ([]byte, error) {
	if c.tries >= mostKeys || c.version == h.version {
		return nil, ErrKeys
	}
	return c.derive(Server, h, c.dcid)
}

// derive makes keys out of a version and an id, and takes them when they fit a packet.
func (c *Connection) derive(side int, h *header, dcid []byte) ([]byte, error) {
	c.tries++
	client, server, err := initialKeys(h.version, dcid)
	if err != nil {
		return nil, err
	}
	keys := [2]*protection{client, server}
	plain, err := keys[side].open(h)
	if err != nil {
		return nil, err
	}
	c.version, c.dcid, c.keys = h.version, bytes.Clone(dcid), keys
	return plain, nil
}

// Spent is what is known of a connection that the server has answered: enough to tell another one between the same ports.
type Spent struct {
	dcid, server []byte
	tries        int
}

// Spent returns what tells this connection from others.
func (c *Connection) Spent() *Spent { return &Spent{dcid: c.dcid, server: c.server} }

// Another says whether a client's datagram begins another connection: programs have many on one port. Its first packet has keys that come from its own destination id; late ones of the old
// connection have the server's.
func (s *Spent) Another(datagram []byte) bool {
	const smallest, most = 1200, 64 // RFC 9000 §14.1; what was tried in vain
	if len(datagram) < smallest || !Known(datagram) || s.tries >= most {
		return false
	}
	h, _, err := parse(datagram)
	if err != nil || h.kind != kindInitial || bytes.Equal(h.dcid, s.dcid) || bytes.Equal(h.dcid, s.server) {
		return false
	}
	s.tries++
	client, _, err := initialKeys(h.version, h.dcid)
	if err != nil {
		return false
	}
	_, err = client.open(&h)
	return err == nil
}

// frames reads what an Initial packet may hold (RFC 9000 §12.4, table 3).
func (c *Connection) frames(side int, b []byte) error {
	r := cursor{b, 0}
	for r.left() > 0 {
		kind, err := r.varint()
		if err != nil {
			return err
		}
		switch kind {
		case 0x00, 0x01: // PADDING, PING
		case 0x02, 0x03:
			if err := r.ack(kind == 0x03); err != nil {
				return err
			}
		case 0x06:
			if err := c.cryptoFrame(side, &r); err != nil {
				return err
			}
		case 0x1c: // CONNECTION_CLOSE ends what can be learned
			code, err := r.varint()
			c.closed[side] = code + 1
			return err
		default:
			return ErrFrame
		}
	}
	return nil
}

// ack skips an ACK frame (RFC 9000 §19.3).
func (c *cursor) ack(ecn bool) error {
	var ranges uint64
	for i := range 4 { // largest, delay, ranges, first range
		v, err := c.varint()
		if err != nil {
			return err
		}
		if i == 2 {
			ranges = v
		}
	}
	if ranges > uint64(c.left()) {
		return ErrShort
	}
	numbers := 2 * ranges
	if ecn {
		numbers += 3
	}
	for range numbers {
		if _, err := c.varint(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Connection) cryptoFrame(side int, r *cursor) error {
	offset, err := r.varint()
	if err != nil {
		return err
	}
	length, err := r.varint()
	if err != nil {
		return err
	}
	data, err := r.take(length)
	if err != nil {
		return err
	}
	c.crypto[side].add(offset, data)
	return nil
}

// Handshake returns the TLS handshake bytes that a side has sent without a gap, from the first one. They stay valid until the next datagram.
func (c *Connection) Handshake(side int) []byte { return c.crypto[side].whole }

// Closed returns the code with which a side closed the connection in an Initial packet (RFC 9000 §20.1); ok is false when it has not.
func (c *Connection) Closed(side int) (code uint64, ok bool) {
	return c.closed[side] - 1, c.closed[side] > 0
}

// stream puts CRYPTO data in order: clients cut and shuffle their hellos on purpose.
type stream struct {
	whole  []byte
	pieces []piece
}

type piece struct {
	offset uint64
	data   []byte
}

func (s *stream) add(offset uint64, data []byte) {
	end := offset + uint64(len(data))
	if end > MaxCrypto || end <= uint64(len(s.whole)) {
		return
	}
	if offset > uint64(len(s.whole)) {
		if len(s.pieces) < mostPieces {
			s.pieces = append(s.pieces, piece{offset, bytes.Clone(data)})
		}
		return
	}
	s.whole = append(s.whole, data[uint64(len(s.whole))-offset:]...)
	for i := 0; i < len(s.pieces); i++ { // a piece that fits now may make others fit
		p := s.pieces[i]
		if p.offset > uint64(len(s.whole)) {
			continue
		}
		s.pieces = append(s.pieces[:i], s.pieces[i+1:]...)
		if n := uint64(len(s.whole)) - p.offset; n < uint64(len(p.data)) {
			s.whole = append(s.whole, p.data[n:]...)
		}
		i = -1
	}
}
