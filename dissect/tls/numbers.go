package tls

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
)

// Numbers is a list of numbers of two bytes as it stands in a message: what many hellos have in common is not taken apart for each of them.
type Numbers []byte

// numbersOf is empty for a list that ends within a number.
func numbersOf(s cryptobyte.String) Numbers {
	if len(s)%2 != 0 {
		return nil
	}
	return Numbers(s)
}

// Len is how many numbers there are.
func (n Numbers) Len() int { return len(n) / 2 }

// at returns the i-th number, counted from 0.
func (n Numbers) at(i int) uint16 { return binary.BigEndian.Uint16(n[2*i:]) }

func (n Numbers) list() []uint16 {
	list := make([]uint16, n.Len())
	for i := range list {
		list[i] = n.at(i)
	}
	return list
}

func (n Numbers) contains(number uint16) bool {
	for i := range n.Len() {
		if n.at(i) == number {
			return true
		}
	}
	return false
}
