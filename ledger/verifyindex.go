package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// termSums compares two sets of millions of terms without keeping either: each day's count, and the sum of a keyed hash of each term. The key is made anew for each verification, so nobody can prepare other terms with the
// same sum.
type termSums struct {
	seed maphash.Seed
	days map[uint32]termSum
	key  []byte // scratch
}

type termSum struct{ count, sum uint64 }

func newTermSums(seed maphash.Seed) *termSums {
	return &termSums{seed: seed, days: map[uint32]termSum{}}
}

// mixed is the hash of a row's term, out of the term's hash and the row (the finaliser of MurmurHash3).
func mixed(term, seq uint64) uint64 {
	h := term + seq*0x9e3779b97f4a7c15
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// hashes appends the hashes of a row's terms, each once.
func (t *termSums) hashes(to []uint64, e *Event) []uint64 {
	day := dayAt(e.Logged)
	eachTerm(e, func(kind byte, value string) {
		t.key = appendTermKey(t.key[:0], day, kind, value)
		if h := maphash.Bytes(t.seed, t.key); !slices.Contains(to, h) {
			to = append(to, h)
		}
	})
	return to
}

// addRow takes a row with terms of these hashes.
func (t *termSums) addRow(day uint32, hashes []uint64, seq uint64) {
	d := t.days[day]
	for _, h := range hashes {
		d.count, d.sum = d.count+1, d.sum+mixed(h, seq)
	}
	t.days[day] = d
}

// addStored takes what the index says about a day's rows below to.
func (t *termSums) addStored(ctx context.Context, txn *badger.Txn, day uint32, to uint64) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: indexDayPrefix(day)})
	defer it.Close()
	d, n := t.days[day], 0
	for it.Rewind(); it.Valid(); it.Next() {
		if n++; n%rowsBetweenStops == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		term, block, ok := parseIndexKey(it.Item().Key())
		if !ok || block > 1<<50 {
			return badIndex(day, fmt.Sprintf("it has a malformed key %x", it.Item().Key()))
		}
		h := maphash.Bytes(t.seed, term)
		err := it.Item().Value(func(v []byte) error {
			b, ok := parseBitmap(v)
			if !ok {
				return badIndex(day, fmt.Sprintf("it has a malformed entry for %q", term[6:len(term)-1]))
			}
			b.each(false, func(i int) bool {
				if seq := block*blockRows + uint64(i); seq < to {
					d.count, d.sum = d.count+1, d.sum+mixed(h, seq)
				}
				return true
			})
			return nil
		})
		if err != nil {
			return err
		}
	}
	t.days[day] = d
	return nil
}

func badIndex(day uint32, detail string) error {
	return &badPlace{where: "index of " + dayName(day), detail: detail + " (netaudit reindex makes it anew)"}
}

func (t *termSums) join(o *termSums) {
	for day, s := range o.days {
		d := t.days[day]
		t.days[day] = termSum{d.count + s.count, d.sum + s.sum}
	}
}

// compareIndex compares what the index says with the rows, day by day.
func (j *joined) compareIndex(ctx context.Context, txn *badger.Txn) error {
	if !j.indexed {
		return nil
	}
	for _, d := range j.days {
		if slices.Contains(j.dropped, d) {
			continue // of its rows the log has only hashes
		}
		if want, got := j.terms.days[d.day], j.index.days[d.day]; want != got {
			return badIndex(d.day, fmt.Sprintf("it is not that of the rows: it has %d entries, they have %d", got.count, want.count))
		}
	}
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{tableIndex}})
	defer it.Close()
	for it.Rewind(); it.Valid(); {
		key := it.Item().Key()
		if len(key) < 5 {
			return &badPlace{where: "index", detail: fmt.Sprintf("it has a malformed key %x (netaudit reindex makes it anew)", key)}
		}
		day := binary.BigEndian.Uint32(key[1:])
		if !slices.ContainsFunc(j.days, func(d dayRange) bool { return d.day == day }) {
			if err := j.laterDay(ctx, txn, day); err != nil {
				return err
			}
		}
		it.Seek(indexDayPrefix(day + 1))
	}
	return nil
}

// laterDay says whether a day of the index, one without verified rows, is one that began after the checkpoint: while a log is walked it may go on.
func (j *joined) laterDay(ctx context.Context, txn *badger.Txn, day uint32) error {
	if err := j.index.addStored(ctx, txn, day, j.anchor.Size); err != nil {
		return err
	}
	if !j.ahead || j.index.days[day].count > 0 {
		return badIndex(day, "there are no rows of that day")
	}
	return nil
}
