package ledger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger/proof"
)

// placeOf is a finished log of 100, 200 and 40 rows on three days, and what it was like at the end of the first and of the second.
type placeOf struct {
	dir, first, before string
	clock              *clock
	key                proof.SealKey
}

func newPlace(t *testing.T) placeOf {
	t.Helper()
	p := placeOf{filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "before"), &clock{day0}, proof.SealKey{}}
	l := openAt(t, p.dir, p.clock)
	p.key = l.Recovery().SealKey
	addRows(t, l, 100)
	closeLedger(t, l)
	copyTo(t, p.dir, p.first)
	p.clock.now = day0.AddDate(0, 0, 1)
	l = openAt(t, p.dir, p.clock)
	addRows(t, l, 200)
	closeLedger(t, l)
	copyTo(t, p.dir, p.before)
	p.clock.now = day0.AddDate(0, 0, 2)
	l = openAt(t, p.dir, p.clock)
	addRows(t, l, 40)
	closeLedger(t, l)
	return p
}

// copy is the same place somewhere else.
func (p placeOf) copy(t *testing.T) placeOf {
	t.Helper()
	q := placeOf{filepath.Join(t.TempDir(), "state"), p.first, p.before, &clock{p.clock.now}, p.key}
	copyTo(t, p.dir, q.dir)
	return q
}

// copyTo copies a directory, without the holes of its files.
func copyTo(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(filepath.Join(to, name), 0o700))
		}
		return copyFile(path, filepath.Join(to, name))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// back sets parts of the state directory back to what they were before the last day.
func (p placeOf) back(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		p.take(t, p.before, name)
	}
}

// take replaces a part of the state directory by another one's.
func (p placeOf) take(t *testing.T, from, name string) {
	t.Helper()
	gone(t, filepath.Join(p.dir, name))
	if info, err := os.Stat(filepath.Join(from, name)); err == nil && info.IsDir() {
		copyTo(t, filepath.Join(from, name), filepath.Join(p.dir, name))
		return
	}
	replaceBy(t, filepath.Join(from, name), filepath.Join(p.dir, name))
}

// fork goes on from what was before with n other rows, under the same keys.
func (p placeOf) fork(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "fork")
	copyTo(t, p.before, dir)
	l := openAt(t, dir, p.clock)
	addRows(t, l, n)
	closeLedger(t, l)
	return dir
}

// crash writes more rows and leaves everything as if the power had failed behind the last of them.
func (p placeOf) crash(t *testing.T, n int) {
	t.Helper()
	l := openAt(t, p.dir, p.clock)
	addRows(t, l, n)
	image := filepath.Join(t.TempDir(), "image")
	copyTo(t, p.dir, image)
	closeLedger(t, l)
	gone(t, p.dir)
	if err := os.Rename(image, p.dir); err != nil {
		t.Fatal(err)
	}
}

