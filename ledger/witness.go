package ledger

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	fmtlog "github.com/transparency-dev/formats/log"
	fmtnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Witnessed is the newest checkpoint that a witness cosigned: history up to there is held outside.
type Witnessed struct {
	Name string    // of the witness, as its key says
	Size uint64    // rows of the checkpoint
	Time time.Time // when it says that it saw the checkpoint

	text string         // of the checkpoint
	own  note.Signature // of the log
	line note.Signature // of the witness
}

// RefusedError says why a cosignature is not taken.
type RefusedError struct {
	Reason string // malformed, foreign (not a checkpoint of this log's history), unknown (no configured witness signed it), stale (a newer one is known), future
	Detail string
}

// Error implements error.
func (e *RefusedError) Error() string { return "the cosignature is refused: " + e.Detail }

// Bounds of what a witness may send.
const (
	largestCosigned   = 16 << 10 // bytes; note readers must accept 16 signatures
	witnessClockSlack = 10 * time.Minute
)

// witnesses keeps the newest cosignature of each witness. Safe for concurrent use.
type witnesses struct {
	verifiers []note.Verifier

	mu     sync.Mutex
	newest map[uint32]Witnessed // by key hash
}

func witnessedPath(dir string, hash uint32) string {
	return filepath.Join(dir, "anchor", "witnessed", fmt.Sprintf("%08x", hash))
}

// WitnessKeys reads the public keys (C2SP vkeys) of witnesses; a key of another kind, or two of one name and kind, are errors.
func WitnessKeys(vkeys []string) ([]note.Verifier, error) {
	var list []note.Verifier
	for _, vkey := range vkeys {
		v, err := fmtnote.NewVerifierForCosignatureV1(vkey)
		if err != nil {
			return nil, fmt.Errorf("witness %q is no C2SP verifier key: %w", vkey, err)
		}
		if slices.ContainsFunc(list, func(o note.Verifier) bool { return o.KeyHash() == v.KeyHash() }) {
			return nil, fmt.Errorf("witness %q is there twice", vkey)
		}
		list = append(list, v)
	}
	return list, nil
}

// openWitnesses reads what witnesses cosigned before. What does not verify under the configured keys, or is not of this history, counts as not there.
func (l *Ledger) openWitnesses() error {
	verifiers, err := WitnessKeys(l.options.Witnesses)
	if err != nil {
		return err
	}
	l.witnesses = witnesses{verifiers: verifiers, newest: map[uint32]Witnessed{}}
	for _, v := range verifiers {
		text, err := os.ReadFile(witnessedPath(l.dir, v.KeyHash()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read what witnesses cosigned: %w", err)
		}
		list, err := l.openCosigned(text)
		if err != nil {
			l.log.Warn("a kept cosignature does not verify", "witness", v.Name(), "error", err)
			continue
		}
		for _, w := range list {
			l.witnesses.newest[w.line.Hash] = w
		}
	}
	return nil
}

// Cosign takes a checkpoint of this log that witnesses signed (c2sp.org/tlog-cosignature@v1), checks it, and keeps it durably. It returns what is new; *RefusedError when nothing is.
func (l *Ledger) Cosign(cosigned []byte) ([]Witnessed, error) {
	if l.options.ReadOnly {
		return nil, ErrClosed
	}
	list, err := l.openCosigned(cosigned)
	if err != nil {
		return nil, err
	}
	l.witnesses.mu.Lock()
	defer l.witnesses.mu.Unlock()
	var taken []Witnessed
	for _, w := range list {
		known, ok := l.witnesses.newest[w.line.Hash]
		if ok && (w.Size < known.Size || w.Size == known.Size && !w.Time.After(known.Time)) {
			continue
		}
		path := witnessedPath(l.dir, w.line.Hash)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return taken, fmt.Errorf("keep the cosignature: %w", err)
		}
		if err := writeDurably(path, cosignedNote(w, w.line), 0o644); err != nil {
			return taken, fmt.Errorf("keep the cosignature: %w", err)
		}
		l.witnesses.newest[w.line.Hash] = w
		taken = append(taken, w)
	}
	if len(taken) == 0 {
		return nil, &RefusedError{"stale", "a cosignature of as many rows or more, and as young or younger, is known already"}
	}
	return taken, nil
}

