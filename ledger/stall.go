package ledger

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// ErrNotTaken says that a row was not taken: the ledger cannot write at the moment and its queue is full. The row is counted, and a gap row will say so.
var ErrNotTaken = errors.New("the ledger cannot write at the moment and its queue is full: the row is counted in a gap row")

// stall says since when and why the ledger cannot write. Rows wait in the queue meanwhile, which is bounded; those that do not fit are counted. Safe for concurrent use.
type stall struct {
	mu      sync.Mutex
	why     error
	began   chan struct{} // closed while the ledger cannot write
	lost    uint64        // rows that were not taken and stand in no gap row yet
	first   time.Time     // when the first of them came
	allLost uint64
}

// during is closed while the ledger cannot write.
func (s *stall) during() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began == nil {
		s.began = make(chan struct{})
	}
	return s.began
}

func (s *stall) begin(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began == nil {
		s.began = make(chan struct{})
	}
	if s.why == nil {
		close(s.began)
	}
	s.why = why
}

func (s *stall) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why, s.began = nil, nil
}

func (s *stall) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// lose counts a row that was not taken.
func (s *stall) lose(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == 0 {
		s.first = now
	}
	s.lost++
	s.allLost++
}

// takeLost hands over how many rows were lost and since when, for a gap row.
func (s *stall) takeLost() (n uint64, first time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, s.lost = s.lost, 0
	return n, s.first
}

// Lost is how many rows were not taken since Open because the queue was full. Each stands in the count of a gap row.
func (l *Ledger) Lost() uint64 {
	l.stall.mu.Lock()
	defer l.stall.mu.Unlock()
	return l.stall.allLost
}

// gapRow says that rows, or the writing of rows, fell out.
func gapRow(reason, message string, start, end time.Time, lost uint64) *Event {
	return &Event{
		Kind: "gap", Start: start.UnixNano(), End: end.UnixNano(), DurationUS: end.Sub(start).Microseconds(),
		Gap: &Gap{Reason: reason, Count: int64(lost)}, Message: message,
	}
}

// countOverflow puts a gap row behind the batch when rows were not taken because the queue was full.
func (s *sequencer) countOverflow() {
	if n, first := s.l.stall.takeLost(); n > 0 {
		now := s.l.options.Clock()
		s.waiting = append(s.waiting, gapRow("queue_overflow", fmt.Sprintf("%d rows came faster than the ledger could write and were not taken.", n), first, now, n))
	}
}

// step does one step of a commit.
func (l *Ledger) step(name string, do func() error) error {
	fault := l.options.fault
	if fault == nil {
		return do()
	}
	if err := fault(name, false); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return fault(name, true)
}

// How long the sequencer waits before it tries again to write.
const (
	shortestWait = 50 * time.Millisecond
	longestWait  = 2 * time.Second
)

// goOn is called after a commit failed. It tries until the batch is written, the log proves to be damaged, or the ledger is closed; the returned error says which. It never repeats a commit whose outcome
// is not known: it closes the store, opens it again, and lets the recovery table decide what is there.
func (s *sequencer) goOn(cause error) error {
	since, before := s.l.options.Clock(), s.l.Size()
	s.l.log.Error("the ledger cannot write; rows wait", "error", cause)
	s.failed(cause)
	s.l.stall.begin(cause)
	for wait := shortestWait; ; wait = min(2*wait, longestWait) {
		select {
		case <-s.l.stopping:
			return errors.Join(cause, s.lastTry(cause, since))
		case <-time.After(wait):
		}
		err := s.tryAgain(cause, since)
		if err == nil {
			s.l.stall.end()
			if err := layBallast(s.l.dir); err != nil {
				s.l.log.Warn("no space could be put aside for the last words on a full disk", "error", err)
			}
			s.l.log.Info("the ledger writes again", "rows", s.l.Size()-before)
			return nil
		}
		if errors.As(err, new(*DamagedError)) {
			return err
		}
		s.failed(err)
		s.l.stall.begin(err)
	}
}

// failed notes whether the error leaves it open what is stored: a full disk was seen before anything was tried. A transaction that was too large for the store must not be tried as large again.
func (s *sequencer) failed(err error) {
	if errors.Is(err, badger.ErrTxnTooBig) {
		s.full /= 2
	}
	if !errors.As(err, new(*FullError)) {
		s.doubt = true
	}
}

// lastTry is made when the ledger is closed while it cannot write.
func (s *sequencer) lastTry(cause error, since time.Time) error {
	if s.tryAgain(cause, since) == nil {
		return nil
	}
	rows := len(s.waiting)
	for {
		select {
		case r := <-s.l.queue:
			if r.event != nil {
				rows++
			}
		default:
			return fmt.Errorf("%d rows could not be written", rows)
		}
	}
}

// tryAgain writes the batch and a gap row that tells of the time since the first failure.
func (s *sequencer) tryAgain(cause error, since time.Time) error {
	var full *FullError
	if errors.As(cause, &full) {
		if err := s.spaceAgain(); err != nil {
			return err
		}
	}
	if s.doubt {
		if err := diskGuard(s.l.dir); err != nil { // opening the store needs space too
			return err
		}
		if err := s.reopen(); err != nil {
			return err
		}
	}
	if err := s.commitAll(); err != nil {
		return err
	}
	lost, _ := s.l.stall.takeLost()
	now := s.l.options.Clock()
	reason := "store_error"
	if full != nil || errors.Is(cause, unix.ENOSPC) {
		reason = "disk_full"
	}
	message := fmt.Sprintf("Nothing could be written for a while (%v); %d rows were lost.", cause, lost)
	s.waiting = append(s.waiting, gapRow(reason, message, since, now, lost))
	return s.commitAll()
}

// reopen closes the store and opens it again. Of the batch, what the recovery found to be stored is done; the rest is still to be written.
func (s *sequencer) reopen() error {
	before := uint64(s.tree.size)
	if err := s.l.db.suspend(); err != nil {
		s.l.log.Warn("the store did not close well", "error", err)
	}
	if err := s.l.openAndCompare(); err != nil {
		return err
	}
	fresh, err := newSequencer(s.l)
	if err != nil {
		return errors.Join(err, s.l.db.suspend())
	}
	stored := s.l.Size() - before
	if s.l.Size() < before || stored > uint64(len(s.waiting)) {
		return s.l.damaged("badger", fmt.Sprintf("the store holds %d rows, where %d to %d were written", s.l.Size(), before, before+uint64(len(s.waiting))))
	}
	fresh.waiting, fresh.wait, fresh.full = s.waiting[stored:], s.wait, s.full
	*s = *fresh
	return nil
}
