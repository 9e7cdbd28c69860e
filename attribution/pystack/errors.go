package pystack

import (
	"errors"
	"fmt"
	"io/fs"
)

// ErrNotPython says that no CPython runtime was found in the process.
var ErrNotPython = errors.New("not a CPython process")

// ErrTorn says that the stack kept changing while it was read; nothing is known of it.
var ErrTorn = errors.New("the Python stack changed while it was read")

// ErrNoThread says that the thread exists in no Python interpreter of the process.
var ErrNoThread = errors.New("the thread runs no Python")

// UnsupportedError says that the interpreter's memory layout is not known.
type UnsupportedError struct {
	Version string // as found, e.g. "3.15.2" or "3.13.0 (free-threaded)"
}

// Error implements error.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("CPython %s is not supported (3.8 to 3.14 are, release builds with the GIL)", e.Version)
}

// PermissionError says that the process may not be read. Unwrap gives the cause.
type PermissionError struct {
	PID int
	Err error
}

// Error implements error.
func (e *PermissionError) Error() string {
	return fmt.Sprintf("reading the memory of process %d needs CAP_SYS_PTRACE: %v", e.PID, e.Err)
}

// Unwrap gives the cause.
func (e *PermissionError) Unwrap() error { return e.Err }

func asPermission(pid int, err error) error {
	var already *PermissionError
	if errors.Is(err, fs.ErrPermission) && !errors.As(err, &already) {
		return &PermissionError{PID: pid, Err: err}
	}
	return err
}
