package dissect

import (
	"crypto/sha256"
	"hash"
)

// fingerprinter is SHA-256 over the installation's key and the first bytes of both sides, each preceded by its length: it ties a row to a capture that
// somebody holds and reveals nothing without the key. No input is the beginning of another one, so a keyed hash needs no second pass (HMAC's is
// there for inputs that can be prolonged). One engine owns it.
type fingerprinter struct {
	hash hash.Hash                                        // kept, as out is: of sha256.Sum256 both can come to be allocated for each flow
	text [sha256.Size + 2*(1+len(firstBytes{}.data))]byte // begins with the key
	out  [sha256.Size]byte
}

func newFingerprinter(key [32]byte) (p fingerprinter) {
	p.hash = sha256.New()
	copy(p.text[:], key[:])
	return p
}

func (p *fingerprinter) sum(first *[2]firstBytes) [32]byte {
	text := p.text[:sha256.Size]
	for i := range first {
		text = append(append(text, first[i].n), first[i].data[:first[i].n]...)
	}
	p.hash.Reset()
	_, _ = p.hash.Write(text) // it never fails
	p.hash.Sum(p.out[:0])
	return p.out
}
