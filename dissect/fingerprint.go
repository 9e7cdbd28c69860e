package dissect

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
)

// fingerprinter is HMAC-SHA-256 over the first bytes of both sides, each preceded by its length: it ties a row to a capture that
// somebody holds and reveals nothing without the installation's key. One engine owns it.
type fingerprinter struct {
	mac  hash.Hash
	text [2 * (1 + len(firstBytes{}.data))]byte
}

func newFingerprinter(key [32]byte) fingerprinter {
	return fingerprinter{mac: hmac.New(sha256.New, key[:])}
}

func (p *fingerprinter) sum(first *[2]firstBytes) (sum [32]byte) {
	text := p.text[:0]
	for i := range first {
		text = append(append(text, first[i].n), first[i].data[:first[i].n]...)
	}
	p.mac.Reset()
	p.mac.Write(text)
	copy(sum[:], p.mac.Sum(p.text[:0]))
	return sum
}
