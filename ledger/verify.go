package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger/proof"
)

// Status is the result of a verification.
type Status int

// String is the word that stands in machine-readable answers.
func (s Status) String() string {
	switch s {
	case Intact:
		return "intact"
	case Tampered:
		return "tampered"
	default:
		return "cannot_tell"
	}
}

// What a verification can say.
const (
	CannotTell Status = iota
	Intact
	Tampered
)

// Damage is the first bad place that a verification found.
type Damage struct {
	Seq    uint64
	HasSeq bool   // Seq names a row
	Where  string // file, when it is not a row
	Detail string // what is wrong with it
}

// Verification says what was found, what was checked, and what was not.
type Verification struct {
	Status     Status
	Origin     string
	Size       uint64
	Root       [32]byte
	Damage     *Damage
	Checked    []string
	NotChecked []string
	Elapsed    time.Duration
}

var notChecked = []string{
	"Whether the log's key was stolen: who holds it and the disk can write another history. Only a copy held elsewhere shows that.",
	"Whether everything was deleted together with its anchor: only a copy held elsewhere shows that.",
	"Whether a row was true when it was written: the log proves that it was not changed since.",
}

// Verify recomputes everything up to the newest anchored checkpoint. progress may be nil; it is called now and then.
func (l *Ledger) Verify(ctx context.Context, progress func(done, total uint64)) (Verification, error) {
	begin := time.Now()
	seals, err := checkSeals(l.dir, l.id, 0) // before the checkpoint: no seal speaks of more rows than it
	v := verifyStore(ctx, l.db.DB, l.id, l.Checkpoint(), seals, err, progress)
	v.Elapsed = time.Since(begin)
	return v, ctx.Err()
}

// verifyStore compares every stored row with the tree and the chain, and the tree with the checkpoint. It shares no code with the tree
// that was built while writing: the root is computed by another library.
func verifyStore(ctx context.Context, db *badger.DB, id *identity, anchor Checkpoint, seals proof.Seals, sealsErr error, progress func(done, total uint64)) Verification {
	w := &walker{
		v:     Verification{Status: Intact, Origin: id.origin, Size: anchor.Size, Root: anchor.Root, NotChecked: notChecked},
		chain: id.chainStart(), anchor: anchor, progress: progress,
		tree: (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0),
	}
	if w.progress == nil {
		w.progress = func(uint64, uint64) {}
	}
	w.seals = seals
	summed := false
	err := db.View(func(txn *badger.Txn) error {
		days, err := readDays(txn)
		if err != nil {
			return &badPlace{where: "days", detail: err.Error()}
		}
		dropped, err := readDropped(txn, days)
		if err != nil {
			return &badPlace{where: "days", detail: err.Error()}
		}
		_, err = txn.Get(metaKey("rollups"))
		summed = err == nil
		ahead := len(days) > 0 && days[len(days)-1].last+1 > anchor.Size
		w.sums = checkRollups(txn, hoursOf(dropped), ahead, summed)
		err = w.walk(ctx, txn)
		if sumsErr := w.sums.finish(); err == nil {
			err = sumsErr
		}
		return err
	})
	if err == nil {
		err = sealsErr
	}
	var bad *badPlace
	switch {
	case errors.As(err, &bad):
		w.v.Status, w.v.Damage = Tampered, &Damage{Seq: bad.seq, HasSeq: bad.isRow, Where: bad.where, Detail: bad.detail}
	case err != nil:
		w.v.Status, w.v.Damage = CannotTell, &Damage{Where: "badger", Detail: err.Error()}
	default:
		w.v.Checked = []string{
			fmt.Sprintf("Each of %d rows hashes to the leaf that the tree holds for it.", anchor.Size-w.missingRows()),
			"Every row hash follows from the one before, back to the genesis record.",
			"The tree's root is the one in the signed checkpoint, and the anchor file outside the store says the same.",
			"The checkpoint's signature is that of the log's key.",
		}
		if summed {
			w.v.Checked = append(w.v.Checked, "The hourly sums that reports use are those of the rows.")
		}
		if n := w.missingRows(); n > 0 {
			w.v.Checked = append(w.v.Checked, fmt.Sprintf("%d rows are withheld: rows of the log say that retention took their content away. Their hashes are there, and tree and chain include them.", n))
		}
		if len(seals) > 0 {
			w.v.Checked = append(w.v.Checked, fmt.Sprintf("There is a signed seal for each of the %d days that are over, each follows from the one before, and rows and tree were then as they are now.", len(seals)))
			w.v.NotChecked = append([]string{notCheckedCodes}, notChecked...)
		}
	}
	return w.v
}