// openCosigned checks a cosigned checkpoint: our signature, our history, and at least one configured witness. A configured witness whose signature does not verify spoils it all, as C2SP notes demand.
func (l *Ledger) openCosigned(text []byte) ([]Witnessed, error) {
	if len(text) > largestCosigned {
		return nil, &RefusedError{"malformed", fmt.Sprintf("it has more than %d bytes", largestCosigned)}
	}
	c, _, n, err := fmtlog.ParseCheckpoint(text, l.id.origin, l.id.verifier, l.witnesses.verifiers...)
	if err != nil {
		return nil, &RefusedError{"malformed", err.Error()}
	}
	if err := l.ofThisHistory(c.Size, c.Hash); err != nil {
		return nil, err
	}
	var list []Witnessed
	for _, s := range n.Sigs[1:] { // the log's own comes first: it was asked for
		at, err := fmtnote.CoSigV1Timestamp(s)
		if _, strict := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil || strict != nil {
			return nil, &RefusedError{"malformed", "the signature of " + s.Name + " is no timestamped one"}
		}
		if at.After(l.options.Clock().Add(witnessClockSlack)) {
			return nil, &RefusedError{"future", fmt.Sprintf("%s says that it signed at %s, which is still to come", s.Name, at.UTC().Format(time.RFC3339))}
		}
		list = append(list, Witnessed{Name: s.Name, Size: c.Size, Time: at, text: n.Text, own: n.Sigs[0], line: s})
	}
	if len(list) == 0 {
		return nil, &RefusedError{"unknown", "no witness of the configuration signed it"}
	}
	return list, nil
}

// ofThisHistory says whether the log had that root when it had that many rows.
func (l *Ledger) ofThisHistory(size uint64, root []byte) error {
	if size == 0 || size > l.Size() {
		return &RefusedError{"foreign", fmt.Sprintf("it speaks of %d rows, the log has %d", size, l.Size())}
	}
	var want tlog.Hash
	err := l.db.View(func(txn *badger.Txn) (err error) {
		want, err = tlog.TreeHash(int64(size), l.id.layout.tileReader(txn))
		return err
	})
	if err != nil {
		return fmt.Errorf("read the root of %d rows: %w", size, err)
	}
	if string(want[:]) != string(root) {
		l.log.Error("a checkpoint carries this log's signature and another history: its key was used elsewhere", "rows", size)
		return &RefusedError{"foreign", "this log had another root when it had that many rows"}
	}
	return nil
}

// cosignedNote writes a checkpoint with its own signature and those of witnesses.
func cosignedNote(w Witnessed, lines ...note.Signature) []byte {
	text := w.text + "\n"
	for _, s := range append([]note.Signature{w.own}, lines...) {
		text += "— " + s.Name + " " + s.Base64 + "\n"
	}
	return []byte(text)
}

// Witnessed is the newest cosignature of each witness, the one of the most rows first. Everything up to it is held outside.
func (l *Ledger) Witnessed() []Witnessed {
	l.witnesses.mu.Lock()
	defer l.witnesses.mu.Unlock()
	list := make([]Witnessed, 0, len(l.witnesses.newest))
	for _, w := range l.witnesses.newest {
		list = append(list, w)
	}
	slices.SortFunc(list, func(a, b Witnessed) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(b.Time.Unix(), a.Time.Unix()), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// WitnessedCheckpoint is the newest checkpoint that a witness cosigned, with the signatures of all that cosigned this one; false when there is none.
func (l *Ledger) WitnessedCheckpoint() (Checkpoint, bool) {
	list := l.Witnessed()
	if len(list) == 0 {
		return Checkpoint{}, false
	}
	var lines []note.Signature
	for _, w := range list {
		if w.text == list[0].text {
			lines = append(lines, w.line)
		}
	}
	text := cosignedNote(list[0], lines...)
	c, err := openCheckpoint(l.id, text)
	if err != nil { // it was checked when it was taken
		l.log.Warn("a cosigned checkpoint cannot be read", "error", err)
		return Checkpoint{}, false
	}
	c.Time = list[0].Time
	return c, true
}

// checkpointFor is the checkpoint under which the first rows of the log are proved to outsiders: the newest cosigned one that has them all, else the newest.
func (l *Ledger) checkpointFor(rows uint64) Checkpoint {
	newest := l.Checkpoint()
	if c, ok := l.WitnessedCheckpoint(); ok && c.Size >= rows && c.Size <= newest.Size {
		return c
	}
	return newest
}

// PublicCheckpoint is the newest checkpoint with the signatures of the witnesses that cosigned just this one.
func (l *Ledger) PublicCheckpoint() Checkpoint {
	newest := l.Checkpoint()
	if c, ok := l.WitnessedCheckpoint(); ok && c.Size == newest.Size {
		return c
	}
	return newest
}
