package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"netaudit/ledger"
)

// checkTampering changes one byte of the finished ledger at a time, in copies: verification must say where.
func checkTampering(t *testing.T, state string) {
	t.Helper()
	row := copyState(t, state)
	flipRow(t, filepath.Join(row, "badger"), "upload.mit-odoo.de")
	wantTampered(t, row, "a changed row")

	anchor := copyState(t, state)
	flip(t, filepath.Join(anchor, "anchor", "checkpoint"), 30)
	wantTampered(t, anchor, "a changed anchor")

	if v, err := ledger.VerifyDir(t.Context(), state, nil); err != nil || v.Status != ledger.Intact {
		t.Errorf("verification changed the original: %v, error %v", v.Status, err)
	}
}

func wantTampered(t *testing.T, dir, what string) {
	t.Helper()
	v, err := ledger.VerifyDir(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if v.Status != ledger.Tampered || v.Damage == nil || v.Damage.Where == "" && !v.Damage.HasSeq {
		t.Errorf("%s: status %v, damage %+v; want tampered, and where", what, v.Status, v.Damage)
		return
	}
	t.Logf("%s: %+v", what, *v.Damage)
}

func copyState(t *testing.T, state string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.CopyFS(dir, os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// flipRow changes one byte of the first stored row that holds the text, behind the ledger's back.
func flipRow(t *testing.T, dir, text string) {
	t.Helper()
	db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	var key, value []byte
	err = db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{' '}, PrefetchValues: true}) // the table of rows
		defer it.Close()
		for it.Rewind(); it.Valid() && value == nil; it.Next() {
			v, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			if at := bytes.Index(v, []byte(text)); at >= 0 {
				v[at] ^= 1
				key, value = it.Item().KeyCopy(nil), v
			}
		}
		return nil
	})
	if err != nil || value == nil {
		t.Fatalf("no row holds %q: %v", text, err)
	}
	if err := db.Update(func(txn *badger.Txn) error { return txn.Set(key, value) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[at] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