const notCheckedCodes = "Whether the seals were made with each day's key: netaudit seal verify checks that with the key you keep elsewhere."

// missingRows counts the rows that are not there.
func (w *walker) missingRows() (n uint64) {
	for _, m := range w.withheld {
		n += m.last - m.first + 1
	}
	return n
}

// badPlace stops a walk at the first damage.
type badPlace struct {
	seq    uint64
	isRow  bool
	where  string
	detail string
}

func (b *badPlace) Error() string { return b.where + ": " + b.detail }

func badRow(seq uint64, format string, a ...any) error {
	return &badPlace{seq: seq, isRow: true, detail: fmt.Sprintf(format, a...)}
}

// walker goes through all rows once.
type walker struct {
	v        Verification
	anchor   Checkpoint
	chain    [32]byte
	tree     *compact.Range
	tile     []byte // leaf hashes of the tile being filled
	next     uint64
	seals    proof.Seals // that were not reached yet
	sums     *rollupCheck
	withheld []dayRange  // rows that are not there
	logged   []Retention // what rows say about rows that were taken away
	progress func(done, total uint64)
}

// rowsBetweenProgress is how many rows pass between two reports of progress.
const rowsBetweenProgress = 4096

func (w *walker) walk(ctx context.Context, txn *badger.Txn) error {
	o := badger.DefaultIteratorOptions
	o.Prefix, o.PrefetchValues = []byte{tableRow}, false // values stand beside their keys: fetching ahead costs a goroutine a row
	it := txn.NewIterator(o)
	defer it.Close()
	if err := w.reachSeals(); err != nil {
		return err
	}
	for it.Rewind(); it.Valid() && w.next < w.anchor.Size; it.Next() {
		if w.next%rowsBetweenProgress == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.progress(w.next, w.anchor.Size)
		}
		_, seq, ok := parseRowKey(it.Item().Key())
		if !ok || seq < w.next {
			return badRow(w.next, "it is missing: the store goes on with row %d", seq)
		}
		if err := w.missing(txn, seq); err != nil {
			return err
		}
		value, err := it.Item().ValueCopy(nil) // the check of the sums reads it later
		if err != nil {
			return fmt.Errorf("read row %d: %w", seq, err)
		}
		if err := w.row(txn, value); err != nil {
			return err
		}
	}
	if w.next < w.anchor.Size {
		return badRow(w.next, "it is missing: the anchor speaks of %d rows", w.anchor.Size)
	}
	w.progress(w.anchor.Size, w.anchor.Size)
	return errors.Join(w.allowed(), w.end(txn))
}

// missing takes the leaves of rows that are not there out of the tree. Whether they may be missing is decided at the end, where the log's rows say which were taken away.
func (w *walker) missing(txn *badger.Txn, until uint64) error {
	if w.next == until {
		return nil
	}
	w.withheld = append(w.withheld, dayRange{first: w.next, last: until - 1})
	for w.next < until {
		leaf, err := leafOf(txn, w.next)
		if err != nil {
			return badRow(w.next, "it is missing, and its hash too: %v", err)
		}
		w.chain = proof.ChainHash(w.next, w.chain, leaf)
		w.tile = append(w.tile, leaf[:]...)
		if err := w.fold(txn, leaf[:]); err != nil {
			return err
		}
	}
	return nil
}

// allowed compares what is missing with what the log says was taken away.
func (w *walker) allowed() error {
	for _, m := range w.withheld {
		for at := m.first; at <= m.last; {
			i := slices.IndexFunc(w.logged, func(r Retention) bool { return r.First >= 0 && uint64(r.First) <= at && at <= uint64(r.Last) })
			if i < 0 {
				return badRow(at, "it is missing, and the log does not say that retention took it away")
			}
			at = uint64(w.logged[i].Last) + 1
		}
	}
	return nil
}

