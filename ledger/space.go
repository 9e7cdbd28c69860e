package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Free space that the ledger leaves, in bytes: Badger writes into files that it mapped into memory before they had blocks, and dies of SIGBUS when the disk is full.
const (
	leastFree      = 1 << 30   // and 5 % of the file system, if that is more
	leastFreeSmall = 256 << 20 // on a file system below smallDisk
	smallDisk      = 5 << 30
	roomForSeals   = 4 << 20  // free space from which on days that end are sealed even so
	ballastSize    = 32 << 20 // given free when the disk is nearly full, so that a seal and the row that tells of it can be written
)

// FullError says that the disk is nearly full.
type FullError struct {
	Dir        string
	Free, Need uint64 // bytes
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("only %d MiB are free in %s; the ledger needs %d MiB: free some space, it goes on by itself", e.Free>>20, e.Dir, e.Need>>20)
}

// space says how much is free for us, and how much must stay free.
func space(dir string) (free, need uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("look at the free space: %w", err)
	}
	total := st.Blocks * uint64(st.Bsize)
	need = max(leastFree, total/20)
	if total < smallDisk {
		need = leastFreeSmall
	}
	return st.Bavail * uint64(st.Bsize), need, nil
}

// diskGuard stops before the disk is full: *FullError.
func diskGuard(dir string) error {
	free, need, err := space(dir)
	if err == nil && free < need {
		err = &FullError{Dir: dir, Free: free, Need: need}
	}
	return err
}

func ballastPath(dir string) string { return filepath.Join(dir, "ballast") }

// layBallast puts aside the space for the last words, where there is plenty.
func layBallast(dir string) error {
	free, need, err := space(dir)
	if err != nil || free < need+2*ballastSize {
		return err
	}
	f, err := os.OpenFile(ballastPath(dir), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("put space aside: %w", err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, ballastSize)
	if errors.Is(err, unix.EOPNOTSUPP) { // a file system that cannot promise space
		err = os.Remove(ballastPath(dir))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("put space aside: %w", err)
	}
	return nil
}

// lastWords uses the ballast: a row that says that the disk is full, behind the seals that are due. Nothing else is written until there is space.
func (s *sequencer) lastWords(full *FullError) error {
	if err := os.Remove(ballastPath(s.l.dir)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return full // nothing was put aside, or it was used
		}
		return fmt.Errorf("give the ballast free: %w", err)
	}
	if free, _, err := space(s.l.dir); err != nil || free < ballastSize {
		return errors.Join(full, err)
	}
	now := s.l.options.Clock().UnixNano()
	waiting := s.waiting
	s.waiting = []*Event{{Kind: "lifecycle", Rule: "disk_full", Start: now, End: now, Message: "The disk is nearly full: no more rows are written (" + full.Error() + ")."}}
	err := s.commit()
	s.waiting = append(s.waiting, waiting...) // empty, unless the commit failed
	if err != nil {
		return err
	}
	return full
}

// spaceAgain says whether there is enough space to go on after the disk was full, with new ballast. Days that end meanwhile are sealed.
func (s *sequencer) spaceAgain() error {
	free, need, err := space(s.l.dir)
	if err != nil || free >= need+2*ballastSize {
		return err
	}
	full := &FullError{Dir: s.l.dir, Free: free, Need: need + 2*ballastSize}
	if free < roomForSeals || s.doubt {
		return full
	}
	if err := s.sealDays(s.now()); err != nil {
		return err
	}
	return full
}
