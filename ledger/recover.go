package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/tlog"
)

// recover opens an existing log. What the store holds is compared with the anchor, which lies outside the store because the store loses its
// tail without a word when one bit of its write-ahead log flips:
//
//	store = anchor, same root    go on
//	store > anchor               a crash between commit and anchor: prove that the store extends the anchor, then anchor it
//	store < anchor               rows are lost or were rolled back: damaged
//	other root, no signature     damaged
func (l *Ledger) recover() error {
	id, err := loadIdentity(l.dir, !l.options.ReadOnly)
	if err != nil {
		return err
	}
	l.id = id
	anchor, err := readAnchor(l.dir, id)
	if err != nil {
		return err
	}
	if l.db, err = openStore(l.dir, l.options.ReadOnly, l.log); err != nil {
		var locked *LockedError
		if errors.As(err, &locked) || errors.Is(err, os.ErrPermission) {
			return err
		}
		return l.damaged("badger", err.Error())
	}
	if err := l.compare(anchor); err != nil {
		return errors.Join(err, l.db.Close())
	}
	return nil
}

func (l *Ledger) damaged(where, detail string) error {
	return &DamagedError{Dir: l.dir, Where: where, Detail: detail}
}

func readAnchor(dir string, id *identity) (Checkpoint, error) {
	text, err := os.ReadFile(anchorPath(dir))
	if errors.Is(err, os.ErrNotExist) {
		return Checkpoint{}, &DamagedError{Dir: dir, Where: "anchor/checkpoint", Detail: "it is missing"}
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read the anchor: %w", err)
	}
	c, err := openCheckpoint(id, text)
	if err != nil {
		return Checkpoint{}, &DamagedError{Dir: dir, Where: "anchor/checkpoint", Detail: err.Error()}
	}
	return c, nil
}

// compare decides by the table above and publishes what may be read.
func (l *Ledger) compare(anchor Checkpoint) error {
	return l.db.View(func(txn *badger.Txn) error {
		head, days, err := l.readHead(txn)
		if err != nil {
			return err
		}
		dropped, err := readDropped(txn, days)
		if err != nil {
			return l.damaged("badger", err.Error())
		}
		switch {
		case head.Size < anchor.Size:
			return l.damaged(fmt.Sprintf("row %d", head.Size), fmt.Sprintf(
				"the anchor speaks of %d rows, the store holds %d: the last %d rows were lost or rolled back", anchor.Size, head.Size, anchor.Size-head.Size))
		case head.Size == anchor.Size && head.Root != anchor.Root:
			return l.damaged("anchor/checkpoint", "anchor and store are of the same size and have different roots")
		}
		if err := l.checkEnd(txn, head, days, dropped); err != nil {
			return err
		}
		if head.Size == anchor.Size {
			l.publish(anchor, days, dropped)
			l.recovery = Recovery{Status: "clean", Detail: "Store and anchor agree."}
			return nil
		}
		return l.extendAnchor(txn, anchor, head, days, dropped)
	})
}

// extendAnchor deals with the crash between commit and anchor.
func (l *Ledger) extendAnchor(txn *badger.Txn, anchor, head Checkpoint, days, dropped []dayRange) error {
	if anchor.Size > 0 {
		p, err := tlog.ProveTree(int64(head.Size), int64(anchor.Size), tileReader(txn))
		if err == nil {
			err = tlog.CheckTree(p, int64(head.Size), tlog.Hash(head.Root), int64(anchor.Size), tlog.Hash(anchor.Root))
		}
		if err != nil {
			return l.damaged(fmt.Sprintf("row %d", anchor.Size), "the store does not extend what the anchor speaks of: "+err.Error())
		}
	}
	n := head.Size - anchor.Size
	if l.options.ReadOnly {
		l.publish(anchor, days, dropped)
		l.recovery = Recovery{Status: "clean", Detail: fmt.Sprintf("%d rows behind the anchor are not shown: the next start for writing anchors them.", n)}
		return nil
	}
	if err := writeDurably(anchorPath(l.dir), head.Note, 0o644); err != nil {
		return fmt.Errorf("anchor the recovered rows: %w", err)
	}
	l.publish(head, days, dropped)
	l.recovery = Recovery{Status: "recovered", Rows: n, Detail: fmt.Sprintf("Recovered after a crash: %d rows were stored and not yet anchored.", n)}
	return nil
}

func (l *Ledger) publish(c Checkpoint, days, dropped []dayRange) {
	c.Time = l.options.Clock()
	l.state.Store(&published{checkpoint: c, days: days, dropped: dropped})
}

