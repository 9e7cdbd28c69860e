package ledger

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

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
	From       uint64 // the first row that was read; above 0 only when verifying since an earlier verification
	Root       [32]byte
	Damage     *Damage
	Checked    []string
	NotChecked []string
	Elapsed    time.Duration

	chain [32]byte // row hash of the newest row that was verified
}

var notChecked = []string{
	"Whether the log's key was stolen: who holds it and the disk can write another history. Only a copy held elsewhere shows that.",
	"Whether everything was deleted together with its anchor: only a copy held elsewhere shows that.",
	"Whether a row was true when it was written: the log proves that it was not changed since.",
}

const notCheckedCodes = "Whether the seals were made with each day's key: netaudit seal verify checks that with the key you keep elsewhere."

// Progress is told how many of the rows are verified, in order; it is called often and must be quick.
type Progress func(done, total uint64)

// Verify recomputes everything up to the newest anchored checkpoint, on every core. progress may be nil.
func (l *Ledger) Verify(ctx context.Context, progress Progress) (Verification, error) {
	return l.verifyFrom(ctx, start{}, progress)
}

// start is where a verification begins: every row before was verified, and tree and chain were then like this. The zero value is the beginning of the log.
type start struct {
	size  uint64
	root  [32]byte
	chain [32]byte
}

// verifier compares every stored row with the tree and the chain, the tree with the checkpoint, and what is derived from the rows with them. It shares no code with the tree that was built while writing: the root
// is computed by another library. Stretches of rows are read by several goroutines (segment.go) and joined in order by one (join.go).
type verifier struct {
	id       *identity
	anchor   Checkpoint
	from     start
	progress Progress
	workers  int
	pace     func(ctx context.Context, rows uint64) error // waits before that many rows are read; nil: at full speed

	days    []dayRange
	dropped []dayRange
	summed  bool // there are hourly sums and facts to compare
	indexed bool // there is an index to compare
	ahead   bool // the store has, or may get, rows behind the anchor
	seed    maphash.Seed
	readers sync.Pool // of *segmentReader
}

func newVerifier(id *identity, anchor Checkpoint, from start, progress Progress) *verifier {
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	return &verifier{id: id, anchor: anchor, from: from, progress: progress, workers: runtime.GOMAXPROCS(0), seed: maphash.MakeSeed()}
}

// run verifies what one transaction sees.
func (v *verifier) run(ctx context.Context, txn *badger.Txn, seals proof.Seals, sealsErr error) Verification {
	return v.runIn(ctx, func(f func(*badger.Txn) error) error { return f(txn) }, seals, sealsErr)
}

// view runs a function in a transaction that reads.
type view func(func(*badger.Txn) error) error

// runIn verifies with a transaction for each step: rows never change, so it need not be the same one.
func (v *verifier) runIn(ctx context.Context, in view, seals proof.Seals, sealsErr error) Verification {
	out := Verification{Status: Intact, Origin: v.id.origin, Size: v.anchor.Size, From: v.from.size, Root: v.anchor.Root, NotChecked: notChecked}
	var j *joined
	err := in(v.look)
	if err == nil {
		j, err = v.walk(ctx, in, seals)
	}
	if err == nil {
		err = sealsErr
	}
	var bad *badPlace
	switch {
	case ctx.Err() != nil:
		out.Status, out.Damage = CannotTell, &Damage{Detail: "the verification was stopped"}
	case errors.As(err, &bad):
		out.Status, out.Damage = Tampered, &Damage{Seq: bad.seq, HasSeq: bad.isRow, Where: bad.where, Detail: bad.detail}
	case err != nil:
		out.Status, out.Damage = CannotTell, &Damage{Where: "badger", Detail: err.Error()}
	default:
		out.chain = j.chain
		v.sayChecked(&out, j.missingRows(), len(seals))
	}
	return out
}

// look reads what the store says about its days, and which tables it has.
func (v *verifier) look(txn *badger.Txn) (err error) {
	if v.days, err = readDays(txn); err == nil {
		v.dropped, err = readDropped(txn, v.days)
	}
	if err != nil {
		return &badPlace{where: "days", detail: err.Error()}
	}
	has := func(name string) bool {
		_, err := txn.Get(metaKey(name))
		return err == nil
	}
	whole := v.from.size == 0 // otherwise hours and days are not all there
	v.summed, v.indexed = whole && has(totalsMark), whole && has(indexMark)
	v.ahead = v.pace != nil || len(v.days) > 0 && v.days[len(v.days)-1].last+1 > v.anchor.Size
	return nil
}

// sayChecked writes down what an intact log means.
func (v *verifier) sayChecked(out *Verification, withheld uint64, seals int) {
	say := func(format string, a ...any) { out.Checked = append(out.Checked, fmt.Sprintf(format, a...)) }
	if v.from.size == 0 {
		say("Each of %d rows hashes to the leaf that the tree holds for it.", v.anchor.Size-withheld)
		say("Every row hash follows from the one before, back to the genesis record.")
	} else if v.from.size == v.anchor.Size {
		say("No row came since the log of %d rows was verified, and its tree is the one that was verified then.", v.from.size)
	} else {
		say("Each of %d rows from row %d on hashes to the leaf that the tree holds for it.", v.anchor.Size-v.from.size-withheld, v.from.size)
		say("Every row hash from there on follows from the one before.")
		say("The tree extends the one of %d rows that was verified then.", v.from.size)
	}
	say("The tree's root is the one in the signed checkpoint, and the anchor file outside the store says the same.")
	say("The checkpoint's signature is that of the log's key.")
	if v.summed {
		say("The hourly sums that reports use are those of the rows.")
	}
	if v.indexed {
		say("The index that searching uses is that of the rows.")
	}
	if withheld > 0 {
		say("%d rows are withheld: rows of the log say that retention took their content away. Their hashes are there, and tree and chain include them.", withheld)
	}
	if seals > 0 {
		if v.from.size == 0 {
			say("There is a signed seal for each of the %d days that are over, each follows from the one before, and rows and tree were then as they are now.", seals)
		} else {
			say("There is a signed seal for each of the %d days that are over, and each follows from the one before.", seals)
		}
		out.NotChecked = append([]string{notCheckedCodes}, notChecked...)
	}
	if v.from.size > 0 {
		out.NotChecked = append([]string{
			fmt.Sprintf("Rows below %d: they were verified earlier and not read again. Whoever changed one since is found by verifying everything.", v.from.size),
			"Whether the hourly sums and the index are those of the rows.",
		}, out.NotChecked...)
	}
}

// badPlace stops a verification at the first damage.
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
