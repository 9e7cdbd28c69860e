package ledger

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/note"
)

// twiceVerified is a log of 5,000 rows that was verified at 3,000 and then got the others.
func twiceVerified(t *testing.T) string {
	t.Helper()
	dir, c := filepath.Join(t.TempDir(), "state"), &clock{day0}
	l := openAt(t, dir, c)
	addRows(t, l, 3000)
	if v, err := l.VerifySince(t.Context(), nil); err != nil || v.Status != Intact || v.From != 0 {
		t.Fatalf("nothing is recorded: %+v, %v", v, err)
	}
	c.now = day0.AddDate(0, 0, 1) // a seal of 3,000 rows
	addRows(t, l, 2000)
	closeLedger(t, l)
	return dir
}

func since(t *testing.T, dir string) Verification {
	t.Helper()
	v, err := VerifyDirSince(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerifyingSinceLastReadsOnlyWhatCameSince(t *testing.T) {
	dir := twiceVerified(t)
	v := since(t, dir)
	if v.Status != Intact || v.From != 3000 || v.Size != 5000 || !strings.Contains(v.NotChecked[0], "Rows below 3000") || strings.Contains(strings.Join(v.Checked, " "), "index that") {
		t.Errorf("%v from %d, %q, not %q, %+v", v.Status, v.From, v.Checked, v.NotChecked, v.Damage)
	}
	if again := since(t, dir); again.Status != Intact || again.From != 5000 {
		t.Errorf("the second one was not recorded: from %d, %+v", again.From, again.Damage)
	}
	if whole := verify(t, dir); whole.Status != Intact || whole.From != 0 || strings.Contains(whole.NotChecked[0], "Rows below") {
		t.Errorf("everything: %+v", whole)
	}
}

func TestRecordOfAVerificationHidesNoDamageThatItDoesNotSpeakOf(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(t *testing.T, dir string)
		from uint64
		want Status
		seq  int64
		what string // in the damage
	}{
		{"a newer row is changed", func(t *testing.T, dir string) { changeRow(t, dir, 4000) }, 3000, Tampered, 4000, "leaf"},
		{"an older row is changed: that is what it says it did not read", func(t *testing.T, dir string) { changeRow(t, dir, 7) }, 3000, Intact, -1, ""},
		{"the record is of another key", func(t *testing.T, dir string) {
			editRecord(t, dir, func(n *note.Note) { n.Sigs, n.UnverifiedSigs = nil, nil }, newSigner(t, dir))
			changeRow(t, dir, 7)
		}, 0, Tampered, 7, "leaf"},
		{"a bit of the record is changed", func(t *testing.T, dir string) { flip(t, verifiedPath(dir), 50, 0); changeRow(t, dir, 7) }, 0, Tampered, 7, "leaf"},
		{"the checkpoint is put in its place", func(t *testing.T, dir string) {
			text, err := os.ReadFile(anchorPath(dir))
			if err := errors.Join(err, os.WriteFile(verifiedPath(dir), text, 0o644)); err != nil {
				t.Fatal(err)
			}
			changeRow(t, dir, 7)
		}, 0, Tampered, 7, "leaf"},
		{"the tree up to then is another one", func(t *testing.T, dir string) {
			change(t, dir, func(db *badger.DB) error { return db.Update(onTile(0, 0, 0)) })
		}, 3000, Intact, -1, ""}, // below: not read
		{"the edge of the tree up to then is another one", func(t *testing.T, dir string) {
			change(t, dir, func(db *badger.DB) error { return db.Update(onTile(0, 11, 0)) })
		}, 3000, Tampered, -1, "not the one that was verified"},
		{"store and anchor are set back together", func(t *testing.T, dir string) {
			since(t, dir) // 5,000 rows are recorded
			old := filepath.Join(t.TempDir(), "old")
			appendRows(t, dir, 10)
			if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			appendRows(t, dir, 10)
			since(t, dir)
			for _, name := range []string{"badger", "anchor/checkpoint"} {
				if err := errors.Join(os.RemoveAll(filepath.Join(dir, name)), copyPath(filepath.Join(old, name), filepath.Join(dir, name))); err != nil {
					t.Fatal(err)
				}
			}
		}, 5020, Tampered, -1, "5020 rows were verified earlier"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := twiceVerified(t)
			c.harm(t, dir)
			v := since(t, dir)
			if v.Status != c.want || v.From != c.from && v.Status == Intact {
				t.Fatalf("%v from %d, %+v", v.Status, v.From, v.Damage)
			}
			if c.want == Intact {
				if v := verify(t, dir); v.Status != Tampered {
					t.Errorf("verifying everything finds nothing: %v", v.Status)
				}
				return
			}
			if d := v.Damage; d.HasSeq != (c.seq >= 0) || d.HasSeq && d.Seq != uint64(c.seq) || !strings.Contains(d.Detail, c.what) {
				t.Errorf("%+v", d)
			}
		})
	}
}