func gone(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// oldSealKey is the one state of those that go on which a verification before the next start calls damage: no crash leaves it.
const oldSealKey = "an older seal key was put back"

// TestRecoveryTable goes through what a start can find. Sound ones go on; damage is named and nothing is touched; a log begun instead says in its first row what it follows.
func TestRecoveryTable(t *testing.T) {
	whole := newPlace(t)
	for _, c := range []struct {
		name   string
		harm   func(t *testing.T, p placeOf)
		status string // of the recovery, when the log goes on
		rows   uint64
		where  string // otherwise: what is damaged
	}{
		{"store and anchor agree", func(*testing.T, placeOf) {}, "clean", 340, ""},
		{"killed behind the anchor", func(t *testing.T, p placeOf) { p.crash(t, 17) }, "clean", 357, ""},
		{"killed between store and anchor", func(t *testing.T, p placeOf) {
			anchor := filepath.Join(t.TempDir(), "anchor")
			replaceBy(t, anchorPath(p.dir), anchor)
			p.crash(t, 17)
			replaceBy(t, anchor, anchorPath(p.dir))
		}, "recovered", 357, ""},
		{"empty write-ahead logs", func(t *testing.T, p placeOf) {
			write(t, filepath.Join(badgerPath(p.dir), "00099.mem"), "")
			write(t, filepath.Join(badgerPath(p.dir), "000099.vlog"), "")
		}, "clean", 340, ""},
		{oldSealKey, func(t *testing.T, p placeOf) { p.back(t, "seal/key") }, "clean", 340, ""},

		{"store set back", func(t *testing.T, p placeOf) { p.back(t, "badger") }, "", 340, "row 300"},
		{"store and anchor set back", func(t *testing.T, p placeOf) { p.back(t, "badger", "anchor") }, "clean", 300, ""}, // of the running day: only a copy elsewhere shows it
		{"store and anchor set back by two days", func(t *testing.T, p placeOf) {
			p.take(t, p.first, "badger")
			p.take(t, p.first, "anchor")
		}, "", 100, "seal/2026-02-28"},
		{"seals set back", func(t *testing.T, p placeOf) { p.back(t, "seal") }, "", 340, "seal"},
		{"a bit flipped in the write-ahead log", func(t *testing.T, p placeOf) {
			p.crash(t, 17)
			files, err := filepath.Glob(filepath.Join(badgerPath(p.dir), "*.mem"))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			flip(t, files[0], 4000, 3)
		}, "", 357, "row 340"},
		{"anchor of another history of the same length", func(t *testing.T, p placeOf) { p.take(t, p.fork(t, 40), "anchor") }, "", 340, "anchor/checkpoint"},
		{"anchor of a shorter other history", func(t *testing.T, p placeOf) { p.take(t, p.fork(t, 7), "anchor") }, "", 307, "row 307"},
		{"anchor of a longer other history", func(t *testing.T, p placeOf) { p.take(t, p.fork(t, 41), "anchor") }, "", 341, "row 340"},
		{"a tile at the edge changed", func(t *testing.T, p placeOf) {
			edit(t, p.dir, newest.tile(tlog.Tile{H: 8, L: 0, N: 1, W: 84}), func(v []byte) []byte { v[7] ^= 1; return v })
		}, "", 340, "badger"},
		{"the store's checkpoint changed", func(t *testing.T, p placeOf) {
			edit(t, p.dir, headKey, func(v []byte) []byte { return bytes.Replace(v, []byte("\n340\n"), []byte("\n341\n"), 1) })
		}, "", 340, "badger"},
		{"a row near the end changed", func(t *testing.T, p placeOf) {
			edit(t, p.dir, rowKeyOf(t, p.dir, 320), func(v []byte) []byte { v[60] ^= 1; return v })
		}, "", 340, "row 320"},
		{"the store is not one", func(t *testing.T, p placeOf) {
			write(t, filepath.Join(badgerPath(p.dir), "MANIFEST"), "not a manifest")
		}, "", 340, "badger"},
		{"the store is gone", func(t *testing.T, p placeOf) { gone(t, badgerPath(p.dir)) }, "", 340, "badger"},
		{"Badger crashes on the store", func(t *testing.T, p placeOf) {
			tables, err := filepath.Glob(filepath.Join(badgerPath(p.dir), "*.sst"))
			if err != nil || len(tables) == 0 || os.Truncate(tables[0], 7) != nil {
				t.Fatal(tables, err)
			}
			sumAgain(t, p.dir, tables[0])
			if _, err := Open(p.dir, Options{}); err == nil || !strings.Contains(err.Error(), "whoever tries ends with exit status 2 (panic: ") {
				t.Errorf("%v: Badger does not crash on this any more, find something else", err)
			}
		}, "", 340, "badger"},
		{"another log's store", func(t *testing.T, p placeOf) { p.take(t, newPlace(t).dir, "badger") }, "", 340, "badger"},
		{"another log's anchor", func(t *testing.T, p placeOf) { p.take(t, newPlace(t).dir, "anchor/checkpoint") }, "", 0, "anchor/checkpoint"},
		{"another log's anchor and birth certificate", func(t *testing.T, p placeOf) { p.take(t, newPlace(t).dir, "anchor") }, "", 0, "keys/checkpoint.pub"},
		{"no anchor", func(t *testing.T, p placeOf) { remove(t, anchorPath(p.dir)) }, "", 0, "anchor/checkpoint"},
		{"no birth certificate", func(t *testing.T, p placeOf) { remove(t, genesisPath(p.dir)) }, "", 0, "anchor/genesis.json"},
		{"no public key", func(t *testing.T, p placeOf) { remove(t, vkeyPath(p.dir)) }, "", 0, "keys/checkpoint.pub"},
		{"no signing key", func(t *testing.T, p placeOf) { remove(t, signerPath(p.dir)) }, "", 340, "keys/checkpoint"},
		{"no seal key", func(t *testing.T, p placeOf) { remove(t, sealStatePath(p.dir)) }, "", 340, "seal/key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := whole.copy(t)
			c.harm(t, p)
			if v := verify(t, p.dir); c.where == "" && c.name != oldSealKey && v.Status != Intact {
				t.Errorf("before the next start: %v, %+v", v.Status, v.Damage)
			}
			if c.where == "" {
				goesOn(t, p, c.status, c.rows)
			} else {
				isDamaged(t, p, c.where, c.rows)
			}
		})
	}
}