// readHead reads what the store says of itself.
func (l *Ledger) readHead(txn *badger.Txn) (Checkpoint, []dayRange, error) {
	version, err := valueOf(txn, metaKey("format"))
	if err != nil || len(version) != 4 {
		return Checkpoint{}, nil, l.damaged("badger", "the store has no format record")
	}
	if got := binary.BigEndian.Uint32(version); got != formatVersion {
		return Checkpoint{}, nil, &VersionError{Dir: l.dir, Got: int(got)}
	}
	if record, err := valueOf(txn, metaKey("genesis")); err != nil || !bytes.Equal(record, l.id.genesis) {
		return Checkpoint{}, nil, l.damaged("badger", "the store belongs to another log than the anchor")
	}
	signed, err := valueOf(txn, headKey)
	if err != nil {
		return Checkpoint{}, nil, l.damaged("badger", "the store has no checkpoint")
	}
	head, err := openCheckpoint(l.id, signed)
	if err != nil {
		return Checkpoint{}, nil, l.damaged("badger", "the store's checkpoint: "+err.Error())
	}
	days, err := readDays(txn)
	if err != nil {
		return Checkpoint{}, nil, l.damaged("badger", err.Error())
	}
	return head, days, nil
}

func valueOf(txn *badger.Txn, key []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(nil)
}

// readDays reads the table of days; they must follow each other without a gap in the numbers.
func readDays(txn *badger.Txn) ([]dayRange, error) {
	o := badger.DefaultIteratorOptions
	o.Prefix = []byte{tableDay}
	it := txn.NewIterator(o)
	defer it.Close()
	var days []dayRange
	for it.Rewind(); it.Valid(); it.Next() {
		k := it.Item().KeyCopy(nil)
		v, err := it.Item().ValueCopy(nil)
		if err != nil || len(k) != 5 || len(v) != 16 {
			return nil, fmt.Errorf("the table of days has a malformed entry %x", k)
		}
		d := dayRange{binary.BigEndian.Uint32(k[1:]), binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])}
		if n := len(days); d.first > d.last || n > 0 && d.first != days[n-1].last+1 {
			return nil, fmt.Errorf("the table of days does not fit together at day %d", d.day)
		}
		days = append(days, d)
	}
	return days, nil
}

// rowsAtEnd is how many of the newest rows are hashed again before the log is served: two tiles.
const rowsAtEnd = 512

// checkEnd recomputes the root from the tiles and hashes the newest rows again.
func (l *Ledger) checkEnd(txn *badger.Txn, head Checkpoint, days, dropped []dayRange) error {
	root, err := tlog.TreeHash(int64(head.Size), tileReader(txn))
	if err != nil {
		return l.damaged("badger", "the tree's tiles: "+err.Error())
	}
	if head.Size > 0 && root != tlog.Hash(head.Root) {
		return l.damaged("badger", "the tree's tiles do not hash to the checkpoint's root")
	}
	for seq := head.Size - min(head.Size, rowsAtEnd); seq < head.Size; seq++ {
		if _, withheld := withheldBy(dropped, seq); withheld {
			continue
		}
		day, ok := dayOf(days, seq)
		if !ok {
			return l.damaged(fmt.Sprintf("row %d", seq), "it is in no day of the store")
		}
		value, err := valueOf(txn, rowKey(day, seq))
		if err != nil {
			return l.damaged(fmt.Sprintf("row %d", seq), err.Error())
		}
		row, err := newRow(seq, value)
		if err != nil {
			return l.damaged(fmt.Sprintf("row %d", seq), err.Error())
		}
		hashes, err := tileReader(txn)([]int64{tlog.StoredHashIndex(0, int64(seq))})
		if err != nil || hashes[0] != tlog.Hash(row.Leaf) {
			return l.damaged(fmt.Sprintf("row %d", seq), "its bytes do not hash to the leaf that the tree holds")
		}
	}
	return nil
}

// restart keeps the damaged log aside, untouched, and begins a new one that records the break.
func (l *Ledger) restart(damage *DamagedError) error {
	now := l.options.Clock().UTC()
	aside := filepath.Join(l.dir, "damaged-"+now.Format("20060102T150405.000Z"))
	if err := os.MkdirAll(filepath.Join(aside, "keys"), 0o700); err != nil {
		return fmt.Errorf("make a place for the damaged log: %w", err)
	}
	for _, name := range []string{"badger", "anchor", "seal", "keys/checkpoint", "keys/checkpoint.pub", "keys/seal", "keys/seal.pub"} {
		err := os.Rename(filepath.Join(l.dir, name), filepath.Join(aside, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("keep the damaged log aside: %w", err)
		}
	}
	l.log.Error("the ledger is damaged; it is kept aside and a new log begins", "where", damage.Where, "detail", damage.Detail, "kept", aside)
	l.options.Origin = ""
	if err := l.create(); err != nil {
		return err
	}
	l.recovery = Recovery{Status: "restarted", SealKey: l.recovery.SealKey, Detail: fmt.Sprintf(
		"The log before this one is damaged at %s: %s. It is kept in %s; this log begins at %s.",
		damage.Where, damage.Detail, filepath.Base(aside), now.Format(time.RFC3339))}
	return nil
}
