package ledger

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger/proof"
)

// TestTamperingHasItsVerdict does to a log what somebody with the right tools would do, the worst of it with every key that lies on the disk. Three look at it: a verification on the host, the owner of the seal key, and somebody who
// kept a checkpoint. What none of them can see stands here too.
func TestTamperingHasItsVerdict(t *testing.T) {
	whole := newPlace(t)
	const sees, passes = false, true
	for _, c := range []struct {
		name    string
		harm    func(t *testing.T, p placeOf)
		here    Status
		owner   bool // the seals hold under the key of the first day
		outside bool // the log extends a checkpoint that was kept elsewhere
	}{
		{"nothing", func(*testing.T, placeOf) {}, Intact, passes, passes},
		{"two rows change places", func(t *testing.T, p placeOf) { p.swap(t, 40, 41) }, Tampered, passes, passes},
		{"two rows of two days change places", func(t *testing.T, p placeOf) { p.swap(t, 40, 140) }, Tampered, passes, passes},
		{"the tail is cut off the rows", func(t *testing.T, p placeOf) { p.cut(t, 330, 340) }, Tampered, passes, passes},
		{"the head is cut off the rows", func(t *testing.T, p placeOf) { p.cut(t, 0, 10) }, Tampered, passes, passes},
		{"a number is there twice", func(t *testing.T, p placeOf) {
			p.store(t, func(txn *badger.Txn) error {
				value, err := valueOf(txn, newest.row(dayAt(day0.UnixNano()), 40))
				if err != nil {
					return err
				}
				return txn.Set(newest.row(dayAt(day0.UnixNano())+1, 40), value)
			})
		}, Tampered, passes, passes},
		{"a number is written twice, with the keys", func(t *testing.T, p placeOf) {
			p.forge(t, 340, func(seq uint64, e *Event) {
				if seq == 41 {
					e.Message = "twice"
				}
			})
			p.store(t, func(txn *badger.Txn) error {
				value, err := valueOf(txn, newest.row(dayAt(day0.UnixNano()), 41))
				if err != nil {
					return err
				}
				return txn.Set(newest.row(dayAt(day0.UnixNano()), 41), bytes.Replace(value, []byte(`"seq":41`), []byte(`"seq":40`), 1))
			})
		}, Tampered, sees, sees},
		{"the store is set back", func(t *testing.T, p placeOf) { p.back(t, "badger") }, Tampered, passes, sees},
		{"an old directory is put back, whole", func(t *testing.T, p placeOf) {
			gone(t, p.dir)
			copyTo(t, p.before, p.dir)
		}, Intact, passes, sees},
		{"the tail is cut off with the keys", func(t *testing.T, p placeOf) {
			p.forge(t, 330, func(uint64, *Event) {})
			p.take(t, whole.dir, "seal")
		}, Tampered, passes, sees}, // the salts of the sealed days are others
		{"a sealed day is written anew with the keys, its seals put back", func(t *testing.T, p placeOf) {
			p.forge(t, 340, func(seq uint64, e *Event) {
				if seq == 50 {
					e.Dst.Host = "b.example"
				}
			})
			p.take(t, whole.dir, "seal")
		}, Tampered, passes, sees},
		{"… and sealed anew with the key of today", func(t *testing.T, p placeOf) {
			p.forge(t, 340, func(seq uint64, e *Event) {
				if seq == 50 {
					e.Dst.Host = "b.example"
				}
			})
		}, Intact, sees, sees},
		{"a seal is left out", func(t *testing.T, p placeOf) { remove(t, sealPath(p.dir, dayAt(day0.UnixNano())+1)) }, Tampered, passes, passes},
		{"a newer key seals an old day", func(t *testing.T, p placeOf) { p.sealAgain(t, 0) }, Tampered, sees, passes},
		{"two seals for one day", func(t *testing.T, p placeOf) {
			replaceBy(t, sealPath(p.dir, dayAt(day0.UnixNano())), sealPath(p.dir, dayAt(day0.UnixNano())-1))
		}, Tampered, sees, passes},
		{"the clock steps forward and back", func(t *testing.T, p placeOf) {
			l := openAt(t, p.dir, p.clock)
			for _, hours := range []int{50, -80, 3, -2, 30} {
				p.clock.now = p.clock.now.Add(time.Duration(hours) * time.Hour)
				addRows(t, l, 3)
			}
			closeLedger(t, l)
			p.clock.now = p.clock.now.Add(-300 * time.Hour)
			l = openAt(t, p.dir, p.clock)
			addRows(t, l, 3)
			closeLedger(t, l)
		}, Intact, passes, passes},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := whole.copy(t)
			c.harm(t, p)
			v := verify(t, p.dir)
			if v.Status != c.here {
				t.Errorf("on the host: %v (%+v), want %v", v.Status, v.Damage, c.here)
			}
			texts, vkey := seals(t, p.dir)
			_, err := proof.CheckSeals(texts, vkey, &whole.key)
			if (err == nil) != c.owner {
				t.Errorf("with the key of the first day: %v", err)
			}
			if err := extends(t, p.dir, whole.dir); (err == nil) != c.outside {
				t.Errorf("with a checkpoint kept elsewhere: %v", err)
			}
		})
	}
}