// goesOn says that nothing acknowledged was lost and the log can be written.
func goesOn(t *testing.T, p placeOf, status string, rows uint64) {
	t.Helper()
	l := openAt(t, p.dir, p.clock)
	if r := l.Recovery(); r.Status != status || l.Size() != rows {
		t.Errorf("%+v with %d rows, want %q with %d", r, l.Size(), status, rows)
	}
	addRows(t, l, 3)
	closeLedger(t, l)
	if _, err := os.Stat(filepath.Join(p.dir, walAsFound)); err == nil {
		t.Error("copies of write-ahead logs were left behind")
	}
	if v := verify(t, p.dir); v.Status != Intact || v.Size != rows+3 {
		t.Errorf("%v with %d rows, %+v", v.Status, v.Size, v.Damage)
	}
}

// isDamaged says that the damage is named, that nothing changes, and how a new log follows.
func isDamaged(t *testing.T, p placeOf, where string, rows uint64) {
	t.Helper()
	wal := filepath.Join(t.TempDir(), "wal")
	if files, err := filepath.Glob(filepath.Join(badgerPath(p.dir), "*.mem")); err == nil && len(files) == 1 {
		replaceBy(t, files[0], wal)
	}
	var damaged *DamagedError
	if _, err := Open(p.dir, Options{Create: true, Clock: p.clock.read}); !errors.As(err, &damaged) || damaged.Where != where {
		t.Fatalf("Open gave %v, want damage at %s", err, where)
	}
	p.clock.now = p.clock.now.AddDate(0, 0, 1)
	l, err := Open(p.dir, Options{Create: true, Continue: true, Clock: p.clock.read})
	if err != nil {
		t.Fatal(err)
	}
	first, err := l.Row(0)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ParseEvent(first.JSON)
	if err != nil {
		t.Fatal(err)
	}
	kept := e.Predecessor
	if l.Recovery().Status != "restarted" || l.Size() != 1 || e.Rule != "restarted" || kept == nil || kept.Where != where || kept.Size != int64(rows) || !strings.Contains(e.Message, kept.Kept) {
		t.Fatalf("%+v, first row %s", l.Recovery(), first.JSON)
	}
	if root, err := base64.StdEncoding.DecodeString(kept.Root); rows > 0 && (err != nil || len(root) != 32 || kept.Origin == "" || kept.Origin == l.Origin()) {
		t.Errorf("first row %s", first.JSON)
	}
	addRows(t, l, 5)
	closeLedger(t, l)
	if v := verify(t, p.dir); v.Status != Intact || v.Size != 6 {
		t.Errorf("the new log: %v, %+v", v.Status, v.Damage)
	}
	if v := verify(t, filepath.Join(p.dir, kept.Kept)); v.Status != Tampered && where != "keys/checkpoint" { // nobody needs the secret key to verify
		t.Errorf("the log that was kept aside is %v", v.Status)
	}
	if want, err := os.ReadFile(wal); err == nil {
		files, _ := filepath.Glob(filepath.Join(p.dir, kept.Kept, walAsFound, "*.mem"))
		if len(files) != 1 {
			t.Fatalf("the write-ahead log as it was found: %q", files)
		}
		if got, err := os.ReadFile(files[0]); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the write-ahead log as it was found is another: %v", err)
		}
	}
}
