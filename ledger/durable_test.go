package ledger

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLeftoversOfACrashAreForgotten(t *testing.T) {
	dir, _, c := sealedLedger(t)
	kept := []string{filepath.Join(dir, "seal", ".note"), filepath.Join(dir, "keys", ".tokens.json12")} // not the ledger's
	left := []string{".beginning.json1", "anchor/.checkpoint12", "keys/.seal345", "seal/.key6789"}
	for i := range left {
		left[i] = filepath.Join(dir, left[i])
	}
	for _, path := range append(left, kept...) {
		if err := os.WriteFile(path, []byte("an earlier key"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if v := verify(t, dir); v.Status != Intact {
		t.Errorf("leftovers of a crash are called damage: %+v", v.Damage)
	}
	for _, path := range left {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("verify, a reader, touched it: %v", err)
		}
	}
	closeLedger(t, openAt(t, dir, c))
	for _, path := range left {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	for _, path := range kept {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}
