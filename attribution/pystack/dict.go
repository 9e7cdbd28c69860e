package pystack

import (
	"fmt"

	"netaudit/attribution/pystack/memory"
)

// maxProbes bounds the search in a hash table; CPython's are at most two thirds full.
const maxProbes = 256

// lookup finds the value under a string object of the target in the dict keys object at keys, by the hash that the string has (Objects/dictobject.c, lookdict); 0 when it is not there,
// or when the string's hash was never computed: it never was a key.
func (l *layout) lookup(r memory.Reader, keys, name uint64) (uint64, error) {
	hash, err := memory.Uint64(r, name+strHash)
	if err != nil || hash == ^uint64(0) {
		return 0, err
	}
	t, err := l.hashTable(r, keys)
	if err != nil {
		return 0, err
	}
	at, perturb := hash&t.mask, hash
	for range maxProbes {
		index, err := t.index(r, at)
		if err != nil || index == -1 { // an empty place ends the search; -2 is one that was deleted
			return 0, err
		}
		if index >= 0 {
			var entry [16]byte
			if err := r.ReadAt(t.entries+uint64(index)*t.stride+t.keyAt, entry[:]); err != nil {
				return 0, fmt.Errorf("reading a dict: %w", err)
			}
			if key := le64(entry[:], 0); key == name || l.equal(r, key, name, hash) {
				return le64(entry[:], 8), nil
			}
		}
		perturb >>= 5
		at = (at*5 + perturb + 1) & t.mask
	}
	return 0, nil
}

// strHash is where a string has its hash (PyASCIIObject.hash).
const strHash = 24

// equal compares two strings of the target.
func (l *layout) equal(r memory.Reader, a, b, hash uint64) bool {
	other, err := memory.Uint64(r, a+strHash)
	if err != nil || other != hash {
		return false
	}
	left, err := l.str(r, a)
	if err != nil {
		return false
	}
	right, err := l.str(r, b)
	return err == nil && left == right
}

// hashTable is where the indices and entries of a dict keys object are.
type hashTable struct {
	indices, width, mask   uint64
	entries, stride, keyAt uint64
}

func (l *layout) hashTable(r memory.Reader, keys uint64) (t hashTable, err error) {
	if t.entries, _, t.stride, t.keyAt, err = l.dictEntries(r, keys); err != nil {
		return t, err
	}
	var head [16]byte
	if err := r.ReadAt(keys, head[:]); err != nil {
		return t, fmt.Errorf("reading a dict: %w", err)
	}
	t.indices = keys + 32
	size := le64(head[:], 8)
	if l.minor <= 10 {
		t.indices = keys + 40
	} else {
		size = 1 << min(head[8], 40)
	}
	if size == 0 || size&(size-1) != 0 {
		return t, fmt.Errorf("reading a dict: %w", errImplausible)
	}
	t.mask, t.width = size-1, (t.entries-t.indices)/size
	if t.width != 1 && t.width != 2 && t.width != 4 && t.width != 8 {
		return t, fmt.Errorf("reading a dict: %w", errImplausible)
	}
	return t, nil
}

// index reads one place of the table: the number of an entry, or a negative mark.
func (t *hashTable) index(r memory.Reader, at uint64) (int64, error) {
	var b [8]byte
	if err := r.ReadAt(t.indices+at*t.width, b[:t.width]); err != nil {
		return 0, fmt.Errorf("reading a dict: %w", err)
	}
	n := le64(b[:], 0)
	shift := 64 - 8*t.width
	return int64(n<<shift) >> shift, nil
}
