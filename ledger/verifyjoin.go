package ledger

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"netaudit/ledger/proof"
)

// joined is what the segments so far give together, in order. One goroutine owns it.
type joined struct {
	*verifier
	chain    [32]byte
	tree     *compact.Range
	tiles    map[uint64]heldTile // by level, those that hold the newest hashes
	seals    proof.Seals         // that were not reached yet
	withheld []dayRange
	logged   []Retention
	minimum  uint64 // of the newest seal: every row from there on is kept
	sums     *totalsCheck
	terms    *termSums
	index    *termSums
}

// heldTile is a stored tile and where it belongs.
type heldTile struct {
	n    uint64
	data []byte
}

// walk verifies every row from the start to the anchor.
func (v *verifier) walk(ctx context.Context, in view, seals proof.Seals) (*joined, error) {
	j := &joined{verifier: v, chain: v.from.chain, tiles: map[uint64]heldTile{}, terms: newTermSums(v.seed), index: newTermSums(v.seed), sums: newTotalsCheck(v)}
	if n := len(seals); n > 0 {
		j.minimum = seals[n-1].Minimum
	}
	for len(seals) > 0 && seals[0].Size < v.from.size {
		seals = seals[1:]
	}
	j.seals = seals
	if v.from.size == 0 {
		j.chain = v.id.chainStart()
	}
	if err := in(j.begin); err != nil {
		return j, err
	}
	if err := j.reachSeals(); err != nil {
		return j, err
	}
	if err := v.segments(ctx, in, j, seals); err != nil {
		return j, err
	}
	v.progress(v.anchor.Size, v.anchor.Size)
	return j, in(func(txn *badger.Txn) error { return j.end(ctx, txn) })
}

// begin takes the tree up to the start out of the stored tiles; it must be the one that was verified then.
func (j *joined) begin(txn *badger.Txn) error {
	size := j.from.size
	if size > j.anchor.Size {
		return &badPlace{where: "anchor/checkpoint", detail: fmt.Sprintf("%d rows were verified earlier, and it speaks of %d", size, j.anchor.Size)}
	}
	j.tree = ranges.NewEmptyRange(0)
	if size == 0 {
		return nil
	}
	hashes, err := leftHashes(j.id.layout.tileReader(txn), size)
	if err != nil {
		return &badPlace{where: "tiles", detail: err.Error()}
	}
	list := make([][]byte, len(hashes))
	for i := range hashes {
		list[i] = hashes[i][:]
	}
	if j.tree, err = ranges.NewRange(0, size, list); err != nil {
		return err
	}
	if root, err := j.root(); err != nil || root != j.from.root {
		return errors.Join(err, &badPlace{where: "tiles", detail: fmt.Sprintf("the tree of the first %d rows is not the one that was verified", size)})
	}
	return nil
}

func (j *joined) root() ([32]byte, error) {
	if j.tree.End() == 0 {
		return emptyRoot, nil
	}
	root, err := j.tree.GetRootHash(nil)
	if err != nil {
		return emptyRoot, err
	}
	return [32]byte(root), nil
}

// segments reads segments on several goroutines and joins them in order. It returns when all goroutines have ended.
func (v *verifier) segments(ctx context.Context, in view, j *joined, seals proof.Seals) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan chan *segment, v.workers) // in order; its room bounds what waits to be joined
	var group errgroup.Group
	group.SetLimit(v.workers + 1)
	group.Go(func() error {
		defer close(queue)
		for at := v.from.size; at < v.anchor.Size && ctx.Err() == nil; {
			s := &segment{first: at, end: v.cut(at, seals)}
			at = s.end
			done := make(chan *segment, 1)
			select {
			case queue <- done:
			case <-ctx.Done():
				return nil
			}
			group.Go(func() error {
				s.err = v.readOne(ctx, in, s)
				done <- s
				return nil
			})
		}
		return nil
	})
	var failure error
	for done := range queue {
		s := <-done
		if failure == nil {
			if failure = cmp.Or(j.follows(s), s.err); failure == nil { // the first row comes before whatever the others have
				failure = in(func(txn *badger.Txn) error { return j.join(txn, s) })
			}
			v.progress(s.end, v.anchor.Size)
		}
		if failure != nil {
			cancel()
		}
	}
	return errors.Join(failure, group.Wait(), ctx.Err())
}

func (v *verifier) readOne(ctx context.Context, in view, s *segment) error {
	if v.pace != nil {
		if err := v.pace(ctx, s.end-s.first); err != nil {
			return err
		}
	}
	return in(func(txn *badger.Txn) error { return v.read(ctx, txn, s) })
}

// cut is where a segment ends: at a multiple of its size, or where a seal is to be compared.
func (v *verifier) cut(first uint64, seals proof.Seals) uint64 {
	end := min(first-first%segmentRows+segmentRows, v.anchor.Size)
	i, _ := slices.BinarySearchFunc(seals, first+1, func(s proof.Seal, size uint64) int {
		if s.Size < size {
			return -1
		}
		return 1
	})
	if i < len(seals) {
		end = min(end, seals[i].Size)
	}
	return end
}

