package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"

	"github.com/dgraph-io/badger/v4"
	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger/multibuffer"
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
	h := nodeHash(left, right)
	return h[:]
}}

// nodeHash is the hash of an inner node of the tree (RFC 6962 §2.1).
func nodeHash(left, right []byte) [32]byte {
	var b [1 + 2*tlog.HashSize]byte
	b[0] = 1
	copy(b[1:], left)
	copy(b[1+tlog.HashSize:], right)
	return sha256.Sum256(b[:])
}

// segmentReader reads segments, one after the other. One goroutine owns it.
type segmentReader struct {
	*verifier
	*segment
	txn    *badger.Txn
	next   uint64
	tiles  *badger.Iterator // over the lowest ones, upwards
	tile   []byte           // stored leaves of the tile of next
	hashes []byte           // computed leaves and nodes, which the tree refers to
	groups unpacker
	leaf   [groupRows][32]byte // of the rows of a group
	fields fieldReader
	hour   int      // counts the stretches of an hour
	like   likeness // of the row
	alike  alike
}

// read checks the rows of a segment against their stored leaves and row hashes.
func (v *verifier) read(ctx context.Context, txn *badger.Txn, s *segment) error {
	r, _ := v.readers.Get().(*segmentReader)
	if r == nil {
		r = &segmentReader{verifier: v, groups: unpacker{grouped: v.id.layout.groups}}
	}
	defer func() {
		r.segment, r.txn, r.tiles = nil, nil, nil
		v.readers.Put(r)
	}()
	r.segment, r.txn, r.next, r.tile = s, txn, s.first, r.tile[:0]
	s.terms, s.index = newTermSums(v.seed), newTermSums(v.seed)
	if v.id.layout.leaves {
		r.tiles = txn.NewIterator(badger.IteratorOptions{Prefix: []byte{tableLeaves}, Reverse: true}) // the newest come first there
		defer r.tiles.Close()
	}
	if err := r.readRows(ctx); err != nil {
		return err
	}
	if v.indexed {
		return r.readIndex(ctx)
	}
	return nil
}

// readRows checks the rows and makes the tree over them.
func (r *segmentReader) readRows(ctx context.Context) (err error) {
	r.hashes = make([]byte, 0, 2*(r.end-r.first)*tlog.HashSize)
	own := compact.RangeFactory{Hash: func(left, right []byte) []byte {
		node := nodeHash(left, right)
		return r.keepHash(node[:])
	}}
	r.tree = own.NewEmptyRange(r.first)
	if err = r.rows(ctx); err != nil {
		return err
	}
	r.tree, err = ranges.NewRange(r.first, r.end, r.tree.Hashes())
	return err
}

// keepHash copies a hash to where the tree may refer to it.
func (r *segmentReader) keepHash(h []byte) []byte {
	r.hashes = append(r.hashes, h...)
	return r.hashes[len(r.hashes)-tlog.HashSize:]
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
	rows = rows[:min(uint64(len(rows)), r.end-r.next)]
	for i, row := range rows {
		if len(row) < tlog.HashSize {
			rows = rows[:i] // those before it are checked first
			err = badRow(r.next+uint64(i), "it has %d bytes in the store, fewer than its hash", len(row))
			break
		}
	}
	for i, leaf := range r.leaves(rows) {
		if want, known := dayOf(r.days, r.next); known && want != day {
			return badRow(r.next, "it is stored among the rows of another day")
		}
		if err := r.row(rows[i][tlog.HashSize:], leaf, [32]byte(rows[i])); err != nil {
			return err
		}
	}
	return err
}

// leaves are the hashes of rows as the tree has them (RFC 6962 §2.1).
func (r *segmentReader) leaves(rows [][]byte) [][32]byte {
	var texts [groupRows][]byte
	for i, row := range rows {
		texts[i] = row[tlog.HashSize:]
	}
	multibuffer.Sum256([]byte{0}, texts[:len(rows)], r.leaf[:len(rows)])
	return r.leaf[:len(rows)]
}

// row checks the leaf and the row hash of the next row.
func (r *segmentReader) row(text []byte, leaf tlog.Hash, chain [32]byte) error {
	seq := r.next
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
	if err := r.note(r.fields.read(text), text); err != nil {
		return err
	}
	return r.fold(leaf)
}

const notFollowing = "its row hash does not follow from the row before"

// note adds up what is derived from a row, and remembers what it says about rows that were taken away; it was written before they were.
func (r *segmentReader) note(e *Event, text []byte) error {
	r.count(e)
	if e.Kind != "retention" || !bytes.Contains(text, []byte(`"intent"`)) {
		return nil
	}
	full, err := ParseEvent(text)
	if err == nil && full.Kind == "retention" && full.Rule == "intent" && full.Retention != nil && uint64(full.Retention.Last) < r.next {
		r.logged = append(r.logged, *full.Retention)
	}
	return nil
}

// count takes a row into the totals and the index.
func (r *segmentReader) count(e *Event) {
	hour, fresh := r.sums.running(e)
	if fresh {
		r.hour++
	}
	complete := r.like.set(e, r.hour)
	c := &r.alike[r.like.place()]
	if !complete || c.likeness != r.like {
		c.likeness = r.like
		hour.places(e, &c.places)
		c.terms = r.terms.hashes(c.terms[:0], e)
	}
	if r.summed {
		hour.add(e, &c.places)
	}
	if r.indexed {
		r.terms.addRow(dayAt(e.Logged), c.terms, r.next)
	}
}

// fold takes the next leaf into the tree.
func (r *segmentReader) fold(leaf tlog.Hash) error {
	r.next++
	return r.tree.Append(r.keepHash(leaf[:]), r.keepNode)
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
