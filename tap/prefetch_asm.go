//go:build amd64 || arm64

package tap

// prefetch asks the processor for the memory at p, the place of the next record: it comes while the present one is read. Of a mapped file nothing lies in the caches yet, and records are too far apart for the processor to foresee it. p may
// lie close before the end of its memory, for nothing is read.
//
//go:noescape
func prefetch(p *byte)
