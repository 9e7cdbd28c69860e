package ledger

import (
	"errors"
	"fmt"
)

// ErrNoLedger says that a directory holds no ledger.
var ErrNoLedger = errors.New("no ledger here")

// ErrNoRow says that a row is not in the log (yet).
var ErrNoRow = errors.New("no such row")

// ErrWithheld says that a row's content was taken away by logged retention; its hash is kept. It is an ErrNoRow.
var ErrWithheld = fmt.Errorf("taken away by retention, its hash is kept: %w", ErrNoRow)

// ErrClosed says that the ledger takes no rows any more.
var ErrClosed = errors.New("the ledger is closed")

// LockedError says that another process uses the ledger.
type LockedError struct {
	Dir string
	PID int // 0 when it is not known
	Err error
}

// Error implements error.
func (e *LockedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("ledger %s is in use by %s: use the pages or the API of the running netaudit, or stop it first", e.Dir, who)
}

// Unwrap returns what the store said.
func (e *LockedError) Unwrap() error { return e.Err }

// VersionError says that a ledger was written in another format.
type VersionError struct {
	Dir string
	Got int
}

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("ledger %s has format version %d; this netaudit reads versions up to %d: use the version that wrote it", e.Dir, e.Got, formatVersion)
}

// DamagedError says that what is on disk contradicts itself. Nothing was changed.
type DamagedError struct {
	Dir    string
	Where  string // file or row
	Detail string
}

// Error implements error.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("ledger %s is damaged at %s: %s (netaudit verify %s tells more; nothing was changed)", e.Dir, e.Where, e.Detail, e.Dir)
}
