package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"netaudit/ledger/proof"
)

// Options tunes a Ledger. The zero value opens an existing one for writing.
type Options struct {
	Create   bool             // make the ledger if there is none
	Continue bool             // keep a damaged ledger aside and begin a new log that records the break, instead of failing
	Reindex  bool             // make index and sums anew
	ReadOnly bool             // no rows can be appended, nothing on disk changes
	Origin   string           // name of a new log; default netaudit/<host>-<8 hex>
	Logger   *slog.Logger     // nil: slog.Default
	MaxBatch int              // rows in one transaction at most, default 4096
	MaxDelay time.Duration    // how long a row waits for company, default 250 ms
	Queue    int              // rows that wait for the sequencer at most, default 8192
	Clock    func() time.Time // nil: time.Now

	Witnesses []string // public keys (C2SP vkeys) of those whose cosignatures are taken

	full  int                                // 0 but in tests: instead of fullBatch
	fault func(step string, done bool) error // nil but in tests: lets a step of a commit fail, before it or although it is done
}

// Row is one sealed row.
type Row struct {
	Seq   uint64
	JSON  []byte   // the exact bytes that are hashed
	Leaf  [32]byte // RFC 6962 leaf hash: SHA-256(0x00 || JSON)
	Chain [32]byte // row hash, which covers every row before it
}

// Checkpoint is the signed state of the log.
type Checkpoint struct {
	Size uint64
	Root [32]byte
	Note []byte    // C2SP signed note
	Time time.Time // when it was signed, as far as this process knows
}

// Recovery is what Open had to do.
type Recovery struct {
	Status string // created, clean, recovered (rows after the anchor were proved and anchored), restarted (a damaged log was kept aside)
	Rows   uint64 // rows that were anchored anew
	Detail string // one sentence

	// SealKey is the key of a new log's first day, for its owner to keep elsewhere; the zero value for a log that was there. It is shown once: tomorrow nobody on this host can know it.
	SealKey proof.SealKey
}

// Ledger is an open log. All methods are safe for concurrent use; rows are written by one goroutine, the sequencer.
type Ledger struct {
	dir     string
	options Options
	id      *identity
	db      *store
	log     *slog.Logger

	begun *beginning // of the log, while its first row is not written

	queue    chan request
	finished chan struct{} // closed when the sequencer has ended
	failed   chan struct{} // closed when the sequencer gave up
	stopping chan struct{} // closed by Close
	stall    stall

	witnesses witnesses

	mu       sync.Mutex // guards closing against appending, and recovery
	closing  bool
	recovery Recovery

	failure  atomic.Pointer[error]
	lastSeal atomic.Pointer[proof.Seal]
	state    atomic.Pointer[published]

	totalled atomic.Bool  // sums and facts are complete
	closed   atomic.Int64 // hours before get no more rows
	hours    hourCache
	called   calledFirst
}

// published is what readers see: only rows that are committed and anchored.
type published struct {
	checkpoint Checkpoint
	days       []dayRange
	dropped    []dayRange // days whose rows retention has taken away, oldest first
}

// dayRange is a day (days since the Unix epoch, UTC, of the ingest time) and its rows.
type dayRange struct {
	day         uint32
	first, last uint64
}

// Open opens the ledger in a state directory, after checking that what is stored agrees with the anchor. It returns a
// *LockedError, *VersionError, *DamagedError, *FullError, or ErrNoLedger. On error nothing was lost: what opening changed of an unfinished store is kept as it was found.
func Open(dir string, o Options) (*Ledger, error) {
	o.defaults()
	l := &Ledger{
		dir: dir, options: o, log: o.Logger, queue: make(chan request, o.Queue),
		failed: make(chan struct{}), finished: make(chan struct{}), stopping: make(chan struct{}),
	}
	s, err := l.start(l.openOrCreate)
	var damaged *DamagedError
	if errors.As(err, &damaged) && o.Continue && !o.ReadOnly {
		s, err = l.start(func() error { return l.restart(damaged) })
	}
	if err != nil {
		return nil, err
	}
	if o.ReadOnly {
		close(l.finished)
	} else {
		go s.run()
	}
	return l, nil
}

// start opens the store and prepares the sequencer; nil for a log that is only read.
func (l *Ledger) start(open func() error) (s *sequencer, err error) {
	defer func() {
		if err != nil && l.db != nil {
			err = errors.Join(err, l.db.Close())
		}
	}()
	if err := open(); err != nil {
		return nil, err
	}
	if err := l.openWitnesses(); err != nil {
		return nil, err
	}
	if l.options.ReadOnly {
		l.closed.Store(allHours)
		return nil, errors.Join(l.readLastSeal(), l.readTotalled())
	}
	return l.startSequencer()
}

func (l *Ledger) startSequencer() (*sequencer, error) {
	s, err := newSequencer(l)
	if err != nil {
		return nil, err
	}
	if err := s.recordBeginning(); err != nil {
		return nil, err
	}
	return s, errors.Join(layBallast(l.dir), forgetWriteAheadLogs(l.dir), forgetUnfinished(l.dir))
}

