package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"golang.org/x/sys/unix"
)

// openStore opens Badger with the options that were measured to be right for one writer and honest damage reports: every table
// is compared with its sum first, because later Badger would return wrong or missing rows without a word.
//
// Nothing is compacted when the store is closed: it also is after a write that failed, and the next start shall not wait for that.
//
// After a crash Badger's write-ahead log ends in the middle, and Badger will not read it without repairing it. A reader repairs a copy.
func openStore(dir string, readOnly bool, log *slog.Logger) (*store, error) {
	path := badgerPath(dir)
	if os.Getenv(openProbeVariable) == "" { // the parent of a probe has compared them
		sums, err := checkTables(dir, path, false)
		if err != nil && !inUse(path, readOnly) {
			return nil, err
		}
		if err == nil && !readOnly && !maps.Equal(sums, readTableSums(dir)) {
			if err := writeTableSums(dir, sums); err != nil {
				log.Warn("the next start reads every block of the store", "error", err)
			}
		}
	}
	db, err := openBadger(dir, path, readOnly, log)
	if readOnly && err != nil && !errors.As(err, new(*LockedError)) && (needsRepair(err) || len(emptyLogs(path)) > 0) {
		return openCopy(dir, path, log)
	}
	if err != nil {
		return nil, err
	}
	return &store{DB: db}, nil
}

// needsRepair knows Badger's error by its text: v4.9.6 does not wrap it.
func needsRepair(err error) bool {
	return err != nil && strings.Contains(err.Error(), badger.ErrTruncateNeeded.Error())
}

// store is an open Badger, of the ledger itself or of a copy that goes away with it. The writer's goroutine uses the embedded DB; everybody else goes through View and use, because the writer closes and
// opens it again when it could not write.
type store struct {
	*badger.DB
	copied string // directory of the copy, "" for the ledger itself

	mu      sync.Mutex
	users   sync.WaitGroup
	away    bool // closed, perhaps for a moment
	forGood bool
}

// errAway says that the store is being opened again.
var errAway = errors.New("the ledger is being recovered: try again in a moment")

// use keeps the store from being closed until release is called.
func (s *store) use() (db *badger.DB, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		if s.forGood {
			return nil, nil, ErrClosed
		}
		return nil, nil, errAway
	}
	s.users.Add(1)
	return s.DB, s.users.Done, nil
}

// View runs a read-only transaction.
func (s *store) View(fn func(*badger.Txn) error) error {
	db, release, err := s.use()
	if err != nil {
		return err
	}
	defer release()
	return db.View(fn)
}

// suspend closes Badger when its users are done. Reading gives an error until resume.
func (s *store) suspend() error {
	s.mu.Lock()
	was := s.away
	s.away = true
	s.mu.Unlock()
	if was {
		return nil
	}
	s.users.Wait()
	return s.DB.Close()
}

// resume takes over a Badger that was opened again.
func (s *store) resume(db *badger.DB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.DB, s.away = db, false
}

// Close closes Badger and removes the copy.
func (s *store) Close() error {
	err := s.suspend()
	s.mu.Lock()
	s.forGood = true
	s.mu.Unlock()
	if s.copied != "" {
		err = errors.Join(err, os.RemoveAll(s.copied))
	}
	return err
}

