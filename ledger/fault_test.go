package ledger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/tlog"
)

// history remembers what a log acknowledged: none of it may change.
type history struct {
	sizes []uint64
	roots [][32]byte
}

func (h *history) note(size uint64, root [32]byte) {
	h.sizes, h.roots = append(h.sizes, size), append(h.roots, root)
}

// holds says that a log extends everything that was acknowledged: nothing was lost and there was no fork.
func (h *history) holds(t *testing.T, l *Ledger) {
	t.Helper()
	for i, size := range h.sizes {
		if size > l.Size() {
			t.Fatalf("%d rows were acknowledged, the log has %d", size, l.Size())
		}
		var root tlog.Hash
		err := l.db.View(func(txn *badger.Txn) (err error) {
			root, err = tlog.TreeHash(int64(size), newest.tileReader(txn))
			return err
		})
		if err != nil || size > 0 && root != h.roots[i] {
			t.Fatalf("the log had another root when it had %d rows (%v): it was forked", size, err)
		}
	}
}

// TestEveryStepOfACommitMayFail lets each step fail once, before it and although it is done. The ledger goes on by itself; every row is there exactly once.
func TestEveryStepOfACommitMayFail(t *testing.T) {
	for _, step := range []string{"seal", "seal file", "seal key", "store", "directory", "anchor", "withhold", "drop"} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, done %v", step, done), func(t *testing.T) {
				armed, fired := false, 0
				fault := func(name string, after bool) error {
					if !armed || name != step || after != done {
						return nil
					}
					armed = false
					fired++
					return errors.New("a fault of the test")
				}
				var h history
				dir, c := filepath.Join(t.TempDir(), "state"), &clock{day0}
				l, err := Open(dir, Options{Create: true, Clock: c.read, fault: fault})
				if err != nil {
					t.Fatal(err)
				}
				key := l.Recovery().SealKey
				addRows(t, l, 20)
				h.note(l.Size(), l.Checkpoint().Root)
				c.now = c.now.AddDate(0, 0, 3)
				armed = true
				addRows(t, l, 7) // seals three days
				if step == "withhold" || step == "drop" {
					if _, err := l.Retain(t.Context(), Policy{MaxAge: time.Hour}); err == nil {
						t.Error("the fault was not told to who asked")
					}
				}
				if fired != 1 {
					t.Fatalf("the step failed %d times", fired)
				}
				addRows(t, l, 5)
				h.note(l.Size(), l.Checkpoint().Root)
				h.holds(t, l)
				if n := rowsOfKind(t, l, "gap"); n != 1 {
					t.Errorf("%d gap rows", n)
				}
				want := 12
				if step != "withhold" && step != "drop" {
					want += 20
				}
				if step == "withhold" && !done {
					want += 20 // not taken away: the next hour's look does that
				}
				if n := rowsOfKind(t, l, "flow"); n != want {
					t.Errorf("%d rows, want %d", n, want)
				}
				closeLedger(t, l)
				if v := verify(t, dir); v.Status != Intact {
					t.Errorf("%+v", v.Damage)
				}
				checkSealsOf(t, dir, key, 3)
			})
		}
	}
}

func rowsOfKind(t *testing.T, l *Ledger, kind string) (n int) {
	t.Helper()
	if err := l.Rows(t.Context(), 0, func(r Row) bool {
		if e, err := ParseEvent(r.JSON); err != nil || e.Kind == kind {
			n++
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestOverflowOfTheQueueIsAGapRow sends rows faster than they are taken while the sequencer is held up.
func TestOverflowOfTheQueueIsAGapRow(t *testing.T) {
	held, goOn := make(chan struct{}), make(chan struct{})
	first := true
	l, err := Open(filepath.Join(t.TempDir(), "state"), Options{Create: true, Queue: 8, fault: func(name string, done bool) error {
		if first && name == "store" {
			first = false
			close(held)
			<-goOn
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), sample(0)); err != nil {
		t.Fatal(err)
	}
	<-held
	refused := 0
	for i := range 20 {
		if !l.TryAppend(sample(i)) {
			refused++
		}
	}
	patience, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := l.Append(patience, sample(0)); !errors.Is(err, context.DeadlineExceeded) { // it waits: the ledger is only slow
		t.Errorf("Append with a full queue: %v", err)
	}
	close(goOn)
	addRows(t, l, 1)
	var gap Event
	if err := l.Rows(t.Context(), 0, func(r Row) bool {
		if e, err := ParseEvent(r.JSON); err == nil && e.Kind == "gap" {
			gap = e
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if refused != 12 || gap.Gap == nil || gap.Gap.Reason != "queue_overflow" || gap.Gap.Count != 12 || l.Lost() != 12 || gap.End < gap.Start {
		t.Errorf("%d rows were refused, %d lost; gap row %+v", refused, l.Lost(), gap)
	}
	closeLedger(t, l)
}