// extends says whether the log in dir has the history of another one's newest checkpoint, by its hashes alone.
func extends(t *testing.T, dir, kept string) (err error) {
	t.Helper()
	id, err := loadIdentity(kept, false)
	if err != nil {
		t.Fatal(err)
	}
	anchor, err := readAnchor(kept, id)
	if err != nil {
		t.Fatal(err)
	}
	p := placeOf{dir: dir}
	p.store(t, func(txn *badger.Txn) error {
		var root tlog.Hash
		if root, err = tlog.TreeHash(int64(anchor.Size), newest.tileReader(txn)); err == nil && root != tlog.Hash(anchor.Root) {
			err = errors.New("another root")
		}
		return nil
	})
	return err
}

// store changes the store behind the ledger's back.
func (p placeOf) store(t *testing.T, f func(txn *badger.Txn) error) {
	t.Helper()
	change(t, p.dir, func(db *badger.DB) error { return db.Update(f) })
}

func (p placeOf) rowKey(seq uint64) []byte {
	day := dayAt(day0.UnixNano())
	switch {
	case seq >= 300:
		day += 2
	case seq >= 100:
		day++
	}
	return newest.row(day, seq)
}

func (p placeOf) swap(t *testing.T, a, b uint64) {
	t.Helper()
	p.store(t, func(txn *badger.Txn) error {
		va, err1 := valueOf(txn, p.rowKey(a))
		vb, err2 := valueOf(txn, p.rowKey(b))
		return errors.Join(err1, err2, txn.Set(p.rowKey(a), vb), txn.Set(p.rowKey(b), va))
	})
}

func (p placeOf) cut(t *testing.T, from, to uint64) {
	t.Helper()
	p.store(t, func(txn *badger.Txn) error {
		for seq := from; seq < to; seq++ {
			if err := txn.Delete(p.rowKey(seq)); err != nil {
				return err
			}
		}
		return nil
	})
}

// forge writes the first n rows of the log anew, with changes, under the log's own keys: what whoever has the host can do. Of the seal keys only today's is left to steal.
func (p placeOf) forge(t *testing.T, n uint64, change func(seq uint64, e *Event)) {
	t.Helper()
	rows := eventsOf(t, p.dir)
	id, err := loadIdentity(p.dir, true)
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := loadSealState(p.dir, id)
	if err != nil {
		t.Fatal(err)
	}
	gone(t, badgerPath(p.dir))
	gone(t, filepath.Join(p.dir, "seal"))
	if err := errors.Join(os.Mkdir(badgerPath(p.dir), 0o700), os.Mkdir(filepath.Join(p.dir, "seal"), 0o700)); err != nil {
		t.Fatal(err)
	}
	s := &sealState{Day: dayAt(day0.UnixNano()), key: stolen.key, previous: id.chainStart()}
	note, err := signCheckpoint(id, 0, emptyRoot)
	if err := errors.Join(err, s.write(p.dir), writeDurably(anchorPath(p.dir), note, 0o644)); err != nil {
		t.Fatal(err)
	}
	p.store(t, func(txn *badger.Txn) error {
		return errors.Join(txn.Set(metaKey("format"), []byte{0, 0, 0, formatVersion}), txn.Set(metaKey("genesis"), id.genesis), txn.Set(headKey, note))
	})
	c := &clock{day0}
	l := openAt(t, p.dir, c)
	for _, e := range rows[:n] {
		if at := time.Unix(0, e.Logged); !at.Equal(c.now) {
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.now = at
		}
		change(e.Seq, &e)
		if err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	closeLedger(t, l)
}

func eventsOf(t *testing.T, dir string) (list []Event) {
	t.Helper()
	l, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer closeLedger(t, l)
	if err := l.Rows(t.Context(), 0, func(r Row) bool {
		e, err := ParseEvent(r.JSON)
		if err != nil {
			t.Error(err)
		}
		list = append(list, e)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// sealAgain signs an old day's seal with the signing key of the log and the seal key of today.
func (p placeOf) sealAgain(t *testing.T, day uint32) {
	t.Helper()
	id, err := loadIdentity(p.dir, true)
	if err != nil {
		t.Fatal(err)
	}
	state, err := loadSealState(p.dir, id)
	if err != nil {
		t.Fatal(err)
	}
	path := sealPath(p.dir, dayAt(day0.UnixNano())+day)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seal, err := proof.OpenSeal(text, id.sealKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	if text, err = state.key.Sign(&seal, id.sealSigner); err != nil {
		t.Fatal(err)
	}
	write(t, path, string(text))
}
