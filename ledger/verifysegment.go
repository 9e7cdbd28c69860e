package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"

	"github.com/dgraph-io/badger/v4"
	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger/proof"
)

// segmentRows is how many rows one goroutine reads at a time, at most: whole blocks of the index and whole tiles.
const segmentRows = 4 * blockRows

// rowsBetweenStops is how many rows pass between two looks at the context.
const rowsBetweenStops = 256

// segment is what a stretch of rows gives. Row hashes can be checked without knowing the rows before: each stored one must follow from the stored one before it. Only the first row of a segment waits for join.
type segment struct {
	first, end uint64 // rows, end not included
	err        error

	unchained []tlog.Hash // leaves up to the first row that is there, that one included when there is one
	stored    bool        // there is one, and its stored row hash is …
	then      [32]byte
	chain     [32]byte // row hash after the last row, if stored

	tree     *compact.Range
	nodes    []treeNode // hashes that lie in tiles above the lowest
	withheld []dayRange // rows that are not there
	logged   []Retention
	sums     totalsOfRows
	terms    *termSums
	index    *termSums // of what the store says, for the days that end in this segment
}

// treeNode is a hash of the tree with its place.
type treeNode struct {
	level, index uint64
	hash         tlog.Hash
}

// ranges computes trees with the library of transparency-dev.
var ranges = &compact.RangeFactory{Hash: func(left, right []byte) []byte {
	var b [1 + 2*tlog.HashSize]byte
	b[0] = 1 // RFC 6962 §2.1
	copy(b[1:], left)
	copy(b[1+tlog.HashSize:], right)
	h := sha256.Sum256(b[:])
	return h[:]
}}

// segmentReader reads one segment. One goroutine owns it.
type segmentReader struct {
	*verifier
	*segment
	txn    *badger.Txn
	next   uint64
	hasher hash.Hash
	tiles  *badger.Iterator // over the lowest ones, upwards
	tile   []byte           // stored leaves of the tile of next
	leaves []byte           // computed ones, which the tree refers to
	fields fieldReader
	groups unpacker
}

// read checks the rows of a segment against their stored leaves and row hashes.
func (v *verifier) read(ctx context.Context, txn *badger.Txn, s *segment) error {
	s.tree = ranges.NewEmptyRange(s.first)
	s.terms, s.index = newTermSums(v.seed), newTermSums(v.seed)
	r := &segmentReader{verifier: v, segment: s, txn: txn, next: s.first, hasher: sha256.New(), groups: unpacker{grouped: v.id.layout.groups}, leaves: make([]byte, 0, (s.end-s.first)*tlog.HashSize)}
	if v.id.layout.leaves {
		r.tiles = txn.NewIterator(badger.IteratorOptions{Prefix: []byte{tableLeaves}, Reverse: true}) // the newest come first there
		defer r.tiles.Close()
	}
	if err := r.rows(ctx); err != nil {
		return err
	}
	if v.indexed {
		return r.readIndex(ctx)
	}
	return nil
}

