package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/dgraph-io/badger/v4"
)

// source gives the blocks in which some rows are, in the order of a search.
type source interface {
	seek(block uint64) (at uint64, ok bool, err error) // to this block or the next one that there is
	rows() *bitmap                                     // of the block
	close()
}

func blockKey(term []byte, block uint64) []byte {
	return binary.BigEndian.AppendUint64(bytes.Clone(term), block)
}

// cursor reads the blocks of one value.
type cursor struct {
	it      *badger.Iterator
	term    []byte
	back    bool
	started bool
	found   bitmap
}

func newCursor(txn *badger.Txn, term []byte, back bool) *cursor {
	return &cursor{it: txn.NewIterator(badger.IteratorOptions{Prefix: term, Reverse: back}), term: term, back: back}
}

func (c *cursor) close()        { c.it.Close() }
func (c *cursor) rows() *bitmap { return &c.found }

// stepsBeforeSeek is how many blocks are passed one by one before the store is asked for the place: asking costs about as much.
const stepsBeforeSeek = 8

func (c *cursor) seek(block uint64) (at uint64, ok bool, err error) {
	for step := 0; c.started && step < stepsBeforeSeek && c.it.Valid(); step++ {
		if _, at, _ = parseIndexKey(c.it.Item().Key()); at == block || (at < block) == c.back {
			return c.read()
		}
		c.it.Next()
	}
	c.it.Seek(blockKey(c.term, block))
	c.started = true
	return c.read()
}

func (c *cursor) read() (at uint64, ok bool, err error) {
	if !c.it.Valid() {
		return 0, false, nil
	}
	term, at, ok := parseIndexKey(c.it.Item().Key())
	if !ok || !bytes.Equal(term, c.term) {
		return 0, false, fmt.Errorf("the index has a malformed key %x", c.it.Item().Key())
	}
	err = c.it.Item().Value(func(v []byte) error {
		if c.found, ok = parseBitmap(v); !ok {
			return fmt.Errorf("the index has a malformed entry for %q", term[6:len(term)-1])
		}
		return nil
	})
	return at, ok, err
}

// names are the blocks of all values that begin alike, of one day.
type names struct {
	blocks []uint64 // in the order of the search
	of     map[uint64]bitmap
	at     int
	found  bitmap
	back   bool
}

// loadNames reads them; ok is false when there are too many.
func loadNames(txn *badger.Txn, day uint32, name string, back bool) (n *names, ok bool, err error) {
	n = &names{of: map[uint64]bitmap{}, back: back}
	keys := 0
	for _, kind := range nameKinds {
		prefix := appendTermKey(nil, day, kind, name)
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix[:len(prefix)-1]})
		for it.Rewind(); it.Valid() && err == nil && keys <= mostNameKeys; it.Next() {
			keys++
			err = n.take(it.Item())
		}
		it.Close()
	}
	n.blocks = slices.Sorted(maps.Keys(n.of))
	if back {
		slices.Reverse(n.blocks)
	}
	return n, keys <= mostNameKeys, err
}

func (n *names) take(item *badger.Item) error {
	_, block, ok := parseIndexKey(item.Key())
	if !ok {
		return fmt.Errorf("the index has a malformed key %x", item.Key())
	}
	return item.Value(func(v []byte) error {
		b, ok := parseBitmap(v)
		if !ok {
			return fmt.Errorf("the index has a malformed entry at %x", item.Key())
		}
		all := n.of[block]
		all.or(&b)
		n.of[block] = all
		return nil
	})
}

func (n *names) seek(block uint64) (at uint64, ok bool, err error) {
	n.at = sort.Search(len(n.blocks), func(i int) bool {
		return n.blocks[i] == block || (n.blocks[i] < block) == n.back
	})
	if n.at == len(n.blocks) {
		return 0, false, nil
	}
	n.found = n.of[n.blocks[n.at]]
	return n.blocks[n.at], true, nil
}

func (n *names) rows() *bitmap { return &n.found }
func (n *names) close()        {}
