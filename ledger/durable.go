package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// writeDurably replaces a file so that after a crash it is either the old or the new one: temporary file, fsync, rename, fsync of
// the directory. The temporary file lies beside the file, never in the system's directory for such files: it may hold a key.
func writeDurably(path string, text []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	if err := renameio.WriteFile(path, text, mode, renameio.IgnoreUmask(), renameio.WithTempDir(dir)); err != nil {
		return err
	}
	return syncDirectory(dir)
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// unfinished is what a crash may leave of files that were being replaced: a dot, the name of the file, a random number. Tokens are not the ledger's: they lie beside the keys and another program may be writing them.
var unfinished = []string{".beginning.json[0-9]*", "anchor/.*[0-9]", "anchor/witnessed/.*[0-9]", "keys/.checkpoint*[0-9]", "keys/.seal*[0-9]", "seal/.*[0-9]"}

// forgetUnfinished removes such leftovers: the key of a day's seals must not outlive its day in one of them. Only the writer of the log may call it.
func forgetUnfinished(dir string) error {
	var errs []error
	for _, pattern := range unfinished {
		left, err := fs.Glob(os.DirFS(dir), pattern)
		errs = append(errs, err)
		for _, name := range left {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				errs = append(errs, fmt.Errorf("remove an unfinished file: %w", err))
			}
		}
	}
	return errors.Join(errs...)
}
