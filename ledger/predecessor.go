package ledger

import (
	"context"
	"errors"
	"fmt"
)

// Predecessor names the damaged log that a new one continues, and what was last known to be good of it.
type Predecessor struct {
	Origin string // "" when its genesis record could not be read
	Size   int64  // rows of its last good checkpoint
	Root   string // of that checkpoint, base64; "" when its anchor could not be read
	Kept   string // directory under the state directory in which it lies untouched
	Where  string // file or row that is damaged
	Detail string
}

// Sentence says for people what became of the log before.
func (p *Predecessor) Sentence() string {
	name, good := "The log before this one", "Its last good checkpoint cannot be read."
	if p.Origin != "" {
		name += ", " + p.Origin + ","
	}
	if p.Root != "" {
		good = fmt.Sprintf("Its last good checkpoint speaks of %d rows (root %s).", p.Size, p.Root)
	}
	return fmt.Sprintf("%s is damaged at %s: %s. It is kept in %s. %s", name, p.Where, p.Detail, p.Kept, good)
}

// Predecessor is the damaged log that this one continues and the row that says so: the first one or, when retention took that away, the newest row about retention, which repeats it.
// It is nil when no row speaks of one. A first row that is missing or cannot be read is a DamagedError.
func (l *Ledger) Predecessor(ctx context.Context) (p *Predecessor, seq uint64, err error) {
	if l.Size() == 0 {
		return nil, 0, nil
	}
	row, err := l.Row(0)
	if errors.Is(err, ErrWithheld) {
		_, err = l.Search(ctx, Query{Kind: "retention", Backward: true}, func(row Row, e *Event) bool {
			p, seq = e.Predecessor, row.Seq
			return false
		})
		return p, seq, err
	}
	var first Event
	if err == nil {
		first, err = ParseEvent(row.JSON)
	} else if !errors.Is(err, ErrNoRow) {
		return nil, 0, err
	}
	if err != nil {
		return nil, 0, &DamagedError{Dir: l.dir, Where: "row 0", Detail: err.Error()}
	}
	return first.Predecessor, 0, nil
}
