package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// openProbeVariable tells a child process which store to open for writing and to close again.
const openProbeVariable = "NETAUDIT_LEDGER_PROBE_OPEN"

// probeAnswer is what the child prints when it lived long enough to say anything.
const probeAnswer = "the store was opened and closed\n"

// probeOpen opens a store as its writer would, reads what a start reads, and closes it. Errors are not its business: the parent meets them itself. It never returns.
func probeOpen(dir string) {
	quiet := slog.New(slog.DiscardHandler)
	db, err := openStore(dir, false, quiet)
	if err == nil {
		l := &Ledger{dir: dir, db: db, log: quiet, options: Options{ReadOnly: true, Clock: time.Now}}
		if l.id, err = loadIdentity(dir, false); err == nil {
			if anchor, err := readAnchor(dir, l.id); err == nil {
				_ = l.compare(anchor) // whatever it says, it did not crash
			}
		}
		_ = db.Close() // as above
	}
	if _, err := os.Stdout.WriteString(probeAnswer); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// probeStore lets a child process open the store first: Badger answers some damage with a crash in goroutines of its own, which nothing in the same process can catch. A child that crashed is an
// answer: *DamagedError. Programs that do not call MaybeProbe open without it.
func (l *Ledger) probeStore() error {
	if !probing.Load() || os.Getenv(openProbeVariable) != "" {
		return nil
	}
	if _, err := checkTables(l.dir, badgerPath(l.dir), false); err != nil && !inUse(badgerPath(l.dir), false) {
		return l.notOpened(err) // nobody may open it for writing: merging tables would lose what is damaged
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), openProbeVariable+"="+l.dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if strings.HasSuffix(stdout.String(), probeAnswer) {
		return nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("open the store in a child process first: %w", err)
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() && (s.Signal() == syscall.SIGKILL || s.Signal() == syscall.SIGTERM) {
		return fmt.Errorf("open the store in a child process first: it was killed (%v); nothing is known of the store: try again", s.Signal())
	}
	first, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
	return l.damaged("badger", fmt.Sprintf("the store cannot be opened: whoever tries ends with %v (%s)", err, first))
}

// walAsFound is where the write-ahead logs lie as a crash left them, while it is not yet known whether they are sound: opening the store for writing cuts them off at the first entry that does not
// fit.
const walAsFound = "wal-as-found"

// keepWriteAheadLogs copies the write-ahead logs that the last writer did not close. Copies that are there already are older, and stay.
func keepWriteAheadLogs(dir string) error {
	to := filepath.Join(dir, walAsFound)
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(badgerPath(dir), "*.mem"))
	if err != nil || len(files) == 0 {
		return err
	}
	making := to + ".new"
	if err := errors.Join(os.RemoveAll(making), os.Mkdir(making, 0o700)); err != nil {
		return fmt.Errorf("keep the write-ahead logs as they were found: %w", err)
	}
	for _, f := range files {
		err := copyFile(f, filepath.Join(making, filepath.Base(f)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another process uses the ledger, which opening it will say
			return fmt.Errorf("keep the write-ahead logs as they were found: %w", err)
		}
	}
	if err := os.Rename(making, to); err != nil {
		return fmt.Errorf("keep the write-ahead logs as they were found: %w", err)
	}
	return nil
}

// forgetWriteAheadLogs removes the copies once the store proved to be sound.
func forgetWriteAheadLogs(dir string) error {
	if err := os.RemoveAll(filepath.Join(dir, walAsFound)); err != nil {
		return fmt.Errorf("remove the copies of the write-ahead logs: %w", err)
	}
	return nil
}
