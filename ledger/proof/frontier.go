package proof

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// frontier is a growing RFC 6962 tree of which only the right edge is kept: the roots of the perfect subtrees that its size is made of, the largest first (a "compact range" in
// transparency-dev/merkle).
type frontier struct {
	size  uint64
	roots []tlog.Hash
}

// newFrontier takes the edge of a tree of so many leaves.
func newFrontier(size uint64, roots []tlog.Hash) (*frontier, error) {
	if len(roots) != bits.OnesCount64(size) {
		return nil, fmt.Errorf("%w: %d hashes cannot cover %d rows", ErrUnproved, len(roots), size)
	}
	return &frontier{size, append([]tlog.Hash(nil), roots...)}, nil
}

// add appends a leaf: as often as the size is even after a halving, two subtrees become one.
func (f *frontier) add(leaf tlog.Hash) {
	f.roots = append(f.roots, leaf)
	for s := f.size; s&1 == 1; s >>= 1 {
		n := len(f.roots)
		f.roots = append(f.roots[:n-2], tlog.NodeHash(f.roots[n-2], f.roots[n-1]))
	}
	f.size++
}

// root is the hash of the whole tree.
func (f *frontier) root() tlog.Hash {
	if len(f.roots) == 0 {
		return emptyRoot
	}
	root := f.roots[len(f.roots)-1]
	for i := len(f.roots) - 2; i >= 0; i-- {
		root = tlog.NodeHash(f.roots[i], root)
	}
	return root
}

// emptyRoot is the root of a tree without leaves: SHA-256 of nothing (RFC 6962 §2.1).
var emptyRoot = tlog.Hash{
	0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
	0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
}
