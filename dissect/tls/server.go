package tls

import "golang.org/x/crypto/cryptobyte"

// ServerHello is the server's choice. The zero value is ready; Parse fills it again and again. Byte slices are valid as long as the
// message. One goroutine owns it.
type ServerHello struct {
	Version    uint16 // negotiated
	Legacy     uint16
	Cipher     uint16
	Group      uint16 // of the key share, 0 when it does not say (≤ 1.2)
	Extensions Numbers
	ALPN       []byte // ≤ 1.2 only: 1.3 encrypts it
	SessionID  []byte
	PSK        bool   // 1.3: with a pre-shared key
	PSKIndex   uint16 // which of those that the client offers
	Retry      bool   // HelloRetryRequest (RFC 8446 §4.1.4)
}

// helloRetry is the random value that makes a ServerHello a HelloRetryRequest.
const helloRetry = "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"

// Parse reads the body of a ServerHello message.
func (h *ServerHello) Parse(body []byte) error {
	*h = ServerHello{Extensions: h.Extensions[:0]}
	s := cryptobyte.String(body)
	var random []byte
	var session cryptobyte.String
	if !s.ReadUint16(&h.Legacy) || !s.ReadBytes(&random, 32) || !s.ReadUint8LengthPrefixed(&session) ||
		!s.ReadUint16(&h.Cipher) || !s.Skip(1) {
		return ErrMalformed
	}
	h.Version, h.Retry, h.SessionID = h.Legacy, string(random) == helloRetry, session
	if s.Empty() {
		return nil
	}
	var ok bool
	if h.Extensions, ok = eachExtension(s, h.Extensions, h.extension); !ok {
		return ErrMalformed
	}
	return nil
}

func (h *ServerHello) extension(kind uint16, data cryptobyte.String) {
	switch kind {
	case extSupportedVersions:
		data.ReadUint16(&h.Version)
	case extKeyShare: // the group alone in a HelloRetryRequest, the group and a key otherwise
		data.ReadUint16(&h.Group)
	case extALPN:
		var one [1][]byte
		if names := appendProtocols(one[:0], data); len(names) == 1 {
			h.ALPN = names[0]
		}
	case extPreSharedKey:
		h.PSK = true
		data.ReadUint16(&h.PSKIndex)
	}
}

// KeyExchangeGroup reads the curve of a ServerKeyExchange message (RFC 8422 §5.4); 0 when it names none.
func KeyExchangeGroup(body []byte) uint16 {
	const namedCurve = 3
	if len(body) < 3 || body[0] != namedCurve {
		return 0
	}
	return uint16(body[1])<<8 | uint16(body[2])
}
