package ledger

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// request is a row, a wish to know when everything before is durable, or the end.
type request struct {
	event   *Event
	flushed chan error
	drop    *dayRange // a day whose rows are to be taken away, after everything before; flushed is told
	stop    bool
}

// sequencer gives rows their numbers and seals them. One goroutine owns it.
type sequencer struct {
	l       *Ledger
	tree    *tree
	chain   [32]byte // row hash of the newest row
	logged  int64    // its ingest time; time never goes back in the log
	minute  uint64   // newest minute in the time index
	days    []dayRange
	salts   [16 * 64]byte // random bytes in stock
	used    int
	waiting []*Event // rows that came, in order
	wait    []chan error
	hour    *hourTotals
	block   *openBlock
	group   *groupWriter
	text    []byte     // scratch
	full    int        // bytes; see fullBatch
	noted   time.Time  // when the store's tables had last been summed
	synced  time.Time  // when the store's directory had last changed before it was synced
	doubt   bool       // after an error it is not known what is stored: the store must be opened anew before anything is written
	seals   *sealState // nil for logs from before there were seals
}

func newSequencer(l *Ledger) (*sequencer, error) {
	s := &sequencer{l: l, chain: l.id.chainStart(), noted: time.Now(), full: cmp.Or(l.options.full, fullBatch)}
	s.used = len(s.salts)
	size := l.Size()
	var err error
	if s.group, err = newGroupWriter(l.id.layout.groups); err != nil {
		return nil, err
	}
	err = l.db.View(func(txn *badger.Txn) (err error) {
		if s.tree, err = l.id.layout.loadTree(txn, int64(size)); err != nil {
			return err
		}
		s.days = l.state.Load().days
		if size == 0 {
			return nil
		}
		row, err := l.row(txn, size-1)
		if err != nil {
			return err
		}
		e, err := ParseEvent(row.JSON)
		if err != nil {
			return err
		}
		s.chain, s.logged, s.minute = row.Chain, e.Logged, uint64(e.Logged/int64(time.Minute))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the end of the log: %w", err)
	}
	if l.id.sealKey != "" {
		if s.seals, err = loadSealState(l.dir, l.id); err != nil {
			return nil, err
		}
		if err := s.sealsFit(size); err != nil {
			return nil, err
		}
		l.lastSeal.Store(s.seals.last)
	}
	if err := l.finishDrops(); err != nil {
		return nil, err
	}
	if err := errors.Join(l.ensure(totalsMark, l.RebuildTotals), l.ensure(indexMark, l.RebuildIndex)); err != nil {
		return nil, err
	}
	if s.block, err = l.loadBlock(context.Background(), size); err != nil {
		return nil, fmt.Errorf("read the index of the newest rows: %w", err)
	}
	err = l.db.View(func(txn *badger.Txn) (err error) {
		s.hour, err = loadHour(txn, s.logged/nanosPerHour)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.totalled.Store(true)
	l.closed.Store(s.hour.hour)
	// Days that passed while nobody ran are sealed before anything else happens.
	return s, s.sealDays(s.now())
}

// run collects rows into batches and commits them. A batch ends when it is full, when its oldest row waited MaxDelay, or
// when somebody flushes.
func (s *sequencer) run() {
	defer close(s.l.finished)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		var r request
		select {
		case r = <-s.l.queue:
		case <-timer.C:
			r = request{flushed: make(chan error, 1)}
		}
		switch {
		case r.event != nil:
			if len(s.waiting) == 0 {
				timer.Reset(s.l.options.MaxDelay)
			}
			s.waiting = append(s.waiting, r.event)
			if len(s.waiting) < s.l.options.MaxBatch {
				continue
			}
		case r.flushed != nil:
			s.wait = append(s.wait, r.flushed)
		}
		timer.Stop()
		s.countOverflow()
		answer, err := s.commitOrRecover(r.drop)
		for _, w := range s.wait {
			w <- answer
		}
		s.wait = s.wait[:0]
		if err != nil {
			s.l.failure.Store(&err)
			close(s.l.failed)
			return
		}
		if r.stop {
			return
		}
	}
}

// commitOrRecover commits the batch and takes a day's rows away, if that is asked for. answer is for who waits; err ends the sequencer.
func (s *sequencer) commitOrRecover(drop *dayRange) (answer, err error) {
	if err := s.commitAll(); err != nil {
		if err = s.goOn(err); err != nil {
			return err, err
		}
	}
	if drop == nil {
		return nil, nil
	}
	if answer = s.drop(*drop); answer != nil {
		err = s.goOn(answer) // the next start, or this recovery, takes the rest of the day away
	}
	return answer, err
}

// commitAll commits the batch, in several transactions if its rows are large.
func (s *sequencer) commitAll() error {
	for len(s.waiting) > 0 {
		err := diskGuard(s.l.dir)
		var full *FullError
		if errors.As(err, &full) {
			return s.lastWords(full)
		}
		if err != nil {
			return err
		}
		if err := s.commit(); err != nil {
			return err
		}
	}
	return nil
}

// commit seals as many rows as fit into one transaction. After any error it is not known whether the transaction is on disk, and trying again could fork the log: goOn opens
// the store anew and decides by what is stored.
func (s *sequencer) commit() error {
	now := s.now()
	if err := s.l.step("seal", func() error { return s.sealDays(now) }); err != nil {
		return err
	}
	b, err := s.seal(now)
	if err != nil {
		return err
	}
	g, err := s.tree.grow(b.leaves)
	if err != nil {
		return err
	}
	signed, err := signCheckpoint(s.l.id, uint64(g.size), g.root)
	if err != nil {
		return err
	}
	var days []dayRange
	err = s.l.step("store", func() (err error) {
		days, err = s.write(b, g, signed)
		return err
	})
	if err != nil {
		return fmt.Errorf("commit rows %d to %d: %w", s.tree.size, g.size-1, err)
	}
	if err := s.l.step("directory", s.syncStore); err != nil {
		return err
	}
	// If we crash here, the store holds more than the anchor says: recovery proves the difference and anchors it.
	if err := s.l.step("anchor", func() error { return writeDurably(anchorPath(s.l.dir), signed, 0o644) }); err != nil {
		return fmt.Errorf("anchor the checkpoint of %d rows: %w", g.size, err)
	}
	s.tree.adopt(g)
	s.chain, s.days, s.hour = b.chain, days, b.hour
	s.l.closed.Store(now / nanosPerHour)
	s.waiting = slices.Delete(s.waiting, 0, len(b.leaves))
	checkpoint := Checkpoint{Size: uint64(g.size), Root: g.root, Note: signed, Time: time.Unix(0, s.logged)}
	s.l.state.Store(&published{checkpoint: checkpoint, days: days, dropped: s.l.state.Load().dropped})
	return nil
}

// now is the time in the log: a clock that steps back must not reopen a day, neither one that has rows nor one that was sealed without any.
func (s *sequencer) now() int64 {
	now := max(s.l.options.Clock().UnixNano(), s.logged)
	if s.seals != nil {
		now = max(now, dayTime(s.seals.Day).UnixNano())
	}
	return now
}

// syncStore makes the names of new files of the store durable before anything in them is acknowledged: Badger v4.9.6 does not sync the directory when it begins a new write-ahead log.
func (s *sequencer) syncStore() error {
	path := badgerPath(s.l.dir)
	info, err := os.Stat(path)
	if err != nil || info.ModTime().Equal(s.synced) {
		return err
	}
	s.synced = info.ModTime() // before the sync: what comes meanwhile is synced the next time
	if time.Since(s.noted) > betweenSums {
		s.noted = time.Now()
		if err := noteTables(s.l.dir, path); err != nil {
			s.l.log.Warn("the next start reads some blocks of the store", "error", err)
		}
	}
	return syncDirectory(path)
}

// betweenSums is how long tables may have no sum while the log is written.
const betweenSums = 10 * time.Minute

// shorten takes away what may be long in a row that would not fit into a tile entry. What stays still says who, where and how much.
func shorten(e *Event) {
	if e.Evidence != nil {
		e.Evidence.Stack, e.Evidence.Candidates, e.Evidence.Conflicts = nil, nil, nil
		e.Evidence.Reason = "row was too long: stack left out"
	}
	if e.DNS != nil {
		e.DNS.MoreAnswers += int64(len(e.DNS.Answers))
		e.DNS.Answers = nil
	}
	if e.HTTP != nil {
		e.HTTP.Headers = nil
	}
	if e.TLS != nil && e.TLS.Cert != nil {
		e.TLS.Cert.SAN = nil
	}
	const longest = 4096
	for _, text := range []*string{&e.Message, &e.Tunnel, &e.Iface} {
		*text = (*text)[:min(len(*text), longest)]
	}
	if e.Addon != nil {
		e.Addon.Chain = e.Addon.Chain[:min(len(e.Addon.Chain), 32)]
	}
}

func (s *sequencer) salt() (string, error) {
	if s.used == len(s.salts) {
		if _, err := rand.Read(s.salts[:]); err != nil {
			return "", fmt.Errorf("make a salt: %w", err)
		}
		s.used = 0
	}
	salt := base64.RawURLEncoding.EncodeToString(s.salts[s.used : s.used+16])
	s.used += 16
	return salt, nil
}
