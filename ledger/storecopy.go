package ledger

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
)

// openCopy opens a copy of a store that a crash left unfinished. Nothing in the ledger's directory changes. Everything is
// copied, also the tables: Badger empties a table's file before it removes it, and would empty a linked original with it. Where the file
// system can, the kernel shares the blocks instead (copy_file_range).
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
	_, err = io.Copy(out, in)
	return err
}
