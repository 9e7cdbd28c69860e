package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/tlog"
)

// longLog has rows for three segments, the second of which ends in the middle of a day, a seal in the first, and tiles on two levels.
func longLog(t *testing.T) string {
	t.Helper()
	dir, c := filepath.Join(t.TempDir(), "state"), &clock{day0}
	l := openAt(t, dir, c)
	addRows(t, l, 1000)
	c.now = day0.AddDate(0, 0, 1)
	addRows(t, l, 2*segmentRows)
	closeLedger(t, l)
	return dir
}

func TestDamageIsNamedInWhicheverSegmentItLies(t *testing.T) {
	sound := longLog(t)
	if v := verify(t, sound); v.Status != Intact || v.Size != 1000+2*segmentRows {
		t.Fatalf("%v, %+v", v.Status, v.Damage)
	}
	for _, c := range []struct {
		name   string
		seq    int64 // -1: no row
		where  string
		detail string
		harm   func(txn *badger.Txn) error
	}{
		{"a byte of the last row of a segment", segmentRows - 1, "", "do not hash to the leaf", onRow(segmentRows-1, func(v []byte) { v[len(v)-3] ^= 1 })},
		{"the row hash of the last row of a segment", segmentRows - 1, "", "does not follow", onRow(segmentRows-1, func(v []byte) { v[3] ^= 1 })},
		{"the row hash of the first row of a segment", segmentRows, "", "does not follow", onRow(segmentRows, func(v []byte) { v[31] ^= 1 })},
		{"the last row of the log", 1000 + 2*segmentRows - 1, "", "do not hash to the leaf", onRow(1000+2*segmentRows-1, func(v []byte) { v[40] ^= 1 })},
		{"two rows: the first is named", 5, "", "do not hash to the leaf", both(onRow(segmentRows+7, func(v []byte) { v[50] ^= 1 }), onRow(5, func(v []byte) { v[50] ^= 1 }))},
		{"a row is gone", segmentRows, "", "does not say that retention", func(txn *badger.Txn) error { return txn.Delete(keyOf(segmentRows)) }},
		{"a row lies under another day too", segmentRows, "", "of another day", func(txn *badger.Txn) error {
			value, err := valueOf(txn, keyOf(segmentRows))
			return errors.Join(err, txn.Set(newest.row(dayAt(day0.UnixNano()), segmentRows), value))
		}},
		{"a leaf in its tile", 4100, "", "do not hash to the leaf", onTile(0, 16, 4)},
		{"a hash in a tile above", -1, "tile tile/8/1/000.p/35", "its hash 3 is not", onTile(1, 0, 3)},
		{"an entry of the index is gone", -1, "index of 2026-02-28", "not that of the rows", onIndex(func(txn *badger.Txn, k, _ []byte) error { return txn.Delete(k) })},
		{"an entry of the index names another row", -1, "index of 2026-02-28", "not that of the rows", onIndex(func(txn *badger.Txn, k, v []byte) error { v[1] ^= 1; return txn.Set(k, v) })},
		{"an entry of the index is malformed", -1, "index of 2026-02-28", "malformed entry", onIndex(func(txn *badger.Txn, k, v []byte) error { return txn.Set(k, v[:len(v)-1]) })},
		{"the index knows a day without rows", -1, "index of 2026-04-10", "no rows", onIndex(func(txn *badger.Txn, k, v []byte) error { k[4] += 41; return txn.Set(k, v) })},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			if err := os.CopyFS(dir, os.DirFS(sound)); err != nil {
				t.Fatal(err)
			}
			change(t, dir, func(db *badger.DB) error { return db.Update(c.harm) })
			v := verify(t, dir)
			if v.Status != Tampered || v.Damage == nil {
				t.Fatalf("%v, %+v", v.Status, v.Damage)
			}
			d := v.Damage
			if d.HasSeq != (c.seq >= 0) || d.HasSeq && d.Seq != uint64(c.seq) || !strings.Contains(d.Where, c.where) || !strings.Contains(d.Detail, c.detail) {
				t.Errorf("%+v", d)
			}
		})
	}
}

// keyOf is the key of a row of longLog.
func keyOf(seq uint64) []byte {
	day := dayAt(day0.UnixNano())
	if seq >= 1000 {
		day++
	}
	return newest.row(day, seq)
}

func both(a, b func(*badger.Txn) error) func(*badger.Txn) error {
	return func(txn *badger.Txn) error { return errors.Join(a(txn), b(txn)) }
}

func onRow(seq uint64, f func(value []byte)) func(*badger.Txn) error {
	return onKey(keyOf(seq), f)
}

