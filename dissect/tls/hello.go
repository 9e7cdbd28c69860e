// Package tls reads what a TLS handshake says in the clear: ClientHello, ServerHello, the certificate of versions up to 1.2. Every
// function works on a bounded byte slice and reports damage instead of panicking. Hellos point into the bytes they were parsed from and reuse
// their own memory: reading one costs no allocation.
//
// Sources: RFC 8446 (TLS 1.3), RFC 5246 (1.2), RFC 9147 and RFC 6347 (DTLS), RFC 6066 (SNI), RFC 7301 (ALPN), RFC 8701 (GREASE), RFC 9849 (ECH).
package tls

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
)

// ErrMalformed says that a handshake message contradicts its own lengths.
var ErrMalformed = errors.New("malformed handshake message")

// Handshake message types (RFC 8446 §4).
const (
	TypeClientHello       = 1
	TypeServerHello       = 2
	TypeCertificate       = 11
	TypeServerKeyExchange = 12
	TypeServerHelloDone   = 14
)

// Extension numbers (IANA TLS ExtensionType Values).
const (
	extServerName           = 0
	extSupportedGroups      = 10
	extPointFormats         = 11
	extSignatureAlgs        = 13
	extALPN                 = 16
	extPreSharedKey         = 41
	extEarlyData            = 42
	extSupportedVersions    = 43
	extKeyShare             = 51
	extQUICParameters       = 57
	extEncryptedClientHello = 0xfe0d
)

const (
	mostExtensions = 128 // of one hello; more is damage
	mostProtocols  = 32  // ALPN names that are kept
	longestName    = 255 // bytes of a server name or protocol name
)

// ClientHello is what a client offers, in its own order. The zero value is ready; Parse fills it again and again. Byte slices
// are valid as long as the message. One goroutine owns it.
type ClientHello struct {
	LegacyVersion uint16
	Versions      Numbers // supported_versions, empty when absent
	Ciphers       Numbers
	Extensions    Numbers
	Groups        Numbers
	PointFormats  []uint8
	SignatureAlgs Numbers
	ServerName    []byte   // as it was sent, see CleanName; empty when absent
	ALPN          [][]byte // at most 32
	ECH           bool
	ECHConfig     uint8 // id of the configuration that ECH says it uses; any number when it means nothing
	EarlyData     bool
	SessionID     []byte
	AgreedKeys    uint64 // which of the first 64 pre-shared keys both sides had agreed on before: those whose ticket has no age (RFC 8446 §4.2.11)
}

// Parse reads the body of a ClientHello message (without the handshake header). After an error h holds what was read before it.
func (h *ClientHello) Parse(body []byte) error { return h.parse(body, false) }

// ParseDTLS reads the body of DTLS, which has a cookie more (RFC 6347 §4.2.1).
func (h *ClientHello) ParseDTLS(body []byte) error { return h.parse(body, true) }

func (h *ClientHello) parse(body []byte, datagrams bool) error {
	*h = ClientHello{Extensions: h.Extensions[:0], ALPN: h.ALPN[:0]}
	s := cryptobyte.String(body)
	var session, cookie, ciphers, compression cryptobyte.String
	if !s.ReadUint16(&h.LegacyVersion) || !s.Skip(32) || !s.ReadUint8LengthPrefixed(&session) ||
		datagrams && !s.ReadUint8LengthPrefixed(&cookie) || !s.ReadUint16LengthPrefixed(&ciphers) || !s.ReadUint8LengthPrefixed(&compression) {
		return ErrMalformed
	}
	h.SessionID = session
	if h.Ciphers = numbersOf(ciphers); len(h.Ciphers) < len(ciphers) {
		return ErrMalformed
	}
	if s.Empty() {
		return nil // SSL 3.0 and early TLS 1.0 had no extensions
	}
	var ok bool
	if h.Extensions, ok = eachExtension(s, h.Extensions, h.extension); !ok {
		return ErrMalformed
	}
	return nil
}