func openBadger(dir, path string, readOnly bool, log *slog.Logger) (*badger.DB, error) {
	if _, err := os.Stat(filepath.Join(path, "MANIFEST")); readOnly && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoLedger)
	}
	if !readOnly {
		removeEmptyLogs(path, log)
	}
	o := badger.DefaultOptions(path).
		WithReadOnly(readOnly).
		WithSyncWrites(!readOnly).
		WithMemTableSize(16 << 20).WithNumMemtables(3).
		WithChecksumVerificationMode(options.NoVerification). // see tablesums.go
		WithDetectConflicts(false).WithNumVersionsToKeep(1).WithMetricsEnabled(false).
		WithCompression(options.ZSTD).WithZSTDCompressionLevel(1).WithBlockSize(blockSize).
		WithBlockCacheSize(32 << 20).WithIndexCacheSize(16 << 20).
		WithBaseLevelSize(baseLevelSize).WithBaseTableSize(tableSize).WithNumLevelZeroTables(newTables).WithNumLevelZeroTablesStall(2 * newTables).
		WithNumCompactors(2).WithValueLogFileSize(16 << 20).WithCompactL0OnClose(false).
		WithLogger(badgerLog{log})
	db, err := badger.Open(o)
	if err != nil && lockTaken(err) && !inUse(path, readOnly) {
		db, err = badger.Open(o)
	}
	if err != nil {
		if lockTaken(err) {
			return nil, &LockedError{Dir: dir, PID: lockHolder(path), Err: err}
		}
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return db, nil
}

// What Badger merges, and when: later and more at once than by its own 10 MiB and 5 tables, because every table of new rows spans all kinds of keys and is merged with the whole level below.
const (
	baseLevelSize = 32 << 20 // bytes
	newTables     = 10
	tableSize     = 1 << 20 // bytes of a merged table; while it is made it takes some twenty times as much memory
)

// blockSize is how much is compressed together, in bytes, and read for one row. Rows of quiet times, which no group compresses, are alike, and a longer block finds more of that: twice as long, a fifth less on disk. Groups of busy
// times are compressed already: their block lies on disk as long as it is, and a page of rows far apart reads one for each row.
const blockSize = 64 << 10

// emptyLogs are the 0-byte write-ahead logs of a store: a crash between creating and sizing one leaves it behind, and Badger then refuses to open (dgraph-io/badger#2207). An empty file holds nothing that
// could be lost.
func emptyLogs(path string) (empty []string) {
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		files, _ := filepath.Glob(filepath.Join(path, pattern)) // the patterns are constants: no error is possible
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.Size() == 0 {
				empty = append(empty, f)
			}
		}
	}
	return empty
}

func removeEmptyLogs(path string, log *slog.Logger) {
	for _, f := range emptyLogs(path) {
		if err := os.Remove(f); err != nil {
			log.Warn("an empty write-ahead log could not be removed", "file", f, "error", err)
		}
	}
}

func lockTaken(err error) bool {
	return strings.Contains(err.Error(), "Cannot acquire directory lock")
}

// inUse says whether a process has a store open so that it cannot be opened here: Badger holds a lock on its directory, one that readers share. The lock of a store that was closed lives on in a child of its process that has
// not come from fork to exec yet. So where no writer left its process id, whoever holds the lock has a second to end.
func inUse(path string, readOnly bool) bool {
	const patience, pause = time.Second, 20 * time.Millisecond
	for waited := time.Duration(0); locked(path, readOnly); waited += pause {
		if lockHolder(path) != 0 || waited >= patience {
			return true
		}
		time.Sleep(pause)
	}
	return false
}

func locked(path string, readOnly bool) bool {
	how := unix.LOCK_EX
	if readOnly {
		how = unix.LOCK_SH
	}
	d, err := os.Open(path)
	if err != nil {
		return false
	}
	defer d.Close()
	return errors.Is(unix.Flock(int(d.Fd()), how|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// lockHolder reads the process id that Badger leaves in its lock file.
func lockHolder(path string) int {
	text, err := os.ReadFile(filepath.Join(path, "LOCK"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// badgerLog passes on what Badger has to say; its chatter only in detail.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(f string, a ...any) {
	l.log.Error("store: " + strings.TrimSpace(fmt.Sprintf(f, a...)))
}

// Warningf passes a warning on. That a search looked further back than the cache reaches is none.
func (l badgerLog) Warningf(f string, a ...any) {
	level := slog.LevelWarn
	if strings.HasPrefix(f, "%s might be too small") || strings.HasPrefix(f, "Cache life expectancy") {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "store: "+strings.TrimSpace(fmt.Sprintf(f, a...)))
}
func (l badgerLog) Infof(string, ...any)  {}
func (l badgerLog) Debugf(string, ...any) {}