func onTile(level int, n int64, hash int) func(*badger.Txn) error {
	width := 256
	if level == 1 {
		width = (1000 + 2*segmentRows) / 256
	}
	return onKey(newest.tile(tlog.Tile{H: tileHeight, L: level, N: n, W: width}), func(v []byte) { v[hash*tlog.HashSize] ^= 1 })
}

func onKey(key []byte, f func(value []byte)) func(*badger.Txn) error {
	return func(txn *badger.Txn) error {
		value, err := valueOf(txn, key)
		if err != nil {
			return err
		}
		f(value)
		return txn.Set(key, value)
	}
}

// onIndex changes the entry of an addon on the second day.
func onIndex(f func(txn *badger.Txn, key, value []byte) error) func(*badger.Txn) error {
	return func(txn *badger.Txn) error {
		key := binary.BigEndian.AppendUint64(appendTermKey(nil, dayAt(day0.UnixNano())+1, indexAddon, "addon_3"), 0)
		value, err := valueOf(txn, key)
		if err != nil {
			return err
		}
		return f(txn, key, value)
	}
}

// tableOf reads everything of a table.
func tableOf(t *testing.T, l *Ledger, table byte) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := l.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{table}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := it.Item().Value(func(v []byte) error { all[string(it.Item().Key())] = string(v); return nil }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestIndexMadeAnewIsTheOneThatWasWritten(t *testing.T) {
	l, dir, c := fourDays(t)
	if _, err := l.Retain(t.Context(), Policy{MaxBytes: 1}); err != nil { // three days go; blocks reach over their ends
		t.Fatal(err)
	}
	addRows(t, l, 50)
	written := tableOf(t, l, tableIndex)
	closeLedger(t, l)
	l = openAt(t, dir, c) // the block of the newest row goes on
	addRows(t, l, 3)
	longer := tableOf(t, l, tableIndex)
	if err := l.RebuildIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := tableOf(t, l, tableIndex); len(written) < 10 || maps.Equal(written, longer) || !maps.Equal(longer, again) {
		t.Errorf("%d entries, %d after three more rows, %d made anew", len(written), len(longer), len(again))
	}
	closeLedger(t, l)
	if v := verify(t, dir); v.Status != Intact || !strings.Contains(strings.Join(v.Checked, " "), "index") {
		t.Errorf("%v, %q, %+v", v.Status, v.Checked, v.Damage)
	}
}

func TestLogWithoutAnIndexGetsOneOnce(t *testing.T) {
	l, dir := hours(t)
	want := tableOf(t, l, tableIndex)
	closeLedger(t, l)
	change(t, dir, func(db *badger.DB) error {
		return errors.Join(db.DropPrefix([]byte{tableIndex}), db.Update(func(txn *badger.Txn) error {
			return errors.Join(txn.Delete(metaKey(indexMark)), txn.Set([]byte("xold"), nil))
		}))
	})
	if v := verify(t, dir); v.Status != Intact || strings.Contains(strings.Join(v.Checked, " "), "index that") {
		t.Errorf("%v, %q, damage %+v", v.Status, v.Checked, v.Damage)
	}
	l = openAt(t, dir, &clock{day0})
	if got := tableOf(t, l, tableIndex); len(got) == 0 || !maps.Equal(got, want) || len(tableOf(t, l, tableOldIndex)) != 0 {
		t.Errorf("%d entries, want %d", len(got), len(want))
	}
	closeLedger(t, l)
}

func TestBitmapsReadBackAndNothingElseDoes(t *testing.T) {
	for _, rows := range [][]int{{0}, {1023}, {5, 6, 900}, seqs(0, 63), seqs(0, 64), seqs(3, 1024)} {
		var b bitmap
		for _, i := range rows {
			b.set(i)
		}
		text := b.bytes()
		if back, ok := parseBitmap(text); !ok || back != b || b.count() != len(rows) || len(text) > bitmapBytes {
			t.Errorf("%v: %x", rows, text)
		}
	}
	for _, v := range [][]byte{nil, {0}, {0, 5, 0, 5}, {0, 6, 0, 5}, {4, 0}, make([]byte, bitmapBytes), make([]byte, bitmapBytes+2)} {
		if _, ok := parseBitmap(v); ok {
			t.Errorf("%x is read", v)
		}
	}
}

func seqs(from, to int) (list []int) {
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

func FuzzBitmap(f *testing.F) {
	f.Add([]byte{0, 1, 3, 255})
	f.Add(bytes.Repeat([]byte{0xaa}, bitmapBytes))
	f.Fuzz(func(t *testing.T, v []byte) {
		if b, ok := parseBitmap(v); ok && !bytes.Equal(b.bytes(), v) {
			t.Errorf("%x reads as %x", v, b.bytes())
		}
	})
}
