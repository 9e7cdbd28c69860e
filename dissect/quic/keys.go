package quic

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Salts of the Initial secret: RFC 9001 §5.2, RFC 9369 §3.3.1, draft-ietf-quic-tls-29, -23 and -22 §5.2; those of Google's versions with TLS are in its QUICHE (quic/core/crypto/crypto_utils.cc).
var (
	salt1       = []byte{0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a}
	salt2       = []byte{0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9}
	saltDraft   = []byte{0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99}
	saltDraft22 = []byte{0x7f, 0xbc, 0xdb, 0x0e, 0x7c, 0x66, 0xbb, 0xe9, 0x19, 0x3a, 0x96, 0xcd, 0x21, 0x51, 0x9e, 0xbd, 0x7a, 0x02, 0x64, 0x4a}
	saltDraft23 = []byte{0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe, 0xf9, 0xf5, 0x02}
	saltT050    = []byte{0x7f, 0xf5, 0x79, 0xe5, 0xac, 0xd0, 0x72, 0x91, 0x55, 0x80, 0x30, 0x4c, 0x43, 0xa2, 0x36, 0x7c, 0x60, 0x48, 0x83, 0x10}
	saltT051    = []byte{0x7a, 0x4e, 0xde, 0xf4, 0xe7, 0xcc, 0xee, 0x5f, 0xa4, 0x50, 0x6c, 0x19, 0x12, 0x4f, 0xc8, 0xcc, 0xda, 0x6e, 0x03, 0x3d}
)

// protection removes the protection of one side's Initial packets.
type protection struct {
	aead   cipher.AEAD
	header cipher.Block
	iv     [12]byte
}

// initialKeys derives both sides' protection from the client's first destination connection id.
func initialKeys(version uint32, dcid []byte) (client, server *protection, err error) {
	salt, prefix := saltOf(version), "quic "
	if version == version2 {
		prefix = "quicv2 "
	}
	secret, err := hkdf.Extract(sha256.New, dcid, salt)
	if err != nil {
		return nil, nil, fmt.Errorf("derive the Initial secret: %w", err)
	}
	if client, err = newProtection(secret, "client in", prefix); err != nil {
		return nil, nil, err
	}
	server, err = newProtection(secret, "server in", prefix)
	return client, server, err
}

// saltOf is the salt of a version, nil of one that is not known.
func saltOf(version uint32) []byte {
	switch {
	case version == version1, version >= draft33 && version <= draft34:
		return salt1
	case version == version2:
		return salt2
	case version >= draft29 && version < draft33:
		return saltDraft
	case version >= draft23 && version < draft29, version == facebook27, version == facebookTrial:
		return saltDraft23
	case version == draft22, version == facebook22:
		return saltDraft22
	case version == googleT050:
		return saltT050
	case version == googleT051:
		return saltT051
	}
	return nil
}

func newProtection(secret []byte, side, prefix string) (*protection, error) {
	own, err := expandLabel(secret, side, 32)
	if err != nil {
		return nil, err
	}
	var parts [3][]byte
	for i, p := range []struct {
		label  string
		length int
	}{{"key", 16}, {"iv", 12}, {"hp", 16}} {
		if parts[i], err = expandLabel(own, prefix+p.label, p.length); err != nil {
			return nil, err
		}
	}
	block, err := aes.NewCipher(parts[0])
	if err != nil {
		return nil, err
	}
	p := &protection{}
	if p.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	copy(p.iv[:], parts[1])
	p.header, err = aes.NewCipher(parts[2])
	return p, err
}

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446 §7.1).
func expandLabel(secret []byte, label string, length int) ([]byte, error) {
	info := binary.BigEndian.AppendUint16(nil, uint16(length))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(append(info, "tls13 "...), label...)
	return hkdf.Expand(sha256.New, secret, string(append(info, 0)), length)
}

// open removes header protection (RFC 9001 §5.4) and decrypts. The packet itself is left as it is. In an Initial packet the truncated packet
// number is the whole number: a connection ends its Initial packets long before 2^32.
func (p *protection) open(h *header) ([]byte, error) {
	const sampleSize = 16
	sample := h.number + 4
	if sample+sampleSize > len(h.packet) {
		return nil, ErrShort
	}
	var mask [16]byte
	p.header.Encrypt(mask[:], h.packet[sample:sample+sampleSize])
	first := h.packet[0] ^ mask[0]&0x0f
	size := int(first&3) + 1
	associated := append([]byte(nil), h.packet[:h.number+size]...)
	associated[0] = first
	nonce := p.iv
	var number uint32
	for i := range size {
		associated[h.number+i] ^= mask[1+i]
		number = number<<8 | uint32(associated[h.number+i])
	}
	for i := range 4 {
		nonce[8+i] ^= byte(number >> (24 - 8*i))
	}
	plain, err := p.aead.Open(nil, nonce[:], h.packet[h.number+size:], associated)
	if err != nil {
		return nil, ErrKeys
	}
	return plain, nil
}