// eachExtension reads a list of extensions (RFC 8446 §4.2), appends their numbers and shows each to read, also
// those of a list that is cut. ok is false when their lengths contradict each other, or there are too many.
func eachExtension(s cryptobyte.String, numbers Numbers, read func(uint16, cryptobyte.String)) (list Numbers, ok bool) {
	var length uint16
	if !s.ReadUint16(&length) {
		return numbers, false
	}
	whole := int(length) <= len(s)
	for rest := s[:min(int(length), len(s))]; len(rest) > 0; { // spelt out: a hello has a dozen of them, and each call would cost as much as the rest
		if len(rest) < 4 || numbers.Len() >= mostExtensions {
			return numbers, false
		}
		kind, end := uint16(rest[0])<<8|uint16(rest[1]), 4+int(rest[2])<<8+int(rest[3])
		if len(rest) < end {
			return numbers, false
		}
		numbers = append(numbers, rest[0], rest[1])
		read(kind, rest[4:end])
		rest = rest[end:]
	}
	return numbers, whole
}

// extension keeps what matters of one extension. A malformed one is kept by number only: the hello is still evidence.
func (h *ClientHello) extension(kind uint16, data cryptobyte.String) {
	var list cryptobyte.String
	switch kind {
	case extServerName:
		h.ServerName = serverName(data)
	case extSupportedGroups:
		if data.ReadUint16LengthPrefixed(&list) {
			h.Groups = numbersOf(list)
		}
	case extPointFormats:
		if data.ReadUint8LengthPrefixed(&list) {
			h.PointFormats = list
		}
	case extSignatureAlgs:
		if data.ReadUint16LengthPrefixed(&list) {
			h.SignatureAlgs = numbersOf(list)
		}
	case extALPN:
		h.ALPN = appendProtocols(h.ALPN[:0], data)
	case extSupportedVersions:
		if data.ReadUint8LengthPrefixed(&list) {
			h.Versions = numbersOf(list)
		}
	case extEarlyData:
		h.EarlyData = true
	case extPreSharedKey:
		h.AgreedKeys = agreedKeys(data)
	case extEncryptedClientHello:
		h.encryptedHello(data)
	}
}

// agreedKeys looks at the ages of the tickets that stand for pre-shared keys. Of a session that is resumed it is a number that looks random; a key that was agreed on otherwise has 0.
func agreedKeys(data cryptobyte.String) (agreed uint64) {
	var list, identity cryptobyte.String
	var age uint32
	data.ReadUint16LengthPrefixed(&list)
	for i := 0; i < 64 && list.ReadUint16LengthPrefixed(&identity) && list.ReadUint32(&age); i++ {
		if age == 0 {
			agreed |= 1 << i
		}
	}
	return agreed
}

// serverName returns the first host_name of RFC 6066 §3 as it was sent.
func serverName(data cryptobyte.String) []byte {
	var list cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) {
		return nil
	}
	for !list.Empty() {
		var kind uint8
		var name cryptobyte.String
		if !list.ReadUint8(&kind) || !list.ReadUint16LengthPrefixed(&name) {
			return nil
		}
		if kind == 0 && len(name) > 0 {
			return name
		}
	}
	return nil
}

func appendProtocols(names [][]byte, data cryptobyte.String) [][]byte {
	var list cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) {
		return names
	}
	for !list.Empty() && len(names) < mostProtocols {
		var name cryptobyte.String
		if !list.ReadUint8LengthPrefixed(&name) {
			break
		}
		names = append(names, name)
	}
	return names
}

// IsGREASE tells the reserved values of RFC 8701, which mean nothing.
func IsGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// HighestVersion returns the highest version that the client offers. DTLS counts downwards (RFC 6347 §4.1).
func (h *ClientHello) HighestVersion() uint16 {
	best := uint16(0)
	for i := range h.Versions.Len() {
		v := h.Versions.at(i)
		if !IsGREASE(v) && (best == 0 || newer(v, best)) {
			best = v
		}
	}
	if best == 0 {
		best = h.LegacyVersion
	}
	return best
}

func newer(a, b uint16) bool {
	if a>>8 == 0xfe && b>>8 == 0xfe {
		return a < b
	}
	return a > b
}
