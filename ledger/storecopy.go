package ledger

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openCopy opens a copy of a store that a crash left unfinished. Nothing in the ledger's directory changes. Everything is
// copied, also the tables: Badger empties a table's file before it removes it, and would empty a linked original with it.
func openCopy(dir, path string, log *slog.Logger) (_ *store, err error) {
	copied, err := os.MkdirTemp("", "netaudit-store-")
	if err != nil {
		return nil, fmt.Errorf("make room for a copy of the store (it ends in the middle after a crash; netaudit run repairs it in place): %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(copied))
		}
	}()
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("copy the store: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || e.Name() == "LOCK" {
			continue
		}
		from, to := filepath.Join(path, e.Name()), filepath.Join(copied, e.Name())
		if err := copyFile(from, to); err != nil {
			return nil, fmt.Errorf("copy the store: %w", err)
		}
	}
	removeEmptyLogs(copied, log)
	db, err := openBadger(dir, copied, false, log)
	if err != nil {
		return nil, err
	}
	return &store{DB: db, copied: copied}, nil
}

// copyFile copies a file without its holes: Badger makes its write-ahead logs 32 MiB long at once.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	for at := int64(0); ; {
		from, err := in.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // only a hole is left
			return out.Truncate(info.Size())
		}
		if err != nil {
			return err
		}
		if at, err = in.Seek(from, unix.SEEK_HOLE); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, from), io.NewSectionReader(in, from, at-from)); err != nil {
			return err
		}
	}
}