// note remembers what a row says about rows that were taken away; it was written before they were.
func (w *walker) note(row Row) {
	if !bytes.Contains(row.JSON, []byte(`"kind":"retention"`)) {
		return
	}
	if e, err := ParseEvent(row.JSON); err == nil && e.Kind == "retention" && e.Rule == "intent" && e.Retention != nil && uint64(e.Retention.Last) < row.Seq {
		w.logged = append(w.logged, *e.Retention)
	}
}

// row checks one row's number, chain and leaf.
func (w *walker) row(txn *badger.Txn, value []byte) error {
	seq := w.next
	row, err := newRow(seq, value)
	if err != nil {
		return badRow(seq, "%v", err)
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(row.JSON)
	w.tile = append(w.tile, leaf...)
	if w.chain = proof.ChainHash(seq, w.chain, tlog.Hash(leaf)); w.chain != row.Chain {
		if err := w.compareTile(txn); err != nil {
			return err // the leaf is wrong too: that names the row exactly
		}
		return badRow(seq, "its row hash does not follow from the row before")
	}
	w.note(row)
	w.sums.add(row.JSON)
	return w.fold(txn, leaf)
}

// fold takes the next leaf into the tree; chain and tile have it already.
func (w *walker) fold(txn *badger.Txn, leaf []byte) error {
	if err := w.tree.Append(leaf, nil); err != nil {
		return err
	}
	w.next++
	if err := w.reachSeals(); err != nil {
		return err
	}
	if len(w.tile) == 256*tlog.HashSize {
		if err := w.compareTile(txn); err != nil {
			return err
		}
		w.tile = w.tile[:0]
	}
	return nil
}

// reachSeals compares the seals of days that ended here with the rows so far.
func (w *walker) reachSeals() error {
	for ; len(w.seals) > 0 && w.seals[0].Size == w.next; w.seals = w.seals[1:] {
		s := &w.seals[0]
		root := emptyRoot[:]
		if w.next > 0 {
			var err error
			if root, err = w.tree.GetRootHash(nil); err != nil {
				return err
			}
		}
		if !bytes.Equal(root, s.Root[:]) || w.chain != s.Chain {
			return &badPlace{where: "seal/" + s.Day, detail: fmt.Sprintf("the %d rows up to then are not those that it sealed", s.Size)}
		}
	}
	return nil
}

// compareTile compares the leaves computed from the rows with the stored ones, to name the row that differs.
func (w *walker) compareTile(txn *badger.Txn) error {
	n := len(w.tile) / tlog.HashSize
	if n == 0 {
		return nil
	}
	first := w.next - w.next%256
	if w.next%256 == 0 && n == 256 {
		first = w.next - 256
	}
	tile := tlog.Tile{H: tileHeight, L: 0, N: int64(first / 256), W: n}
	stored, err := readTile(txn, tile)
	if err != nil {
		return &badPlace{where: "tile " + tile.Path(), detail: err.Error()}
	}
	for i := range n {
		at := i * tlog.HashSize
		if !bytes.Equal(stored[at:at+tlog.HashSize], w.tile[at:at+tlog.HashSize]) {
			return badRow(first+uint64(i), "its bytes do not hash to the leaf that the tree holds")
		}
	}
	return nil
}

// end compares the root with the anchor, and the anchor with the store's own checkpoint.
func (w *walker) end(txn *badger.Txn) error {
	if err := w.compareTile(txn); err != nil {
		return err
	}
	root := emptyRoot[:]
	if w.anchor.Size > 0 {
		var err error
		if root, err = w.tree.GetRootHash(nil); err != nil {
			return err
		}
	}
	if !bytes.Equal(root, w.anchor.Root[:]) {
		return &badPlace{where: "anchor/checkpoint", detail: "the rows do not hash to the root that it names"}
	}
	stored, err := tlog.TreeHash(int64(w.anchor.Size), tileReader(txn))
	if err != nil {
		return &badPlace{where: "tiles", detail: err.Error()}
	}
	if w.anchor.Size > 0 && stored != tlog.Hash(w.anchor.Root) {
		return &badPlace{where: "tiles", detail: "the stored tree does not hash to the checkpoint's root"}
	}
	if len(w.seals) > 0 {
		return &badPlace{where: "seal/" + w.seals[0].Day, detail: fmt.Sprintf("it speaks of %d rows, the log has %d", w.seals[0].Size, w.anchor.Size)}
	}
	return nil
}