func (o *Options) defaults() {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MaxBatch <= 0 {
		o.MaxBatch = 4096
	}
	if o.MaxDelay <= 0 {
		o.MaxDelay = 250 * time.Millisecond
	}
	if o.Queue <= 0 {
		o.Queue = 8192
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
}

func (l *Ledger) openOrCreate() error {
	if !l.options.ReadOnly {
		if b := interrupted(l.dir); b != nil {
			return l.finishBeginning(b)
		}
	}
	_, err := os.Stat(genesisPath(l.dir))
	if errors.Is(err, fs.ErrNotExist) {
		if err := refuseOrphan(l.dir); err != nil {
			return err
		}
		if !l.options.Create || l.options.ReadOnly {
			return fmt.Errorf("%s: %w", l.dir, ErrNoLedger)
		}
		return l.begin(beginning{Moved: true})
	}
	if err != nil {
		return fmt.Errorf("look for a ledger: %w", err)
	}
	return l.recover()
}

// refuseOrphan keeps a new log from being begun over the remains of one whose genesis record is gone.
func refuseOrphan(dir string) error {
	if interrupted(dir) != nil {
		return nil
	}
	for _, path := range []string{anchorPath(dir), vkeyPath(dir)} {
		if _, err := os.Stat(path); err == nil {
			return &DamagedError{Dir: dir, Where: "anchor/genesis.json", Detail: "it is missing, but " + path + " is there"}
		}
	}
	return nil
}

// Append takes a row. It blocks while the queue is full, until ctx ends or the ledger fails; while the ledger cannot write it does not block but gives ErrNotTaken. The row is durable after the next Flush,
// or by itself within Options.MaxDelay.
func (l *Ledger) Append(ctx context.Context, e Event) error {
	return l.send(ctx, request{event: &e})
}

// TryAppend takes a row if there is room in the queue. A row that it does not take is counted in a gap row.
func (l *Ledger) TryAppend(e Event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing || l.options.ReadOnly {
		return false
	}
	select {
	case l.queue <- request{event: &e}:
		return true
	default:
		l.stall.lose(l.options.Clock())
		return false
	}
}

// Flush returns when every row appended before is committed and anchored.
func (l *Ledger) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	if err := l.send(ctx, request{flushed: done}); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-l.finished:
		select {
		case err := <-done:
			return err
		default:
			return l.errOr(ErrClosed)
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Ledger) send(ctx context.Context, r request) error {
	l.mu.Lock()
	closing := l.closing || l.options.ReadOnly
	l.mu.Unlock()
	if closing {
		return ErrClosed
	}
	select {
	case l.queue <- r:
		return nil
	default:
	}
	var stalled <-chan struct{}
	if r.event != nil {
		stalled = l.stall.during()
	}
	select {
	case l.queue <- r:
		return nil
	case <-stalled:
		l.stall.lose(l.options.Clock())
		return ErrNotTaken
	case <-l.finished:
		return l.errOr(ErrClosed)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Failed is closed when the ledger gave up: what is stored contradicts itself. It then takes no rows; opening it anew with Options.Continue keeps it aside and begins a new log. A ledger that only cannot
// write goes on by itself, see Err.
func (l *Ledger) Failed() <-chan struct{} { return l.failed }

// Err returns what failed, or why nothing can be written at the moment, or nil.
func (l *Ledger) Err() error {
	if p := l.failure.Load(); p != nil {
		return *p
	}
	return l.stall.err()
}

func (l *Ledger) errOr(other error) error {
	if err := l.Err(); err != nil {
		return err
	}
	return other
}

// Close writes what was appended, anchors it, and gives the ledger free. It may be called twice.
func (l *Ledger) Close() error {
	l.mu.Lock()
	again := l.closing
	l.closing = true
	l.mu.Unlock()
	if again {
		return nil
	}
	close(l.stopping)
	if l.options.ReadOnly {
		return l.db.Close()
	}
	select {
	case l.queue <- request{stop: true}:
	case <-l.finished:
	}
	<-l.finished
	if err := l.db.Close(); err != nil {
		return errors.Join(l.Err(), fmt.Errorf("close the store: %w", err))
	}
	if err := noteTables(l.dir, badgerPath(l.dir)); err != nil {
		l.log.Warn("the next start reads every block of the store", "error", err)
	}
	return l.Err()
}

// Size is the number of rows that are committed and anchored.
func (l *Ledger) Size() uint64 { return l.state.Load().checkpoint.Size }

// Origin is the log's name.
func (l *Ledger) Origin() string { return l.id.origin }

// VerifierKey is the log's public key as a C2SP vkey.
func (l *Ledger) VerifierKey() string { return l.id.vkey }

// Checkpoint returns the newest anchored checkpoint.
func (l *Ledger) Checkpoint() Checkpoint { return l.state.Load().checkpoint }

// Recovery says what Open had to do.
func (l *Ledger) Recovery() Recovery {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recovery
}

func (l *Ledger) recovered(r Recovery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recovery = r
}
