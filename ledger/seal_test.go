package ledger

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"netaudit/ledger/proof"
)

// clock is a clock that tests set.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

// day0 is the first day of the tests' logs.
var day0 = time.Date(2026, 2, 27, 12, 0, 0, 0, time.UTC)

// openAt opens a ledger under a clock.
func openAt(t *testing.T, dir string, c *clock) *Ledger {
	t.Helper()
	l, err := Open(dir, Options{Create: true, Clock: c.read})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func addRows(t *testing.T, l *Ledger, n int) {
	t.Helper()
	for i := range n {
		if err := l.Append(t.Context(), sample(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// sealedLedger has rows on its first day, none on the second, one on the third, and was down until the sixth.
func sealedLedger(t *testing.T) (dir string, key proof.SealKey, c *clock) {
	t.Helper()
	dir, c = filepath.Join(t.TempDir(), "state"), &clock{day0}
	l := openAt(t, dir, c)
	key = l.Recovery().SealKey
	addRows(t, l, 300)
	c.now = day0.AddDate(0, 0, 2)
	addRows(t, l, 1)
	closeLedger(t, l)
	c.now = day0.AddDate(0, 0, 5)
	l = openAt(t, dir, c)
	addRows(t, l, 2)
	c.now = day0.AddDate(0, 0, 1) // the clock steps back: no day is opened again
	addRows(t, l, 2)
	closeLedger(t, l)
	return dir, key, c
}

func closeLedger(t *testing.T, l *Ledger) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func seals(t *testing.T, dir string) (texts [][]byte, vkey string) {
	t.Helper()
	texts, vkey, err := SealFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	return texts, vkey
}

func TestEveryDayHasASealAlsoEmptyOnesAndThoseWithoutAWatcher(t *testing.T) {
	dir, key, _ := sealedLedger(t)
	texts, vkey := seals(t, dir)
	list, err := proof.CheckSeals(texts, vkey, &key)
	if err != nil || len(list) != 5 {
		t.Fatalf("%d seals, %v; want those of five days", len(list), err)
	}
	var late []string
	for _, s := range list {
		if s.Late {
			late = append(late, s.Day)
		}
	}
	// The second day ended while nobody wrote, too: the first row after it came on the third.
	if want := []string{"2026-02-27", "2026-03-01", "2026-03-02"}; list[0].Day != "2026-02-27" || !slices.Equal(late, want) {
		t.Errorf("sealed late: %q", late)
	}
	if list[0].Rows != 300 || list[1].Rows != 0 || list[1].First != "-" || list[2].Rows != 1 || list[2].First != "2026-03-01T12:00:00.000000000Z" || list[4].Size != 301 {
		t.Errorf("%+v", list)
	}
	if v := verify(t, dir); v.Status != Intact || !strings.Contains(strings.Join(v.Checked, " "), "5 days") {
		t.Errorf("%+v, damage %+v", v, v.Damage)
	}
	// Somebody else's program reads the signature and passes over the authentication code.
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(texts[4], note.VerifierList(verifier)); err != nil || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 1 {
		t.Errorf("x/mod note: %+v, %v", n, err)
	}
}

func TestSealsShowWhatWasDoneToThem(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, dir string){
		"one is missing":       func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "seal/2026-02-28")) },
		"the first is missing": func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "seal/2026-02-27")) },
		"the last is missing":  func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "seal/2026-03-03")) },
		"the key is missing":   func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "seal/key")) },
		"all are missing": func(t *testing.T, dir string) {
			for _, day := range []string{"02-27", "02-28", "03-01", "03-02", "03-03"} {
				remove(t, filepath.Join(dir, "seal/2026-"+day))
			}
		},
		"two change places": func(t *testing.T, dir string) {
			a, b := filepath.Join(dir, "seal/2026-03-02"), filepath.Join(dir, "seal/2026-03-03")
			if os.Rename(a, a+"x") != nil || os.Rename(b, a) != nil || os.Rename(a+"x", b) != nil {
				t.Fatal("rename")
			}
		},
		"one is another log's": func(t *testing.T, dir string) {
			other, _, _ := sealedLedger(t)
			replaceBy(t, filepath.Join(other, "seal/2026-03-01"), filepath.Join(dir, "seal/2026-03-01"))
		},
		"the public key is another": func(t *testing.T, dir string) {
			other, _, _ := sealedLedger(t)
			replaceBy(t, filepath.Join(other, "keys/seal.pub"), filepath.Join(dir, "keys/seal.pub"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _, _ := sealedLedger(t)
			harm(t, dir)
			if v := verify(t, dir); v.Status != Tampered {
				t.Errorf("%v", v.Status)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func replaceBy(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestThiefOfTheDiskCannotSealAnEarlierDayAgain: who has every file of the fifth day, the signing keys too, signs the second day's seal anew.
func TestThiefOfTheDiskCannotSealAnEarlierDayAgain(t *testing.T) {
	dir, key, _ := sealedLedger(t)
	texts, vkey := seals(t, dir)
	id, err := loadIdentity(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	state, err := loadSealState(dir, id)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := proof.OpenSeal(texts[1], vkey, nil)
	if err != nil {
		t.Fatal(err)
	}
	forged.Chain[0] ^= 1
	text, err := state.key.Sign(&forged, id.sealSigner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.CheckSeals([][]byte{texts[0], text}, vkey, nil); err != nil {
		t.Errorf("without the owner's key the forgery is not to be seen: %v", err)
	}
	if _, err := proof.CheckSeals([][]byte{texts[0], text}, vkey, &key); err == nil {
		t.Error("the owner's key does not show the forgery")
	}
}

func TestSealThatExistsIsNeverWrittenAgain(t *testing.T) {
	dir, _, c := sealedLedger(t)
	state, err := os.ReadFile(sealStatePath(dir))
	if err != nil {
		t.Fatal(err)
	}
	l := openAt(t, dir, c)
	for day := 6; day <= 8; day++ { // rows between the seals: made anew, they would be others
		c.now = day0.AddDate(0, 0, day)
		addRows(t, l, 1)
	}
	closeLedger(t, l)
	before, _ := seals(t, dir)
	if err := os.WriteFile(sealStatePath(dir), state, 0o600); err != nil { // from a backup, three days old
		t.Fatal(err)
	}
	closeLedger(t, openAt(t, dir, c))
	after, _ := seals(t, dir)
	if len(before) != 8 || !slices.EqualFunc(before, after, slices.Equal) {
		t.Errorf("%d seals before, %d after, or others", len(before), len(after))
	}
	if v := verify(t, dir); v.Status != Intact {
		t.Errorf("%+v", v.Damage)
	}
	if err := os.WriteFile(sealStatePath(dir), []byte("null"), 0o600); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, dir); v.Status != Tampered {
		t.Errorf("with an empty key file: %v", v.Status)
	}
}

// TestDayThatEndsDuringAVerificationIsNoDamage lets days end while the log is verified again and again.
func TestDayThatEndsDuringAVerificationIsNoDamage(t *testing.T) {
	var now atomic.Int64
	now.Store(day0.UnixNano())
	l, err := Open(filepath.Join(t.TempDir(), "state"), Options{Create: true, Clock: func() time.Time { return time.Unix(0, now.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 60 {
			now.Add(secondsOfDay * int64(time.Second))
			if err := errors.Join(l.Append(t.Context(), sample(1)), l.Flush(t.Context())); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for n := 0; ; n++ {
		v, err := l.Verify(t.Context(), nil)
		if err != nil || v.Status != Intact {
			t.Errorf("verification %d: %+v, %v", n, v.Damage, err)
		}
		select {
		case <-done:
			closeLedger(t, l)
			return
		default:
		}
	}
}

func TestCrashBetweenSealAndForgettingTheKey(t *testing.T) {
	dir, key, c := sealedLedger(t)
	state, err := os.ReadFile(sealStatePath(dir))
	if err != nil {
		t.Fatal(err)
	}
	c.now = day0.AddDate(0, 0, 6)
	closeLedger(t, openAt(t, dir, c))
	if err := os.WriteFile(sealStatePath(dir), state, 0o600); err != nil { // as if the crash had come before the key was replaced
		t.Fatal(err)
	}
	if v := verify(t, dir); v.Status != Intact {
		t.Errorf("before the next start: %+v", v.Damage)
	}
	l := openAt(t, dir, c)
	addRows(t, l, 1)
	if l.LastSeal() == nil || l.LastSeal().Day != "2026-03-04" {
		t.Errorf("%+v", l.LastSeal())
	}
	closeLedger(t, l)
	texts, vkey := seals(t, dir)
	if list, err := proof.CheckSeals(texts, vkey, &key); err != nil || len(list) != 6 {
		t.Errorf("%d seals, %v", len(list), err)
	}
}

func TestLogFromBeforeThereWereSealsGoesOn(t *testing.T) {
	dir := newLedger(t, 3)
	record, err := os.ReadFile(genesisPath(dir))
	if err != nil || !strings.Contains(string(record), `,"seal_vkey":"`) {
		t.Fatal(string(record), err)
	}
	old, _, _ := strings.Cut(string(record), `,"seal_vkey"`)
	if err := os.WriteFile(genesisPath(dir), []byte(old+"}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, dir); v.Status != Tampered { // the store names the genesis record with its seal key
		t.Errorf("a log whose seals were disowned: %v", v.Status)
	}
}

// checkSealsOf checks the seals of a log with the owner's key.
func checkSealsOf(t *testing.T, dir string, key proof.SealKey, want int) {
	t.Helper()
	texts, vkey := seals(t, dir)
	if list, err := proof.CheckSeals(texts, vkey, &key); err != nil || len(list) != want {
		t.Errorf("%d seals, %v; want %d", len(list), err, want)
	}
}

// TestClockThatStepsBackReopensNoSealedDay: a day without rows is sealed when it is over, and a clock that steps back into it afterwards finds it closed.
func TestClockThatStepsBackReopensNoSealedDay(t *testing.T) {
	midnight := day0.Truncate(24 * time.Hour)
	c := &clock{midnight.Add(23 * time.Hour)}
	dir := filepath.Join(t.TempDir(), "state")
	l := openAt(t, dir, c)
	addRows(t, l, 5)
	closeLedger(t, l)
	c.now = midnight.Add(49 * time.Hour) // the next day is over, and had no rows
	closeLedger(t, openAt(t, dir, c))
	c.now = midnight.Add(41 * time.Hour)
	l = openAt(t, dir, c)
	addRows(t, l, 5)
	c.now = midnight.Add(73 * time.Hour)
	addRows(t, l, 1)
	closeLedger(t, l)
	if v := verify(t, dir); v.Status != Intact {
		t.Errorf("%v, %+v", v.Status, v.Damage)
	}
	l = openAt(t, dir, c)
	defer closeLedger(t, l)
	var b bytes.Buffer
	if err := l.WriteBundle(t.Context(), &b, 0, l.Size()); err != nil {
		t.Fatal(err)
	}
	if _, err := proof.CheckBundle(bytes.NewReader(b.Bytes()), int64(b.Len()), []string{l.VerifierKey(), l.SealVerifierKey()}, nil); err != nil {
		t.Error(err)
	}
}
