// Package multibuffer computes SHA-256 (FIPS 180-4) of many messages, two at a time. A round of the processor's SHA instructions waits twice as long for the round before as the instruction itself takes: two messages side by
// side fill that time (Gulley et al., "Intel SHA Extensions", 2013; Gopal et al., "Processing Multiple Buffers in Parallel", 2010). Where there are no such instructions the standard library does the work.
//
// It is used where a log is verified: what it computes is compared with what the standard library computed when the rows were written.
package multibuffer

import (
	"crypto/sha256"
	"encoding/binary"
)

const blockSize = 64

// Sum256 computes the hash of head and text together, for each text; the hash of texts[i] is put into to[i], so to must be as long. head is shorter than 64 bytes. The texts are only read. Any goroutine may call it.
func Sum256(head []byte, texts [][]byte, to [][32]byte) {
	if !twoAtATime || len(texts) < 2 {
		one(head, texts, to)
		return
	}
	two(head, texts, to)
}

// one hashes with the standard library.
func one(head []byte, texts [][]byte, to [][32]byte) {
	h := sha256.New()
	for i, text := range texts {
		h.Reset()
		h.Write(head)
		h.Write(text)
		h.Sum(to[i][:0])
	}
}

// initial is the hash before the first block, and roundConstants are those of FIPS 180-4 §4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes.
var (
	initial = [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

	roundConstants = [64]uint32{
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
		0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
		0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
		0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
		0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
		0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
		0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
		0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
	}
)

// lane is one of the two messages that are being hashed.
type lane struct {
	state  [8]uint32
	run    []byte // whole blocks that come next
	middle []byte // … that come then
	tail   []byte // … and at last
	to     *[32]byte
	first  [blockSize]byte     // head, and the beginning of the text
	last   [2 * blockSize]byte // end of the text, and the padding
}

// begin takes a message.
func (l *lane) begin(head, text []byte, to *[32]byte) {
	l.state, l.to, l.run, l.middle = initial, to, nil, nil
	length, rest := len(head)+len(text), l.last[:]
	if n := blockSize - len(head); len(text) >= n {
		copy(l.first[:], head)
		copy(l.first[len(head):], text[:n])
		l.run, text = l.first[:], text[n:]
		whole := len(text) - len(text)%blockSize
		l.middle, text = text[:whole], text[whole:]
	} else {
		rest = rest[copy(rest, head):]
	}
	// FIPS 180-4 §5.1.1: behind the text a bit, zeros, and the length in bits
	used := len(l.last) - len(rest) + copy(rest, text)
	end := blockSize
	if used >= blockSize-8 {
		end = 2 * blockSize
	}
	clear(l.last[used:end])
	l.last[used] = 0x80
	binary.BigEndian.PutUint64(l.last[end-8:end], uint64(length)*8)
	l.tail = l.last[:end]
	l.next()
}

// next goes on to the next blocks that lie together; false when there are none.
func (l *lane) next() bool {
	for len(l.run) == 0 && len(l.tail) > 0 {
		l.run, l.middle = l.middle, nil
		if len(l.run) == 0 {
			l.run, l.tail = l.tail, nil
		}
	}
	return len(l.run) > 0
}

// done writes the hash.
func (l *lane) done() {
	for i, word := range l.state {
		binary.BigEndian.PutUint32(l.to[4*i:], word)
	}
}

// two hashes two messages side by side; a lane that is done takes the next one.
func two(head []byte, texts [][]byte, to [][32]byte) {
	var a, b lane
	next := 0
	refill := func(l *lane) bool {
		for !l.next() {
			if l.to != nil {
				l.done()
				l.to = nil
			}
			if next == len(texts) {
				return false
			}
			l.begin(head, texts[next], &to[next])
			next++
		}
		return true
	}
	for refill(&a) && refill(&b) {
		side(&a, &b, min(len(a.run), len(b.run))/blockSize)
	}
	rest := &a
	if rest.to == nil {
		rest = &b
	}
	idle := lane{}
	for refill(rest) {
		idle.run = rest.run
		side(rest, &idle, len(rest.run)/blockSize)
	}
}

// side hashes n blocks of each lane.
func side(a, b *lane, n int) {
	blocks2(&a.state, &b.state, &a.run[0], &b.run[0], n, &roundConstants)
	a.run, b.run = a.run[n*blockSize:], b.run[n*blockSize:]
}
