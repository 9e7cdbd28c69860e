package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"netaudit/ledger"
	"netaudit/ledger/ledgertest"
)

// checkTampering changes one byte of the finished ledger at a time, in copies: verification must say where.
func checkTampering(t *testing.T, state string) {
	t.Helper()
	row := copyState(t, state)
	flipRow(t, row, "upload.mit-odoo.de")
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
func flipRow(t *testing.T, state, text string) {
	t.Helper()
	err := ledgertest.ChangeRows(state, func(stored []byte) ([]byte, bool) {
		at := bytes.Index(stored, []byte(text))
		if at >= 0 {
			stored[at] ^= 1
		}
		return stored, at >= 0
	})
	if err != nil {
		t.Fatalf("change a row that holds %q: %v", text, err)
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
