package dissect

import (
	"crypto/hmac"
	"crypto/sha256"
)

// fingerprint is HMAC-SHA-256 over the first bytes of both sides, each preceded by its length: it ties a row to a capture that
// somebody holds and reveals nothing without the installation's key.
func fingerprint(key [32]byte, first *[2]firstBytes) (sum [32]byte) {
	m := hmac.New(sha256.New, key[:])
	for i := range first {
		m.Write([]byte{first[i].n})
		m.Write(first[i].data[:first[i].n])
	}
	m.Sum(sum[:0])
	return sum
}