// follows checks that the row hash of the next segment's first row follows from the rows before.
func (j *joined) follows(s *segment) error {
	for i, leaf := range s.unchained {
		j.chain = proof.ChainHash(s.first+uint64(i), j.chain, leaf)
	}
	if s.stored {
		if j.chain != s.then {
			return badRow(s.first+uint64(len(s.unchained))-1, notFollowing)
		}
		j.chain = s.chain
	}
	return nil
}

// join takes the next segment.
func (j *joined) join(txn *badger.Txn, s *segment) error {
	if err := j.tree.AppendRange(s.tree, s.keepNode); err != nil {
		return fmt.Errorf("join the tree: %w", err)
	}
	for _, n := range s.nodes {
		if err := j.compareNode(txn, n); err != nil {
			return err
		}
	}
	j.withheld, j.logged = append(j.withheld, s.withheld...), append(j.logged, s.logged...)
	j.terms.join(s.terms)
	j.index.join(s.index)
	if err := j.sums.join(txn, &s.sums); err != nil {
		return err
	}
	return j.reachSeals()
}

// compareNode compares a hash of the tree with the tile that holds it.
func (j *joined) compareNode(txn *badger.Txn, node treeNode) error {
	n, at := node.index/256, node.index%256
	t, ok := j.tiles[node.level]
	path := tlog.Tile{H: tileHeight, L: int(node.level / tileHeight), N: int64(n), W: int(min(256, j.anchor.Size>>node.level-n*256))}
	if !ok || t.n != n {
		data, err := j.id.layout.readTile(txn, path)
		if err != nil {
			return &badPlace{where: "tile " + path.Path(), detail: err.Error()}
		}
		t = heldTile{n, data}
		j.tiles[node.level] = t
	}
	if !bytes.Equal(t.data[at*tlog.HashSize:(at+1)*tlog.HashSize], node.hash[:]) {
		return &badPlace{where: "tile " + path.Path(), detail: fmt.Sprintf("its hash %d is not that of the rows below it", at)}
	}
	return nil
}

// reachSeals compares the seals of days that ended here with the rows so far.
func (j *joined) reachSeals() error {
	for ; len(j.seals) > 0 && j.seals[0].Size == j.tree.End(); j.seals = j.seals[1:] {
		s := &j.seals[0]
		root, err := j.root()
		if err != nil {
			return err
		}
		if root != s.Root || j.chain != s.Chain {
			return &badPlace{where: "seal/" + s.Day, detail: fmt.Sprintf("the %d rows up to then are not those that it sealed", s.Size)}
		}
	}
	return nil
}

// missingRows counts the rows that are not there.
func (j *joined) missingRows() (n uint64) {
	for _, m := range j.withheld {
		n += m.last - m.first + 1
	}
	return n
}

// allowed compares what is missing with what the log says was taken away.
func (j *joined) allowed() error {
	var taken []dayRange
	take := func(first, last int64) {
		if 0 <= first && first <= last {
			taken = append(taken, dayRange{first: uint64(first), last: uint64(last)})
		}
	}
	for _, r := range j.logged {
		take(r.First, r.Last)
	}
	if n := len(j.logged); n > 0 {
		newest := j.logged[n-1]
		for pairs := newest.Earlier; len(pairs) > 1; pairs = pairs[2:] {
			take(pairs[0], pairs[1])
		}
		if newest.Earlier == nil { // the rows that told of earlier days may have gone with theirs; a seal says up to where rows may be missing
			take(0, int64(j.minimum)-1)
		}
	}
	for _, m := range j.withheld {
		for at := m.first; at <= m.last; {
			i := slices.IndexFunc(taken, func(d dayRange) bool { return d.first <= at && at <= d.last })
			if i < 0 {
				return badRow(at, "it is missing, and the log does not say that retention took it away")
			}
			at = taken[i].last + 1
		}
	}
	return nil
}

// end compares the root with the anchor, and what is derived from the rows with them.
func (j *joined) end(ctx context.Context, txn *badger.Txn) error {
	if err := j.allowed(); err != nil {
		return err
	}
	root, err := j.root()
	if err != nil {
		return err
	}
	if root != j.anchor.Root {
		return &badPlace{where: "anchor/checkpoint", detail: "the rows do not hash to the root that it names"}
	}
	stored, err := tlog.TreeHash(int64(j.anchor.Size), j.id.layout.tileReader(txn))
	if err != nil {
		return &badPlace{where: "tiles", detail: err.Error()}
	}
	if j.anchor.Size > 0 && stored != tlog.Hash(j.anchor.Root) {
		return &badPlace{where: "tiles", detail: "the stored tree does not hash to the checkpoint's root"}
	}
	if len(j.seals) > 0 {
		return &badPlace{where: "seal/" + j.seals[0].Day, detail: fmt.Sprintf("it speaks of %d rows, the log has %d", j.seals[0].Size, j.anchor.Size)}
	}
	if err := j.sums.end(txn); err != nil {
		return err
	}
	return j.compareIndex(ctx, txn)
}
