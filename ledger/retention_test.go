package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"netaudit/ledger/proof"
)

// fourDays is a ledger with rows on four days, open on the last of them.
func fourDays(t *testing.T) (l *Ledger, dir string, c *clock) {
	t.Helper()
	dir, c = filepath.Join(t.TempDir(), "state"), &clock{day0}
	l = openAt(t, dir, c)
	for day, rows := range []int{300, 40, 700, 5} {
		c.now = day0.AddDate(0, 0, day)
		addRows(t, l, rows)
	}
	return l, dir, c
}

func TestRetentionTakesWholeDaysAndEverythingStillVerifies(t *testing.T) {
	l, dir, c := fourDays(t)
	c.now = day0.AddDate(0, 0, 4)
	addRows(t, l, 1)
	hold := Span{day0.AddDate(0, 0, 1), day0.AddDate(0, 0, 1)}
	done, err := l.Retain(t.Context(), Policy{MaxAge: 35 * time.Hour, Hold: []Span{hold}})
	if err != nil || done.Days != 2 || done.Rows != 1000 || done.Held != 1 {
		t.Fatalf("%+v, %v; want the first and the third day", done, err)
	}
	if again, err := l.Retain(t.Context(), Policy{MaxAge: 35 * time.Hour, Hold: []Span{hold}}); err != nil || again.Days != 0 {
		t.Errorf("once more: %+v, %v", again, err)
	}
	for _, open := range []bool{true, false} { // as it is, and after a new start
		if !open {
			closeLedger(t, l)
			if v := verify(t, dir); v.Status != Intact || !strings.Contains(strings.Join(v.Checked, " "), "1000 rows are withheld") {
				t.Fatalf("%v, %q, damage %+v", v.Status, v.Checked, v.Damage)
			}
			l = openAt(t, dir, c)
		}
		if _, err := l.Row(299); !errors.Is(err, ErrWithheld) || !errors.Is(err, ErrNoRow) {
			t.Errorf("row 299: %v", err)
		}
		if r, err := l.Row(300); err != nil || r.Seq != 300 {
			t.Errorf("row 300, under legal hold: %v", err)
		}
		var first, n uint64
		if err := l.Rows(t.Context(), 0, func(r Row) bool {
			if n++; n == 1 {
				first = r.Seq
			}
			return true
		}); err != nil || first != 300 || n != 40+5+1+4 {
			t.Errorf("%d rows from %d on, %v", n, first, err)
		}
		if text, err := l.Proof(7); err != nil || len(text) == 0 {
			t.Errorf("the place of a withheld row can still be proved: %v", err)
		}
	}
	c.now = day0.AddDate(0, 0, 5)
	addRows(t, l, 1)
	if s := l.LastSeal(); s == nil || s.Minimum != 1040 {
		t.Errorf("the next seal says that rows below %+v may be withheld", s)
	}
	closeLedger(t, l)
}

func TestRowsThatNobodySaysRetentionTookAreMissing(t *testing.T) {
	l, dir, _ := fourDays(t)
	closeLedger(t, l)
	change(t, dir, func(db *badger.DB) error {
		return db.DropPrefix(newest.day(dayAt(day0.UnixNano())), indexDayPrefix(dayAt(day0.UnixNano())))
	})
	if v := verify(t, dir); v.Status != Tampered || v.Damage == nil || !v.Damage.HasSeq || v.Damage.Seq != 0 {
		t.Errorf("%v, %+v", v.Status, v.Damage)
	}
}

