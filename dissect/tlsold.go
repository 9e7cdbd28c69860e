package dissect

import (
	"encoding/binary"

	"netaudit/dissect/tls"
)

// isOldClientHello knows the form in which clients that still knew SSL 2 offer TLS (RFC 5246 §E.2): a record of another kind, whose lists account for all of its length.
func isOldClientHello(b []byte) bool {
	const head, mostSession, leastChallenge, mostChallenge = 11, 32, 16, 32
	if len(b) < head || b[0]&0x80 == 0 || b[2] != 1 || b[3] != 3 || b[4] > 4 {
		return false
	}
	suites, session, challenge := int(binary.BigEndian.Uint16(b[5:])), int(binary.BigEndian.Uint16(b[7:])), int(binary.BigEndian.Uint16(b[9:]))
	return suites > 0 && suites%3 == 0 && session <= mostSession && challenge >= leastChallenge && challenge <= mostChallenge && oldHelloLength(b) == head+suites+session+challenge
}

// oldHelloLength is that of the whole record in bytes.
func oldHelloLength(b []byte) int { return 2 + int(b[0]&0x7f)<<8 + int(b[1]) }

// oldClientHello keeps the version that such a hello offers. It has no extensions, so no name, and no fingerprint is defined for it.
func (t *tlsStream) oldClientHello(e *Engine, c *conn, b []byte) {
	t.client = true
	if c.flow.TLS == nil {
		c.flow.TLS = e.tls.take()
		*c.flow.TLS = TLS{StartTLS: t.startTLS, Version: tls.VersionName(binary.BigEndian.Uint16(b[3:]))}
	}
}
