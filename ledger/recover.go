package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"
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
	if l.options.ReadOnly {
		return l.openAndCompare()
	}
	if _, err := readAnchor(l.dir, id); err != nil {
		return err // before anything is touched
	}
	if path := badgerPath(l.dir); inUse(path, false) {
		return &LockedError{Dir: l.dir, PID: lockHolder(path), Err: unix.EWOULDBLOCK}
	}
	if err := diskGuard(l.dir); err != nil {
		return err
	}
	if err := keepWriteAheadLogs(l.dir); err != nil {
		return err
	}
	if err := l.probeStore(); err != nil {
		return err
	}
	return l.openAndCompare()
}

// openAndCompare opens the store, also anew while others hold the ledger, and decides by the table.
func (l *Ledger) openAndCompare() error {
	anchor, err := readAnchor(l.dir, l.id)
	if err != nil {
		return err
	}
	db, err := openStore(l.dir, l.options.ReadOnly, l.log)
	if err != nil {
		return l.notOpened(err)
	}
	if l.db == nil {
		l.db = db
	} else {
		l.db.resume(db.DB)
	}
	if err := l.compare(anchor); err != nil {
		return errors.Join(err, l.db.suspend())
	}
	return nil
}

// notOpened tells damage from what has nothing to do with the log.
func (l *Ledger) notOpened(err error) error {
	if errors.As(err, new(*LockedError)) || errors.Is(err, os.ErrPermission) {
		return err
	}
	for _, refusal := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if strings.Contains(err.Error(), refusal.Error()) { // Badger v4.9.6 wraps no errors
			return err
		}
	}
	return l.damaged("badger", err.Error())
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
			l.recovered(Recovery{Status: "clean", Detail: "Store and anchor agree."})
			return nil
		}
		return l.extendAnchor(txn, anchor, head, days, dropped)
	})
}

// extendAnchor deals with the crash between commit and anchor.
func (l *Ledger) extendAnchor(txn *badger.Txn, anchor, head Checkpoint, days, dropped []dayRange) error {
	if anchor.Size > 0 {
		p, err := tlog.ProveTree(int64(head.Size), int64(anchor.Size), l.id.layout.tileReader(txn))
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
		l.recovered(Recovery{Status: "clean", Detail: fmt.Sprintf("%d rows behind the anchor are not shown: the next start for writing anchors them.", n)})
		return nil
	}
	if err := writeDurably(anchorPath(l.dir), head.Note, 0o644); err != nil {
		return fmt.Errorf("anchor the recovered rows: %w", err)
	}
	l.publish(head, days, dropped)
	l.recovered(Recovery{Status: "recovered", Rows: n, Detail: fmt.Sprintf("Recovered after a crash: %d rows were stored and not yet anchored.", n)})
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
	if record, err := valueOf(txn, metaKey("genesis")); err != nil || !bytes.Equal(record, l.id.genesis) {
		return Checkpoint{}, nil, l.damaged("badger", "the store belongs to another log than the anchor")
	}
	if got := binary.BigEndian.Uint32(version); got != l.id.format {
		return Checkpoint{}, nil, l.damaged("badger", fmt.Sprintf("the store says that it has format %d, the genesis record says %d", got, l.id.format))
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
	root, err := tlog.TreeHash(int64(head.Size), l.id.layout.tileReader(txn))
	if err != nil {
		return l.damaged("badger", "the tree's tiles: "+err.Error())
	}
	if head.Size > 0 && root != tlog.Hash(head.Root) {
		return l.damaged("badger", "the tree's tiles do not hash to the checkpoint's root")
	}
	rows := l.id.layout.reader(txn)
	defer rows.close()
	for seq := head.Size - min(head.Size, rowsAtEnd); seq < head.Size; seq++ {
		if _, withheld := withheldBy(dropped, seq); withheld {
			continue
		}
		day, ok := dayOf(days, seq)
		if !ok {
			return l.damaged(fmt.Sprintf("row %d", seq), "it is in no day of the store")
		}
		value, err := rows.row(day, seq)
		if err != nil {
			return l.damaged(fmt.Sprintf("row %d", seq), err.Error())
		}
		row, err := newRow(seq, value)
		if err != nil {
			return l.damaged(fmt.Sprintf("row %d", seq), err.Error())
		}
		hashes, err := l.id.layout.tileReader(txn)([]int64{tlog.StoredHashIndex(0, int64(seq))})
		if err != nil || hashes[0] != tlog.Hash(row.Leaf) {
			return l.damaged(fmt.Sprintf("row %d", seq), "its bytes do not hash to the leaf that the tree holds")
		}
	}
	return nil
}
