package ledger

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/tlog"
)

// tileHeight makes tiles of 256 hashes, as C2SP tlog-tiles demands.
const tileHeight = 8

// tree extends the RFC 6962 tree and keeps its right edge in memory. The sequencer's goroutine owns it.
type tree struct {
	size int64
	edge map[int]edgeTile // by level
}

// edgeTile is the rightmost tile of a level.
type edgeTile struct {
	tile tlog.Tile
	data []byte
}

// growth is what a batch of leaves adds.
type growth struct {
	size  int64
	edge  map[int]edgeTile
	tiles map[tlog.Tile][]byte // to be written
	stale []tlog.Tile          // narrower versions of written tiles
	root  tlog.Hash
}

// grow computes the tree with more leaves, without changing it: the batch may still fail to commit.
func (t *tree) grow(leaves []tlog.Hash) (*growth, error) {
	fresh := map[int64]tlog.Hash{}
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		list := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			h, ok := fresh[index]
			if !ok {
				var err error
				if h, err = t.hash(index); err != nil {
					return nil, err
				}
			}
			list[i] = h
		}
		return list, nil
	})
	for i, leaf := range leaves {
		n := t.size + int64(i)
		hashes, err := tlog.StoredHashesForRecordHash(n, leaf, reader)
		if err != nil {
			return nil, fmt.Errorf("extend the tree at row %d: %w", n, err)
		}
		at := tlog.StoredHashIndex(0, n)
		for j, h := range hashes {
			fresh[at+int64(j)] = h
		}
	}
	g := &growth{size: t.size + int64(len(leaves)), edge: map[int]edgeTile{}, tiles: map[tlog.Tile][]byte{}}
	for level, e := range t.edge {
		g.edge[level] = e
	}
	for _, tile := range tlog.NewTiles(tileHeight, t.size, g.size) {
		data, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			return nil, fmt.Errorf("make tile %s: %w", tile.Path(), err)
		}
		g.tiles[tile] = data
		if old, ok := t.edge[tile.L]; ok && old.tile.N == tile.N && old.tile.W != tile.W {
			g.stale = append(g.stale, old.tile)
		}
		if e, ok := g.edge[tile.L]; !ok || e.tile.N < tile.N || e.tile.N == tile.N && e.tile.W < tile.W {
			g.edge[tile.L] = edgeTile{tile, data}
		}
	}
	var err error
	if g.root, err = tlog.TreeHash(g.size, reader); err != nil {
		return nil, fmt.Errorf("compute the root of %d rows: %w", g.size, err)
	}
	return g, nil
}

// hash reads a stored hash from the right edge: all that an extension ever needs.
func (t *tree) hash(index int64) (tlog.Hash, error) {
	tile := tlog.TileForIndex(tileHeight, index)
	e, ok := t.edge[tile.L]
	if !ok || e.tile.N != tile.N || e.tile.W < tile.W {
		return tlog.Hash{}, fmt.Errorf("hash %d is in tile %s, which is not at the edge", index, tile.Path())
	}
	tile.W = e.tile.W
	return tlog.HashFromTile(tile, e.data, index)
}

// adopt makes a growth the tree's state, once it is committed.
func (t *tree) adopt(g *growth) { t.size, t.edge = g.size, g.edge }

// loadTree reads the right edge of a tree of the given size.
func (o layout) loadTree(txn *badger.Txn, size int64) (*tree, error) {
	t := &tree{size: size, edge: map[int]edgeTile{}}
	for level := 0; ; level++ {
		n := size >> (level * tileHeight)
		if n == 0 {
			return t, nil
		}
		tile := tlog.Tile{H: tileHeight, L: level, N: (n - 1) >> tileHeight, W: int((n-1)&255) + 1}
		data, err := o.readTile(txn, tile)
		if err != nil {
			return nil, fmt.Errorf("read tile %s: %w", tile.Path(), err)
		}
		t.edge[level] = edgeTile{tile, data}
	}
}

// readTile reads a tile of exactly this width; a narrower one is cut out of a wider.
func (o layout) readTile(txn *badger.Txn, tile tlog.Tile) ([]byte, error) {
	want := tile.W * tlog.HashSize
	for w := tile.W; w <= 256; w++ {
		wider := tile
		wider.W = w
		item, err := txn.Get(o.tile(wider))
		if err == badger.ErrKeyNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		data, err := item.ValueCopy(nil)
		if err != nil {
			return nil, err
		}
		if len(data) != w*tlog.HashSize {
			return nil, fmt.Errorf("it has %d bytes, want %d", len(data), w*tlog.HashSize)
		}
		return data[:want], nil
	}
	return nil, badger.ErrKeyNotFound
}

// tileReader gives tlog's proof functions the tiles of one transaction.
func (o layout) tileReader(txn *badger.Txn) tlog.HashReaderFunc {
	cache := map[tlog.Tile][]byte{}
	return func(indexes []int64) ([]tlog.Hash, error) {
		list := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			tile := tlog.TileForIndex(tileHeight, index)
			data, ok := cache[tile]
			if !ok {
				var err error
				if data, err = o.readTile(txn, tile); err != nil {
					return nil, fmt.Errorf("read tile %s: %w", tile.Path(), err)
				}
				cache[tile] = data
			}
			h, err := tlog.HashFromTile(tile, data, index)
			if err != nil {
				return nil, err
			}
			list[i] = h
		}
		return list, nil
	}
}
