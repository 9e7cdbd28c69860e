package ui

import (
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger"
)

// TestDrawnProofsLeadToTheTreeHead draws the proof of every row of logs whose trees are perfect, lopsided and tiny.
func TestDrawnProofsLeadToTheTreeHead(t *testing.T) {
	l, err := ledger.Open(filepath.Join(t.TempDir(), "state"), ledger.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	for size := range uint64(19) {
		for seq := range size {
			row, err := l.Row(seq)
			if err != nil {
				t.Fatal(err)
			}
			text, err := l.Proof(seq)
			if err != nil {
				t.Fatal(err)
			}
			pic, err := drawProof(text, tlog.Hash(row.Leaf))
			if err != nil || !pic.Fits() || pic.Size != size {
				t.Fatalf("row %d of %d: %+v, error %v", seq, size, pic, err)
			}
			wrong, err := drawProof(text, tlog.RecordHash([]byte("another row")))
			if err != nil || wrong.Fits() {
				t.Errorf("row %d of %d: another row leads to the tree head too (error %v)", seq, size, err)
			}
		}
		if err := l.Append(t.Context(), ledger.Event{V: 1, Kind: "lifecycle", Rule: "start", Start: 1, End: 1}); err != nil {
			t.Fatal(err)
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", "c2sp.org/tlog-proof@v1\nindex 0\n\n", "c2sp.org/tlog-proof@v1\nindex x\n\na\n1\nAA==\n", "c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\na\n2\nAA==\n\n"} {
		if pic, err := drawProof([]byte(text), tlog.Hash{}); err == nil {
			t.Errorf("%q is drawn: %+v", text, pic)
		}
	}
}
