// Package quic reads the first packets of a QUIC connection: Initial packets are protected with keys that anybody on the wire can derive
// (RFC 9001 §5.2), and carry the TLS hellos. Versions 1 (RFC 9000), 2 (RFC 9369) and the drafts 22 to 34 are known, also by the numbers that Facebook gave them, and what Google made of them (T050, T051). Nothing after the
// Initial packets can be read, and nothing is kept but the hellos.
//
// Input is hostile: every length is checked, a connection holds at most MaxCrypto bytes a side, and no packet makes more than a few keys.
package quic

import (
	"encoding/binary"
	"errors"
)

// Errors of Datagram.
var (
	ErrNotQUIC = errors.New("no QUIC long header of a known version")
	ErrShort   = errors.New("packet is cut")
	ErrKeys    = errors.New("packet could not be decrypted")
	ErrFrame   = errors.New("malformed frame")
)

const (
	version1      = 0x00000001
	version2      = 0x6b3343cf
	draft22       = 0xff000016
	draft23       = 0xff000017
	draft29       = 0xff00001d
	draft33       = 0xff000021
	draft34       = 0xff000022
	facebook22    = 0xfaceb001 // draft-22 as Facebook's programs number it
	facebook27    = 0xfaceb002 // draft-27
	facebookTrial = 0xfaceb00e // the same, with what they try
	googleT050    = 0x54303530 // as of draft-27, with TLS
	googleT051    = 0x54303531 // as of draft-29
	longestConnID = 20
)

// kind of a long-header packet.
type kind uint8

const (
	kindInitial kind = iota
	kindZeroRTT
	kindHandshake
	kindRetry
)

// header is a long header (RFC 9000 §17.2) and where its protected part lies.
type header struct {
	version    uint32
	kind       kind
	dcid, scid []byte
	packet     []byte // from the first byte of the header to the end of the payload
	number     int    // offset of the packet number in packet
}

// Known says whether a datagram begins with a long header of a version that this package reads.
func Known(datagram []byte) bool {
	return len(datagram) >= 7 && datagram[0]&0xc0 == 0xc0 && knownVersion(binary.BigEndian.Uint32(datagram[1:]))
}

// Negotiation says whether a datagram is a Version Negotiation packet (RFC 9000 §17.2.1): a server's answer to a version that it does not speak.
func Negotiation(datagram []byte) bool {
	if len(datagram) < 7 || datagram[0]&0x80 == 0 || binary.BigEndian.Uint32(datagram[1:]) != 0 {
		return false
	}
	r := cursor{datagram, 5}
	for range 2 { // both connection ids, which may be longer than those of the known versions
		n, err := r.take(1)
		if err != nil {
			return false
		}
		if _, err := r.take(uint64(n[0])); err != nil {
			return false
		}
	}
	return r.left() >= 4 && r.left()%4 == 0
}

func knownVersion(v uint32) bool {
	return v == version1 || saltOf(v) != nil
}

// parse reads one packet; rest is what follows it in the same datagram (RFC 9000 §12.2).
func parse(b []byte) (h header, rest []byte, err error) {
	if !Known(b) {
		return h, nil, ErrNotQUIC
	}
	h.version = binary.BigEndian.Uint32(b[1:])
	h.kind = kindOf(h.version, b[0])
	r := cursor{b, 5}
	if h.dcid, err = r.connID(); err != nil {
		return h, nil, err
	}
	if h.scid, err = r.connID(); err != nil {
		return h, nil, err
	}
	if h.kind == kindRetry {
		return h, nil, nil // the token fills the rest of the datagram
	}
	if h.kind == kindInitial {
		n, err := r.varint()
		if err != nil {
			return h, nil, err
		}
		if _, err := r.take(n); err != nil { // token
			return h, nil, err
		}
	}
	length, err := r.varint()
	if err != nil {
		return h, nil, err
	}
	h.number = r.at
	if _, err := r.take(length); err != nil {
		return h, nil, err
	}
	h.packet = b[:r.at]
	return h, b[r.at:], nil
}

// kindOf reads the type bits, which version 2 numbers differently (RFC 9369 §3.2).
func kindOf(version uint32, first byte) kind {
	bits := first >> 4 & 3
	if version == version2 {
		return kind((bits + 3) & 3)
	}
	return kind(bits)
}

// cursor reads a buffer front to back.
type cursor struct {
	b  []byte
	at int
}

func (c *cursor) left() int { return len(c.b) - c.at }

func (c *cursor) take(n uint64) ([]byte, error) {
	if n > uint64(c.left()) {
		return nil, ErrShort
	}
	b := c.b[c.at : c.at+int(n)]
	c.at += int(n)
	return b, nil
}

// varint reads a variable-length integer (RFC 9000 §16).
func (c *cursor) varint() (uint64, error) {
	if c.left() < 1 {
		return 0, ErrShort
	}
	n := 1 << (c.b[c.at] >> 6)
	b, err := c.take(uint64(n))
	if err != nil {
		return 0, err
	}
	v := uint64(b[0] & 0x3f)
	for _, x := range b[1:] {
		v = v<<8 | uint64(x)
	}
	return v, nil
}

func (c *cursor) connID() ([]byte, error) {
	n, err := c.take(1)
	if err != nil {
		return nil, err
	}
	if n[0] > longestConnID {
		return nil, ErrNotQUIC
	}
	return c.take(uint64(n[0]))
}
