package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// ungroup gives every row of a store a key of its own, as a slow log has them, so that a test can change one. Groups are not sealed: the ledger is the same.
func ungroup(t testing.TB, db *badger.DB) {
	t.Helper()
	batch := db.NewWriteBatch()
	defer batch.Cancel()
	err := db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{newest.rows}})
		defer it.Close()
		u := unpacker{grouped: newest.groups}
		for it.Rewind(); it.Valid(); it.Next() {
			day, first, _ := newest.parseRow(it.Item().Key())
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			rows, err := u.unpack(first, value)
			if err != nil || len(rows) == 1 && value[0] == groupPlain {
				continue // a test has harmed it
			}
			for i, row := range rows {
				if err := batch.Set(newest.row(day, first+uint64(i)), alone(row)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Flush(); err != nil {
		t.Fatal(err)
	}
}

// alone is the value of a group of one row.
func alone(row []byte) []byte {
	return append(binary.AppendUvarint([]byte{groupPlain}, uint64(len(row))), bytes.Clone(row)...)
}

func TestGroupsHoldWhatWasPutIn(t *testing.T) {
	g, err := newGroupWriter(true)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	kinds := map[byte]int{}
	u := unpacker{grouped: true}
	next, rest := uint64(60), [][]byte(nil)
	take := func() {
		first, plain := g.take()
		value := g.value(plain)
		kinds[value[0]]++
		rows, err := u.unpack(first, value)
		if err != nil || len(rows) != len(rest) || first+uint64(len(rows)) != next || first/groupRows != (next-1)/groupRows {
			t.Fatalf("a group of %d rows from %d on became %d from %d on: %v", len(rest), next, len(rows), first, err)
		}
		for i, row := range rows {
			if !bytes.Equal(row, rest[i]) {
				t.Fatalf("row %d of the group is %q, was %q", i, row, rest[i])
			}
		}
		rest = rest[:0]
	}
	for range 3000 {
		text := bytes.Repeat([]byte{byte(rng.UintN(256))}, 1+int(rng.UintN(3000)))
		if rng.UintN(200) == 0 {
			text = bytes.Repeat([]byte("x"), LargestRow)
		}
		if !g.fits(next, text) || rng.UintN(40) == 0 && g.rows > 0 {
			take()
		}
		chain := [32]byte{byte(next)}
		g.add(next, &chain, text)
		rest = append(rest, append(bytes.Clone(chain[:]), text...))
		next++
	}
	take()
	if kinds[groupPlain] < 10 || kinds[groupCompressed] < 10 {
		t.Errorf("%v groups of each kind", kinds)
	}
}

// TestGroupsDoNotChangeWhatIsRead compares a log in groups with the same log when every row has its own key.
func TestGroupsDoNotChangeWhatIsRead(t *testing.T) {
	for batch := range groupedBatches {
		dir := groupedLedger(t, batch)
		before := storedRows(t, dir)
		if len(before) != 700 {
			t.Fatalf("%d rows", len(before))
		}
		change(t, dir, func(*badger.DB) error { return nil }) // it ungroups
		if !slices.Equal(before, storedRows(t, dir)) {
			t.Errorf("the rows of batches of %d are others", batch)
		}
		if v := verify(t, dir); v.Status != Intact {
			t.Errorf("%v, %+v", v.Status, v.Damage)
		}
	}
}

// groupedBatches are the rows of batches whose groups are plain, and compressed.
var groupedBatches = map[int]byte{20: groupPlain, 700: groupCompressed}

// groupedLedger makes a ledger of 700 rows in such batches.
func groupedLedger(t *testing.T, batch int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	l := openAt(t, dir, &clock{day0})
	for range 700 / batch {
		addRows(t, l, batch)
	}
	closeLedger(t, l)
	if first, value := secondGroup(t, dir, nil); value[0] != groupedBatches[batch] {
		t.Fatalf("the group of row %d is of kind %d, want %d", first, value[0], groupedBatches[batch])
	}
	return dir
}

// secondGroup returns a group of a closed ledger, and puts what harm makes of it in its place.
func secondGroup(t *testing.T, dir string, harm func(value []byte) []byte) (first uint64, value []byte) {
	t.Helper()
	db, err := badger.Open(badger.DefaultOptions(badgerPath(dir)).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(txn *badger.Txn) (err error) {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{newest.rows}})
		defer it.Close()
		it.Rewind()
		it.Next()
		key := it.Item().KeyCopy(nil)
		_, first, _ = newest.parseRow(key)
		if value, err = it.Item().ValueCopy(nil); err != nil || harm == nil {
			return err
		}
		return txn.Set(key, harm(value))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return first, value
}

// TestEveryRowIsFoundFromEverywhere reads rows of groups of all lengths one by one, forward and backward, from every row on.
func TestEveryRowIsFoundFromEverywhere(t *testing.T) {
	c := &clock{day0}
	l := openAt(t, t.TempDir()+"/state", c)
	defer closeLedger(t, l)
	for day, rows := range []int{1, 2, 3, 70, 1, 64, 1, 40, 1, 17} {
		c.now = day0.AddDate(0, 0, day/4)
		addRows(t, l, rows)
	}
	size := l.Size()
	for from := range size {
		if r, err := l.Row(from); err != nil || !bytes.Contains(r.JSON, fmt.Appendf(nil, `"seq":%d`, from)) {
			t.Fatalf("row %d: %s, %v", from, r.JSON, err)
		}
		next := from
		if err := l.Rows(t.Context(), from, func(r Row) bool {
			if r.Seq != next {
				t.Fatalf("forward from %d: row %d comes, want %d", from, r.Seq, next)
			}
			next++
			return true
		}); err != nil || next != size {
			t.Fatalf("forward from %d ends at %d of %d: %v", from, next, size, err)
		}
		next = from + 1
		if err := l.RowsBackward(t.Context(), from+1, func(r Row) bool {
			next--
			if r.Seq != next {
				t.Fatalf("backward from %d: row %d comes, want %d", from, r.Seq, next)
			}
			return true
		}); err != nil || next != 0 {
			t.Fatalf("backward from %d ends at %d: %v", from, next, err)
		}
	}
}

func TestHarmedGroupIsDamage(t *testing.T) {
	for name, harm := range map[string]func(value []byte) []byte{
		"empty":              func([]byte) []byte { return []byte{} },
		"no rows":            func([]byte) []byte { return []byte{groupPlain} },
		"of an unknown kind": func(v []byte) []byte { v[0] = 9; return v },
		"cut off":            func(v []byte) []byte { return v[:len(v)-1] },
		"not what it was":    func(v []byte) []byte { v[len(v)/2] ^= 1; return v },
		"longer":             func(v []byte) []byte { return append(v, 0) },
		"a row that never ends": func([]byte) []byte {
			return []byte{groupPlain, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}
		},
	} {
		for batch := range groupedBatches {
			t.Run(fmt.Sprintf("%s, batches of %d", name, batch), func(t *testing.T) {
				dir := groupedLedger(t, batch)
				first, _ := secondGroup(t, dir, harm)
				v := verify(t, dir)
				if v.Status != Tampered || v.Damage == nil || !v.Damage.HasSeq || v.Damage.Seq < first || v.Damage.Seq >= first+groupRows {
					t.Errorf("the group of row %d: %v, %+v", first, v.Status, v.Damage)
				}
			})
		}
	}
}

// FuzzUnpack takes hostile groups apart: what it accepts has one to groupRows rows, within the bound of a group.
func FuzzUnpack(f *testing.F) {
	g, err := newGroupWriter(true)
	if err != nil {
		f.Fatal(err)
	}
	for _, length := range []int{10, 3000} {
		for seq := range uint64(20) {
			g.add(seq, &[32]byte{1}, bytes.Repeat([]byte("a"), length))
		}
		_, plain := g.take()
		value := g.value(plain)
		f.Add(uint64(0), value)
	}
	f.Add(uint64(63), alone(make([]byte, 40)))
	f.Fuzz(func(t *testing.T, first uint64, value []byte) {
		u := unpacker{grouped: true}
		rows, err := u.unpack(first, value)
		if (err == nil) != (len(rows) > 0) || len(rows) > groupRows || cap(u.plain) > 2*groupWindow {
			t.Errorf("%d rows, %d bytes, error %v", len(rows), cap(u.plain), err)
		}
	})
}
