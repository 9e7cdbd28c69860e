// Package tls reads what a TLS handshake says in the clear: ClientHello, ServerHello, the certificate of versions up to 1.2. Every
// function works on a bounded byte slice, copies what it keeps, and reports damage instead of panicking.
//
// Sources: RFC 8446 (TLS 1.3), RFC 5246 (1.2), RFC 6066 (SNI), RFC 7301 (ALPN), RFC 8701 (GREASE), RFC 9849 (ECH).
package tls

import (
	"errors"
	"strings"

	"golang.org/x/crypto/cryptobyte"
)

// ErrMalformed says that a handshake message contradicts its own lengths.
var ErrMalformed = errors.New("malformed handshake message")

// Handshake message types (RFC 8446 §4).
const (
	TypeClientHello = 1
	TypeServerHello = 2
	TypeCertificate = 11
	TypeServerDone  = 14
	TypeFinished    = 20
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
	extQUICParameters       = 57
	extEncryptedClientHello = 0xfe0d
)

const (
	mostExtensions = 128 // of one hello; more is damage
	mostProtocols  = 32  // ALPN names that are kept
	longestName    = 255 // bytes of a server name or protocol name
)

// ClientHello is what a client offers, in its own order.
type ClientHello struct {
	LegacyVersion uint16
	Versions      []uint16 // supported_versions, nil when absent
	Ciphers       []uint16
	Extensions    []uint16
	Groups        []uint16
	PointFormats  []uint8
	SignatureAlgs []uint16
	ServerName    string // lower case, "" when absent
	ALPN          []string
	ECH           bool
	EarlyData     bool
	PreSharedKey  bool
	SessionID     []byte
}

// ParseClientHello reads the body of a ClientHello message (without the 4-byte handshake header).
func ParseClientHello(body []byte) (*ClientHello, error) {
	s := cryptobyte.String(body)
	h := &ClientHello{}
	var session, ciphers, compression cryptobyte.String
	if !s.ReadUint16(&h.LegacyVersion) || !s.Skip(32) || !s.ReadUint8LengthPrefixed(&session) ||
		!s.ReadUint16LengthPrefixed(&ciphers) || !s.ReadUint8LengthPrefixed(&compression) {
		return nil, ErrMalformed
	}
	h.SessionID = append([]byte(nil), session...)
	var ok bool
	if h.Ciphers, ok = uint16s(ciphers); !ok {
		return nil, ErrMalformed
	}
	if s.Empty() {
		return h, nil // SSL 3.0 and early TLS 1.0 had no extensions
	}
	var extensions cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&extensions) {
		return nil, ErrMalformed
	}
	for !extensions.Empty() {
		var kind uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&data) || len(h.Extensions) >= mostExtensions {
			return nil, ErrMalformed
		}
		h.Extensions = append(h.Extensions, kind)
		h.extension(kind, data)
	}
	return h, nil
}

// extension keeps what matters of one extension. A malformed one is kept by number only: the hello is still evidence.
func (h *ClientHello) extension(kind uint16, data cryptobyte.String) {
	var list cryptobyte.String
	switch kind {
	case extServerName:
		h.ServerName = serverName(data)
	case extSupportedGroups:
		if data.ReadUint16LengthPrefixed(&list) {
			h.Groups, _ = uint16s(list)
		}
	case extPointFormats:
		if data.ReadUint8LengthPrefixed(&list) {
			h.PointFormats = append([]uint8(nil), list...)
		}
	case extSignatureAlgs:
		if data.ReadUint16LengthPrefixed(&list) {
			h.SignatureAlgs, _ = uint16s(list)
		}
	case extALPN:
		h.ALPN = protocols(data)
	case extSupportedVersions:
		if data.ReadUint8LengthPrefixed(&list) {
			h.Versions, _ = uint16s(list)
		}
	case extPreSharedKey:
		h.PreSharedKey = true
	case extEarlyData:
		h.EarlyData = true
	case extEncryptedClientHello:
		h.ECH = true
	}
}