func changeRow(t *testing.T, dir string, seq uint64) {
	t.Helper()
	edit(t, dir, rowKeyOf(t, dir, seq), func(v []byte) []byte { v[len(v)-3] ^= 1; return v })
}

func copyPath(from, to string) error {
	info, err := os.Stat(from)
	if err == nil && info.IsDir() {
		return os.CopyFS(to, os.DirFS(from))
	}
	text, err := os.ReadFile(from)
	return errors.Join(err, os.WriteFile(to, text, 0o644))
}

// newSigner is somebody else's key with the log's name.
func newSigner(t *testing.T, dir string) note.Signer {
	t.Helper()
	id, err := loadIdentity(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	skey, _, err := note.GenerateKey(bytes.NewReader(make([]byte, 64)), id.origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func editRecord(t *testing.T, dir string, change func(*note.Note), signer note.Signer) {
	t.Helper()
	id, err := loadIdentity(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(verifiedPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(text, note.VerifierList(id.verifier))
	if err != nil {
		t.Fatal(err)
	}
	change(n)
	signed, err := note.Sign(n, signer)
	if err := errors.Join(err, os.WriteFile(verifiedPath(dir), signed, 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestSlowWalkVerifiesALogThatGrowsAndLosesDays(t *testing.T) {
	l, _, c := fourDays(t)
	steps := 0
	v, err := l.VerifySlowly(t.Context(), 1e9, func(done, total uint64) {
		if steps++; steps == 1 { // after the first segment was read
			addRows(t, l, 10)
			c.now = c.now.AddDate(0, 0, 1)
			addRows(t, l, 1)
			if _, err := l.Retain(t.Context(), Policy{MaxBytes: 1}); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || v.Status != Intact || steps < 2 {
		t.Errorf("%v, %+v, %v after %d steps", v.Status, v.Damage, err, steps)
	}
	closeLedger(t, l)
}

func TestSlowWalkAllowsForDaysThatBeginMeanwhile(t *testing.T) {
	for _, rows := range []int{0, 10} { // also the very first day
		c := &clock{day0}
		l := openAt(t, t.TempDir(), c)
		addRows(t, l, rows)
		steps := 0
		v, err := l.VerifySlowly(t.Context(), 1e9, func(done, total uint64) {
			if steps++; steps == 1 {
				c.now = c.now.AddDate(0, 0, 1)
				addRows(t, l, 5)
			}
		})
		if err != nil || v.Status != Intact || v.Size != uint64(rows) || steps == 0 {
			t.Errorf("%d rows, later %d: %v, %+v, %v", rows, v.Size, v.Status, v.Damage, err)
		}
		closeLedger(t, l)
	}
}

func TestReindexMendsWhatIsDerived(t *testing.T) {
	l, dir := hours(t)
	sums, index := tableOf(t, l, tableRollup), tableOf(t, l, tableIndex)
	closeLedger(t, l)
	for name, prefix := range map[string]byte{"sums": tableRollup, "index": tableIndex} {
		harmEntry(t, dir, prefix, 0, func(txn *badger.Txn, key, value []byte) error {
			wrong := bytes.Clone(key)
			wrong[4]--
			return errors.Join(txn.Delete(key), txn.Set(wrong, value))
		})
		if v := verify(t, dir); v.Status != Tampered || !strings.Contains(v.Damage.Where, name) {
			t.Errorf("%s: %v, %+v", name, v.Status, v.Damage)
		}
		l, err := Open(dir, Options{Reindex: true, Clock: (&clock{day0.AddDate(0, 0, 0)}).read})
		if err != nil {
			t.Fatal(err)
		}
		if got := tableOf(t, l, tableRollup); !maps.Equal(got, sums) {
			t.Errorf("%d sums, want %d", len(got), len(sums))
		}
		if got := tableOf(t, l, tableIndex); !maps.Equal(got, index) {
			t.Errorf("%d entries of the index, want %d", len(got), len(index))
		}
		closeLedger(t, l)
		if v := verify(t, dir); v.Status != Intact {
			t.Errorf("%s: %+v", name, v.Damage)
		}
	}
}
