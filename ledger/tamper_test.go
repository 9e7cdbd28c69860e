package ledger

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tamperSample is how many bytes the ordinary run tries; make soak tries all (NETAUDIT_TAMPER=all).
const tamperSample = 250

// saysNothing are files whose change can change no answer about the log: Badger's statistics and lock, and secret keys, which verification does not read and whose next use fails.
var saysNothing = map[string]bool{"badger/DISCARD": true, "badger/LOCK": true, "keys/checkpoint": true, "keys/seal": true}

// TestNoChangedByteIsAllClear flips a bit of every byte of every file of a small ledger. The answer must be tampered or cannot tell; where it is intact, the bit must have no meaning: every row, sum and seal still reads the
// same.
func TestNoChangedByteIsAllClear(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	c := &clock{day0}
	l := openAt(t, dir, c)
	addRows(t, l, 12)
	c.now = day0.AddDate(0, 0, 1)
	addRows(t, l, 4)
	closeLedger(t, l)
	want := reading(t, dir)
	type place struct {
		file string
		at   int64
	}
	var places []place
	if err := os.Remove(ballastPath(dir)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || saysNothing[name] {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		for at := range info.Size() {
			places = append(places, place{name, at})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all := len(places)
	if os.Getenv("NETAUDIT_TAMPER") != "all" {
		rand.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
		places = places[:min(len(places), tamperSample)]
	}
	answers, meaningless := map[string]int{}, map[string]int{}
	for i, p := range places {
		copied := filepath.Join(t.TempDir(), "state") // who opens a store may compact it: the next place is looked for in files that are as they were
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		flip(t, filepath.Join(copied, p.file), p.at, i)
		v := verify(t, copied)
		answers[v.Status.String()]++
		if v.Status == Intact {
			if got := reading(t, copied); got != want {
				t.Errorf("byte %d of %s: intact, and the log says something else", p.at, p.file)
			}
			meaningless[filepath.Base(p.file)]++
		}
		if err := os.RemoveAll(copied); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d bytes tried: %v; without meaning: %v", len(places), all, answers, meaningless)
	if answers["tampered"] == 0 || verify(t, dir).Status != Intact {
		t.Error("nothing was found, or the ledger is not as it was")
	}
}

func flip(t *testing.T, path string, at int64, i int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << (i % 8)
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// reading is a hash over everything that a reader sees of the log.
func reading(t *testing.T, dir string) [32]byte {
	t.Helper()
	l, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer closeLedger(t, l)
	var text strings.Builder
	text.WriteString(l.VerifierKey() + strconv.FormatUint(l.Size(), 10) + string(l.Checkpoint().Note))
	if err := l.Rows(t.Context(), 0, func(r Row) bool {
		text.Write(r.JSON)
		text.Write(r.Chain[:])
		proof, err := l.Proof(r.Seq)
		if err != nil {
			t.Error(err)
		}
		text.Write(proof)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.Hours(t.Context(), time.Unix(0, 0), day0.AddDate(1, 0, 0), func(h *Hour) bool { fmt.Fprintf(&text, "%+v %+v", *h, h.Awake); return true }); err != nil {
		t.Fatal(err)
	}
	texts, err := l.Seals()
	if err != nil {
		t.Fatal(err)
	}
	for _, seal := range texts {
		text.Write(seal)
	}
	return sha256.Sum256([]byte(text.String()))
}