// TestRowsThatSayWhatWasTakenAwayMayGoThemselves keeps two days for a dozen, one of the first under legal hold: the rows go too that told of the days before them.
func TestRowsThatSayWhatWasTakenAwayMayGoThemselves(t *testing.T) {
	for style, retain := range map[string]func(*testing.T, *Ledger, Policy){
		"now": func(t *testing.T, l *Ledger, p Policy) {
			if _, err := l.Retain(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		},
		"before rows told of earlier days": retainSayingLittle,
	} {
		t.Run(style, func(t *testing.T) {
			dir, c := filepath.Join(t.TempDir(), "state"), &clock{day0}
			l := openAt(t, dir, c)
			held := day0.AddDate(0, 0, 2)
			for day := range 12 {
				c.now = day0.AddDate(0, 0, day)
				addRows(t, l, 20)
				retain(t, l, Policy{MaxAge: 30 * time.Hour, Hold: []Span{{held, held}}})
			}
			closeLedger(t, l)
			if v := verify(t, dir); v.Status != Intact {
				t.Errorf("%v, %+v", v.Status, v.Damage)
			}
			if style != "now" {
				return
			}
			change(t, dir, func(db *badger.DB) error {
				day := dayAt(held.UnixNano())
				return db.DropPrefix(newest.day(day), indexDayPrefix(day))
			})
			if v := verify(t, dir); v.Status != Tampered || v.Damage == nil || v.Damage.Seq != 40 {
				t.Errorf("with the day under legal hold missing: %v, %+v", v.Status, v.Damage)
			}
		})
	}
}

// retainSayingLittle takes days away as it was done before rows about retention told of earlier days.
func retainSayingLittle(t *testing.T, l *Ledger, p Policy) {
	t.Helper()
	for {
		d, _, _, ok := l.nextToDrop(p, dayAt(l.options.Clock().UnixNano()))
		if !ok {
			return
		}
		if err := l.Append(t.Context(), Event{Kind: "retention", Rule: "intent", Retention: &Retention{Day: dayName(d.day), First: int64(d.first), Last: int64(d.last)}}); err != nil {
			t.Fatal(err)
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		if err := l.send(t.Context(), request{drop: &d, flushed: done}); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// TestRunsOfRowsThatWentAreJoined also says that a row has room for all that it may have to name.
func TestRunsOfRowsThatWentAreJoined(t *testing.T) {
	got := runsOf([]dayRange{{1, 0, 9}, {2, 10, 19}, {4, 30, 39}, {5, 40, 40}})
	if want := []int64{0, 19, 30, 40}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	pieces := make([]int64, 0, 2*mostRuns)
	for i := range int64(2 * mostRuns) {
		pieces = append(pieces, 1<<40+i)
	}
	e := Event{Kind: "retention", Salt: strings.Repeat("s", 22), Retention: &Retention{Earlier: pieces}}
	if n := len(e.AppendJSON(nil)); n > LargestRow/2 {
		t.Errorf("%d pieces take %d bytes, of %d that a row may have", mostRuns, n, LargestRow)
	}
}

// change opens the store behind the ledger's back.
func change(t *testing.T, dir string, f func(db *badger.DB) error) {
	t.Helper()
	db, err := badger.Open(badger.DefaultOptions(badgerPath(dir)).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	ungroup(t, db)
	if err := errors.Join(f(db), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestCrashInTheMiddleOfRetentionIsFinished(t *testing.T) {
	l, dir, c := fourDays(t)
	day := dayAt(day0.UnixNano())
	event := Event{Kind: "retention", Rule: "intent", Retention: &Retention{Day: dayName(day), First: 0, Last: 299, Reason: "test"}}
	if err := l.Append(t.Context(), event); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	row, err := l.Row(299)
	if err != nil {
		t.Fatal(err)
	}
	closeLedger(t, l)
	change(t, dir, func(db *badger.DB) error {
		value := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 0), 299)
		return db.Update(func(txn *badger.Txn) error { return txn.Set(droppedKey(day), append(value, row.Chain[:]...)) })
	})
	l = openAt(t, dir, c)
	n := 0
	if err := l.Rows(t.Context(), 0, func(r Row) bool { n++; return r.Seq >= 300 }); err != nil || n != 40+700+5+1 {
		t.Errorf("%d rows, %v", n, err)
	}
	closeLedger(t, l)
	if v := verify(t, dir); v.Status != Intact {
		t.Errorf("%+v", v.Damage)
	}
}

func TestLargeStoreLosesItsOldestDays(t *testing.T) {
	l, _, _ := fourDays(t)
	if done, err := l.Retain(t.Context(), Policy{MaxBytes: 1 << 40}); err != nil || done.Days != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if done, err := l.Retain(t.Context(), Policy{MaxBytes: 1}); err != nil || done.Days != 3 { // the running day stays
		t.Errorf("%+v, %v", done, err)
	}
	closeLedger(t, l)
}

// bundleOf writes a bundle and gives the keys that check it.
func bundleOf(t *testing.T, l *Ledger, first, count uint64) (text []byte, keys []string) {
	t.Helper()
	var b bytes.Buffer
	if err := l.WriteBundle(t.Context(), &b, first, count); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), []string{l.VerifierKey(), l.SealVerifierKey()}
}

func TestBundlesProveEveryRunOfRows(t *testing.T) {
	l, _, c := fourDays(t)
	key := l.Recovery().SealKey
	size := l.Size()
	for _, run := range [][2]uint64{{0, 1}, {0, size}, {size - 1, 1}, {299, 2}, {300, 40}, {255, 2}, {256, 256}, {511, 514}} {
		text, keys := bundleOf(t, l, run[0], run[1])
		b, err := proof.CheckBundle(bytes.NewReader(text), int64(len(text)), keys, &key)
		if err != nil || b.Index != run[0] || b.Count != run[1] || b.Size != size || b.Seals != 3 || !b.Pinned || len(b.NotChecked) != 2 {
			t.Errorf("rows %d, %d: %+v, %v", run[0], run[1], b, err)
		}
		if b, err := proof.CheckBundle(bytes.NewReader(text), int64(len(text)), nil, nil); err != nil || b.Pinned || len(b.NotChecked) != 5 {
			t.Errorf("without keys: %+v, %v", b, err)
		}
	}
	for _, run := range [][2]uint64{{0, 0}, {0, size + 1}, {size, 1}, {1, 1<<64 - 1}} {
		if err := l.WriteBundle(t.Context(), &bytes.Buffer{}, run[0], run[1]); !errors.Is(err, ErrNoRow) {
			t.Errorf("rows %d, %d: %v", run[0], run[1], err)
		}
	}
	if _, err := l.Retain(t.Context(), Policy{MaxAge: 12 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	text, keys := bundleOf(t, l, 290, 60)
	if _, err := proof.CheckBundle(bytes.NewReader(text), int64(len(text)), keys, &key); err == nil || errors.Is(err, proof.ErrUnproved) {
		t.Errorf("withheld rows before a seal says so: %v", err)
	}
	c.now = day0.AddDate(0, 0, 4)
	addRows(t, l, 1)
	text, keys = bundleOf(t, l, 290, 60)
	if b, err := proof.CheckBundle(bytes.NewReader(text), int64(len(text)), keys, &key); err != nil || b.Withheld != 50 {
		t.Errorf("%+v, %v", b, err)
	}
	closeLedger(t, l)
}

// TestRetentionStopsWhereARowCannotNameAllThatWent: every second day of five and a half years under legal hold.
func TestRetentionStopsWhereARowCannotNameAllThatWent(t *testing.T) {
	l, _, c := fourDays(t)
	defer closeLedger(t, l)
	c.now = day0.AddDate(0, 0, 4)
	addRows(t, l, 1)
	state := *l.state.Load()
	taken := state
	for i := range uint64(mostRuns + 1) { // of an earlier time than the log's: nothing else is asked about them
		taken.dropped = append(taken.dropped, dayRange{day: uint32(2 * i), first: 2 * i, last: 2 * i})
	}
	l.state.Store(&taken)
	size := l.Size()
	done, err := l.Retain(t.Context(), Policy{MaxAge: 35 * time.Hour})
	l.state.Store(&state)
	if err == nil || !strings.Contains(err.Error(), "end some of the holds") || done.Days != 0 || l.Size() != size {
		t.Errorf("%+v, %v, %d rows more", done, err, l.Size()-size)
	}
	if _, err := l.Row(0); err != nil {
		t.Errorf("a row of the day that was to go: %v", err)
	}
}