func (r *segmentReader) rows(ctx context.Context) error {
	o := badger.DefaultIteratorOptions
	o.Prefix, o.PrefetchValues = []byte{r.id.layout.rows}, false // values stand beside their keys: fetching ahead costs a goroutine a row
	it := r.txn.NewIterator(o)
	defer it.Close()
	from := []byte{r.id.layout.rows}
	if day, ok := dayOf(r.days, r.first); ok && r.first > 0 {
		from = r.id.layout.row(day, r.first)
	}
	for it.Seek(from); it.Valid() && ctx.Err() == nil; it.Next() {
		day, first, ok := r.id.layout.parseRow(it.Item().Key())
		if !ok || first < r.next {
			return badRow(r.next, "it is missing: the store goes on with row %d", first)
		}
		if want, known := dayOf(r.days, first); known && want != day {
			return badRow(first, "it is stored among the rows of another day")
		}
		if err := r.missing(min(first, r.end)); err != nil {
			return err
		}
		if r.next == r.end {
			return nil
		}
		if err := it.Item().Value(func(value []byte) error { return r.group(day, first, value) }); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.next < r.end {
		return badRow(r.next, "it is missing: the anchor speaks of %d rows", r.anchor.Size)
	}
	return nil
}

// missing takes the leaves of rows that are not there out of the tree. Whether they may be missing is decided at the end, where the log's rows say which were taken away.
func (r *segmentReader) missing(until uint64) error {
	if r.next == until {
		return nil
	}
	r.withheld = append(r.withheld, dayRange{first: r.next, last: until - 1})
	for r.next < until {
		leaf, err := r.storedLeaf()
		if err != nil {
			return badRow(r.next, "it is missing, and its hash too: %v", err)
		}
		if r.stored {
			r.chain = proof.ChainHash(r.next, r.chain, leaf)
		} else {
			r.unchained = append(r.unchained, leaf)
		}
		if err := r.fold(leaf); err != nil {
			return err
		}
	}
	return nil
}

// storedLeaf is the leaf that the tree holds for the next row.
func (r *segmentReader) storedLeaf() (leaf tlog.Hash, err error) {
	at := r.next % 256
	if at == 0 || len(r.tile) <= int(at)*tlog.HashSize {
		tile := tlog.Tile{H: tileHeight, L: 0, N: int64(r.next / 256), W: int(min(256, r.anchor.Size-r.next+at))}
		if err = r.loadTile(tile, int(at)); err != nil {
			return leaf, &badPlace{where: "tile " + tile.Path(), detail: err.Error()}
		}
	}
	return tlog.Hash(r.tile[at*tlog.HashSize:]), nil
}

// loadTile reads a tile as far as its leaf `at`, at least. Many lie in one compressed block: whoever goes from one to the next decompresses it once. The last tile of a store that lost its tail is narrower than the anchor says.
func (r *segmentReader) loadTile(tile tlog.Tile, at int) (err error) {
	if r.tiles != nil && tile.W == 256 {
		key := r.id.layout.tile(tile)
		if r.tiles.Valid() {
			r.tiles.Next()
		}
		if !r.tiles.Valid() || !bytes.Equal(r.tiles.Item().Key(), key) {
			r.tiles.Seek(key)
		}
		if r.tiles.Valid() && bytes.Equal(r.tiles.Item().Key(), key) && r.tiles.Item().ValueSize() == 256*tlog.HashSize {
			r.tile, err = r.tiles.Item().ValueCopy(r.tile)
			return err
		}
	}
	if r.tile, err = r.id.layout.readTile(r.txn, tile); errors.Is(err, badger.ErrKeyNotFound) {
		tile.W = at + 1
		r.tile, err = r.id.layout.readTile(r.txn, tile)
	}
	return err
}

// group checks the rows of one value. What a store holds beyond the anchor is not looked at.
func (r *segmentReader) group(day uint32, first uint64, value []byte) error {
	rows, err := r.groups.unpack(first, value)
	if err != nil {
		return badRow(first, "%v", err)
	}
	for _, row := range rows {
		if r.next == r.end {
			break
		}
		if want, known := dayOf(r.days, r.next); known && want != day {
			return badRow(r.next, "it is stored among the rows of another day")
		}
		if err := r.row(row); err != nil {
			return err
		}
	}
	return nil
}

// row checks the leaf and the row hash of the next row.
func (r *segmentReader) row(value []byte) error {
	seq := r.next
	if len(value) < 32 {
		return badRow(seq, "it has %d bytes in the store, fewer than its hash", len(value))
	}
	text, chain := value[32:], [32]byte(value[:32])
	var leaf tlog.Hash
	r.hasher.Reset()
	r.hasher.Write([]byte{0}) // RFC 6962 §2.1
	r.hasher.Write(text)
	r.hasher.Sum(leaf[:0])
	stored, err := r.storedLeaf()
	if err != nil {
		return err
	}
	if leaf != stored {
		return badRow(seq, "its bytes do not hash to the leaf that the tree holds")
	}
	if r.stored {
		if proof.ChainHash(seq, r.chain, leaf) != chain {
			return badRow(seq, notFollowing)
		}
	} else {
		r.unchained, r.stored, r.then = append(r.unchained, leaf), true, chain
	}
	r.chain = chain
	e := r.fields.read(text)
	if err := r.note(e, text); err != nil {
		return err
	}
	return r.fold(leaf)
}

const notFollowing = "its row hash does not follow from the row before"

// note adds up what is derived from a row, and remembers what it says about rows that were taken away; it was written before they were.
func (r *segmentReader) note(e *Event, text []byte) error {
	if r.summed {
		r.sums.add(e)
	}
	if r.indexed {
		r.terms.addRow(e, r.next)
	}
	if e.Kind != "retention" || !bytes.Contains(text, []byte(`"intent"`)) {
		return nil
	}
	full, err := ParseEvent(text)
	if err == nil && full.Kind == "retention" && full.Rule == "intent" && full.Retention != nil && uint64(full.Retention.Last) < r.next {
		r.logged = append(r.logged, *full.Retention)
	}
	return nil
}

// fold takes the next leaf into the tree.
func (r *segmentReader) fold(leaf tlog.Hash) error {
	r.leaves = append(r.leaves, leaf[:]...)
	r.next++
	return r.tree.Append(r.leaves[len(r.leaves)-tlog.HashSize:], r.keepNode)
}

// keepNode remembers the hashes that tiles above the lowest hold.
func (s *segment) keepNode(id compact.NodeID, h []byte) {
	if id.Level > 0 && id.Level%tileHeight == 0 {
		s.nodes = append(s.nodes, treeNode{uint64(id.Level), id.Index, tlog.Hash(h)})
	}
}

// readIndex adds up what the index says, of the days whose last row is in this segment.
func (r *segmentReader) readIndex(ctx context.Context) error {
	for _, d := range r.days {
		if last := min(d.last, r.anchor.Size-1); d.first < r.anchor.Size && r.first <= last && last < r.end {
			if err := r.index.addStored(ctx, r.txn, d.day, r.anchor.Size); err != nil {
				return err
			}
		}
	}
	return nil
}