// serverName returns the first host_name of RFC 6066 §3, in lower case, without a final dot. Bytes that no host name has are replaced.
func serverName(data cryptobyte.String) string {
	var list cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) {
		return ""
	}
	for !list.Empty() {
		var kind uint8
		var name cryptobyte.String
		if !list.ReadUint8(&kind) || !list.ReadUint16LengthPrefixed(&name) {
			return ""
		}
		if kind == 0 && len(name) > 0 {
			return CleanName(name)
		}
	}
	return ""
}

// CleanName makes a host name printable: lower case, at most 255 bytes, without a final dot; every byte that is neither printable ASCII nor
// valid UTF-8 becomes "?". It is also used for names from DNS, HTTP and mail greetings.
func CleanName(raw []byte) string {
	if len(raw) > longestName {
		raw = raw[:longestName]
	}
	name := strings.ToLower(strings.ToValidUTF8(string(raw), "?"))
	name = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '?'
		}
		return r
	}, name)
	return strings.TrimSuffix(name, ".")
}

func protocols(data cryptobyte.String) []string {
	var list cryptobyte.String
	if !data.ReadUint16LengthPrefixed(&list) {
		return nil
	}
	var names []string
	for !list.Empty() && len(names) < mostProtocols {
		var name cryptobyte.String
		if !list.ReadUint8LengthPrefixed(&name) {
			break
		}
		names = append(names, string(name))
	}
	return names
}

func uint16s(s cryptobyte.String) ([]uint16, bool) {
	if len(s)%2 != 0 {
		return nil, false
	}
	list := make([]uint16, 0, len(s)/2)
	for !s.Empty() {
		var v uint16
		s.ReadUint16(&v)
		list = append(list, v)
	}
	return list, true
}

// IsGREASE tells the reserved values of RFC 8701, which mean nothing.
func IsGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// HighestVersion returns the highest version that the client offers.
func (h *ClientHello) HighestVersion() uint16 {
	best := uint16(0)
	for _, v := range h.Versions {
		if !IsGREASE(v) && v > best {
			best = v
		}
	}
	if best == 0 {
		best = h.LegacyVersion
	}
	return best
}

// ServerHello is the server's choice.
type ServerHello struct {
	Version    uint16 // negotiated
	Legacy     uint16
	Cipher     uint16
	Extensions []uint16
	ALPN       string // ≤ 1.2 only: 1.3 encrypts it
	SessionID  []byte
	PSK        bool // 1.3: resumed
	Retry      bool // HelloRetryRequest (RFC 8446 §4.1.4)
}

// helloRetry is the random value that makes a ServerHello a HelloRetryRequest.
const helloRetry = "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"

// ParseServerHello reads the body of a ServerHello message.
func ParseServerHello(body []byte) (*ServerHello, error) {
	s := cryptobyte.String(body)
	h := &ServerHello{}
	var random []byte
	var session, extensions cryptobyte.String
	if !s.ReadUint16(&h.Legacy) || !s.ReadBytes(&random, 32) || !s.ReadUint8LengthPrefixed(&session) ||
		!s.ReadUint16(&h.Cipher) || !s.Skip(1) {
		return nil, ErrMalformed
	}
	h.Version, h.Retry = h.Legacy, string(random) == helloRetry
	h.SessionID = append([]byte(nil), session...)
	if s.Empty() {
		return h, nil
	}
	if !s.ReadUint16LengthPrefixed(&extensions) {
		return nil, ErrMalformed
	}
	for !extensions.Empty() {
		var kind uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&data) || len(h.Extensions) >= mostExtensions {
			return nil, ErrMalformed
		}
		h.Extensions = append(h.Extensions, kind)
		switch kind {
		case extSupportedVersions:
			data.ReadUint16(&h.Version)
		case extALPN:
			if names := protocols(data); len(names) == 1 {
				h.ALPN = names[0]
			}
		case extPreSharedKey:
			h.PSK = true
		}
	}
	return h, nil
}

// VersionName writes a protocol version as it stands in events.
func VersionName(v uint16) string {
	switch v {
	case 0x0300:
		return "ssl3"
	case 0x0301:
		return "1.0"
	case 0x0302:
		return "1.1"
	case 0x0303:
		return "1.2"
	case 0x0304:
		return "1.3"
	case 0xfeff:
		return "dtls1.0"
	case 0xfefd:
		return "dtls1.2"
	case 0xfefc:
		return "dtls1.3"
	default:
		return "unknown"
	}
}
