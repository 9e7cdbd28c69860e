package multibuffer

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

// want is what the standard library says.
func want(head, text []byte) [32]byte {
	return sha256.Sum256(append(append([]byte{}, head...), text...))
}

func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// TestSumsAreThoseOfTheStandardLibrary hashes messages of every length up to five blocks beside others of any length.
func TestSumsAreThoseOfTheStandardLibrary(t *testing.T) {
	if !twoAtATime {
		t.Log("no SHA instructions here: only the standard library is tested")
	}
	for _, head := range [][]byte{nil, {0}, random(16), random(63)} {
		for n := range 5 * blockSize {
			texts := [][]byte{random(n)}
			for range rand.IntN(6) {
				texts = append(texts, random(rand.IntN(6*blockSize)))
			}
			got := make([][32]byte, len(texts))
			Sum256(head, texts, got)
			for i, text := range texts {
				if got[i] != want(head, text) {
					t.Fatalf("head of %d bytes, message %d of %d with %d bytes: another hash", len(head), i, len(texts), len(text))
				}
			}
		}
	}
}

func TestBothWaysGiveTheSame(t *testing.T) {
	texts := [][]byte{random(1000), random(3), random(0), random(70_000)}
	var a, b [4][32]byte
	one([]byte{0}, texts, a[:])
	Sum256([]byte{0}, texts, b[:])
	if a != b || a[0] == a[1] {
		t.Error("another hash")
	}
	Sum256(nil, nil, nil)
}

func FuzzSum256(f *testing.F) {
	f.Add([]byte("head"), []byte("text"), 2, 3)
	f.Add([]byte{}, make([]byte, 500), 64, 128)
	f.Fuzz(func(t *testing.T, head, text []byte, i, j int) {
		head = head[:min(len(head), blockSize-1)]
		i = min(max(i, 0), len(text))
		j = min(max(j, i), len(text))
		texts := [][]byte{text[:i], text[i:j], text[j:]}
		var got [3][32]byte
		Sum256(head, texts, got[:])
		for n := range texts {
			if got[n] != want(head, texts[n]) {
				t.Errorf("message %d", n)
			}
		}
	})
}

func BenchmarkSum256(b *testing.B) {
	texts := make([][]byte, 64)
	for i := range texts {
		texts[i] = random(1000 + rand.IntN(2000))
	}
	total := int64(0)
	for _, text := range texts {
		total += int64(len(text))
	}
	to := make([][32]byte, len(texts))
	b.Run("two", func(b *testing.B) {
		b.SetBytes(total)
		for b.Loop() {
			Sum256([]byte{0}, texts, to)
		}
	})
	b.Run("one", func(b *testing.B) {
		b.SetBytes(total)
		for b.Loop() {
			one([]byte{0}, texts, to)
		}
	})
}
