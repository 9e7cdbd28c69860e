package ledger

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// beginning lies in the state directory while a new log is being begun, so that a crash in between is finished by the next start and taken for nothing else. Nobody was told of the new log yet: it
// holds no row that was acknowledged.
type beginning struct {
	Old         string       `json:"old,omitempty"`         // SHA-256 of the damaged log's genesis record, hex
	Predecessor *Predecessor `json:"predecessor,omitempty"` // nil: there was no log before
	Moved       bool         `json:"moved"`                 // the damaged log was put aside: what lies there is the new one
}

func beginningPath(dir string) string { return filepath.Join(dir, "beginning.json") }

// logFiles is what belongs to one log and goes aside with it.
var logFiles = []string{"badger", walAsFound, tableSumsName, "anchor", "seal", "keys/checkpoint", "keys/checkpoint.pub", "keys/seal", "keys/seal.pub"}

// begin makes a new log, the first one or one that follows a damaged one.
func (l *Ledger) begin(b beginning) error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	if err := diskGuard(l.dir); err != nil {
		return err
	}
	if err := b.write(l.dir); err != nil {
		return err
	}
	if !b.Moved {
		if err := moveAside(l.dir, b.Predecessor.Kept); err != nil {
			return err
		}
		b.Moved = true
		if err := b.write(l.dir); err != nil {
			return err
		}
	}
	l.begun = &b
	return l.create()
}

func (b *beginning) write(dir string) error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if err := writeDurably(beginningPath(dir), text, 0o600); err != nil {
		return fmt.Errorf("note that a log is being begun: %w", err)
	}
	return nil
}

// interrupted reads the note of a beginning that a crash interrupted; nil when there is none. A note beside a log that has rows is no such thing.
func interrupted(dir string) *beginning {
	text, err := os.ReadFile(beginningPath(dir))
	if err != nil {
		return nil
	}
	var b beginning
	if json.Unmarshal(text, &b) != nil || !b.Moved && (b.Predecessor == nil || !filepath.IsLocal(b.Predecessor.Kept)) {
		return nil
	}
	id, err := loadIdentity(dir, false)
	if err != nil {
		return &b
	}
	if hash := sha256.Sum256(id.genesis); !b.Moved && hex.EncodeToString(hash[:]) == b.Old {
		return &b
	}
	if anchor, err := readAnchor(dir, id); err == nil && anchor.Size > 1 {
		return nil
	}
	return &b
}

// finishBeginning begins the log again that a crash did not let begin. What there is of it goes aside; nothing is deleted.
func (l *Ledger) finishBeginning(b *beginning) error {
	if b.Moved {
		if err := moveAside(l.dir, "interrupted-"+asideTime(l.options.Clock())); err != nil {
			return err
		}
	}
	return l.begin(*b)
}

func asideTime(now time.Time) string { return now.UTC().Format("20060102T150405.000000000Z") }

// restart keeps the damaged log aside, untouched, and begins a new one whose first row records the break.
func (l *Ledger) restart(damage *DamagedError) error {
	p := &Predecessor{Kept: "damaged-" + asideTime(l.options.Clock()), Where: damage.Where, Detail: damage.Detail}
	b := beginning{Predecessor: p}
	if id, err := loadIdentity(l.dir, false); err == nil {
		hash := sha256.Sum256(id.genesis)
		b.Old, p.Origin = hex.EncodeToString(hash[:]), id.origin
		if anchor, err := readAnchor(l.dir, id); err == nil {
			p.Size, p.Root = int64(anchor.Size), base64.StdEncoding.EncodeToString(anchor.Root[:])
		}
	}
	l.log.Error("the ledger is damaged; it is kept aside and a new log begins", "where", damage.Where, "detail", damage.Detail, "kept", p.Kept)
	l.options.Origin = ""
	return l.begin(b)
}

// moveAside renames what belongs to a log into a directory of its own.
func moveAside(dir, name string) error {
	aside := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Join(aside, "keys"), 0o700); err != nil {
		return fmt.Errorf("make a place for the log: %w", err)
	}
	for _, file := range logFiles {
		err := os.Rename(filepath.Join(dir, file), filepath.Join(aside, file))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep the log aside: %w", err)
		}
	}
	keys := filepath.Join(dir, "keys")
	if _, err := os.Stat(keys); errors.Is(err, fs.ErrNotExist) {
		keys = dir
	}
	for _, d := range []string{filepath.Join(aside, "keys"), aside, keys, dir} {
		if err := syncDirectory(d); err != nil {
			return fmt.Errorf("keep the log aside: %w", err)
		}
	}
	return nil
}

// create makes a log with an empty, signed and anchored tree.
func (l *Ledger) create() error {
	id, err := newIdentity(l.dir, l.options.Origin, l.options.Clock())
	if err != nil {
		return err
	}
	sealKey, err := beginSeals(l.dir, id, l.options.Clock())
	if err != nil {
		return err
	}
	db, err := openStore(l.dir, false, l.log)
	if err != nil {
		return err
	}
	l.id, l.db = id, db
	note, err := signCheckpoint(id, 0, emptyRoot)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	err = db.Update(func(txn *badger.Txn) error {
		version := binary.BigEndian.AppendUint32(nil, id.format)
		return errors.Join(txn.Set(metaKey("format"), version), txn.Set(metaKey("genesis"), id.genesis), txn.Set(headKey, note), txn.Set(metaKey(totalsMark), []byte{1}), txn.Set(metaKey(indexMark), []byte{1}))
	})
	if err == nil {
		err = writeDurably(anchorPath(l.dir), note, 0o644)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("begin the ledger: %w", err), db.Close())
	}
	l.recovered(Recovery{Status: "created", Detail: "A new log was begun.", SealKey: sealKey})
	if p := l.begun.Predecessor; p != nil {
		l.recovered(Recovery{Status: "restarted", SealKey: sealKey, Detail: p.Sentence()})
	}
	l.state.Store(&published{checkpoint: Checkpoint{Root: emptyRoot, Note: note, Time: l.options.Clock()}})
	return nil
}

// recordBeginning writes the first row of a log that follows a damaged one. From then on the beginning is over.
func (s *sequencer) recordBeginning() error {
	b := s.l.begun
	if b == nil {
		return nil
	}
	if p := b.Predecessor; p != nil {
		now := s.l.options.Clock().UnixNano()
		s.waiting = []*Event{{Kind: "lifecycle", Rule: "restarted", Start: now, End: now, Message: p.Sentence(), Predecessor: p}}
		if err := s.commitAll(); err != nil {
			return err
		}
	}
	if err := os.Remove(beginningPath(s.l.dir)); err != nil {
		return fmt.Errorf("end the beginning of the log: %w", err)
	}
	return syncDirectory(s.l.dir)
}
