// Package resolve answers who opened a socket: it asks the kernel for the inode, finds the process and the thread that waits on the socket, reads
// that thread's Python stack from outside and names the Odoo addon. It never guesses: what it cannot witness is said to be
// unknown, with the reason.
//
// Questions come from the capture's goroutine and never block it; workers answer them, because a witness may need several looks
// while the connection is being made.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"netaudit/attribution"
	"netaudit/attribution/kernel"
	"netaudit/attribution/kernel/hook"
	"netaudit/attribution/odoo"
)

// Config tunes a Resolver. The zero value works.
type Config struct {
	AddonsPaths []string     // extra addons directories; those of the processes are found
	Logger      *slog.Logger // nil: slog.Default
	Workers     int          // default 4: a worker sleeps most of the time
	Follow      bool         // meet processes when they begin, not when they call: for a Resolver that runs for long
	Hook        *hook.Hook   // calls that the kernel recorded; nil: threads are only searched for. Run does its work, its owner closes it after Run
	Queue       int          // questions that wait at most, default 1024; as many again about accepted connections

	Failed func(Failure) // told of panics that are survived, from any goroutine; nil: none is
}

// Resolver answers questions. Ask, AskUser, AskInbound, AskServing and Stats are safe for concurrent use; Run is called once.
type Resolver struct {
	config    Config
	questions chan question // about connections
	accepted  chan question // about accepted ones and their requests: they may take long, and have workers of their own
	holders   kernel.Holders
	processes kernel.Descriptions
	manifests odoo.Manifests
	installs  installations
	loaded    loadedCode
	stacks    stackCache
	routes    routes
	jobs      jobs
	looks     *rate.Limiter
	holding   acceptedBy
	diags     diagCache

	background sync.WaitGroup // looks at processes that have just begun

	closing sync.RWMutex // held for reading while a question is queued
	closed  bool

	answering atomic.Int32 // workers that have a question
	stats     statistics
}

type question struct {
	tuple attribution.Tuple
	about subject
	asked time.Time

	used    time.Time   // of a user: the first packet of its use
	request string      // of a server: method and route
	over    func() bool // nil, or says that the answer would come too late
	done    func(attribution.Owner)
}

// subject is what a question is about.
type subject int

const (
	caller   subject = iota // who opened the connection
	user                    // who uses it now
	acceptor                // who accepted it
	server                  // whose code answers the request that it carries
)

// Stats counts answers since the start.
type Stats struct {
	Asked, QueueFull uint64
	EventsLost       uint64 // how often the kernel told of processes faster than could be read; all were looked at anew then
	EndedEarly       uint64 // Python processes that were over before the kernel could be told to record them
	Hook             hook.Stats
	BySource         map[string]uint64
	P50, P99         time.Duration // from question to answer, of the latest answers
}

// New returns a Resolver; its answers begin when Run is called.
func New(c Config) (*Resolver, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Workers <= 0 {
		c.Workers = 4
	}
	if c.Queue <= 0 {
		c.Queue = 1024
	}
	r := &Resolver{config: c, questions: make(chan question, c.Queue), accepted: make(chan question, c.Queue), looks: rate.NewLimiter(lookRate, lookBurst)}
	r.stacks.hook, r.stacks.log = c.Hook, c.Logger
	r.stats.bySource = map[string]uint64{}
	return r, nil
}

// Run answers questions until ctx ends. Every question that was taken is answered, the last ones with what a single look shows.
func (r *Resolver) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	for range r.config.Workers {
		workers.Go(func() { r.work(ctx, r.questions) })
	}
	for range acceptedWorkers {
		workers.Go(func() { r.work(ctx, r.accepted) })
	}
	var hookErr, eventsErr error
	if r.config.Hook != nil {
		workers.Go(func() { hookErr = r.config.Hook.Run(ctx) })
	}
	if r.config.Follow {
		workers.Go(func() { eventsErr = r.followProcesses(ctx) })
	}
	<-ctx.Done()
	r.closing.Lock()
	r.closed = true
	close(r.questions)
	close(r.accepted)
	r.closing.Unlock()
	workers.Wait()
	r.background.Wait()
	r.stacks.close()
	return errors.Join(hookErr, eventsErr, r.diags.close(), r.processes.Close())
}

func (r *Resolver) work(ctx context.Context, questions <-chan question) {
	for q := range questions {
		r.answering.Add(1)
		o := r.answerAnyway(ctx, q)
		o.Evidence.Latency = time.Since(q.asked)
		r.stats.add(o)
		q.done(o)
		r.answering.Add(-1)
	}
}

// Ask asks who opened the socket at the local end. It never blocks; false means that the queue is full and done will not be called. Otherwise
// done is called exactly once, from a worker.
func (r *Resolver) Ask(t attribution.Tuple, done func(attribution.Owner)) bool {
	return r.ask(r.questions, question{tuple: t, about: caller, asked: time.Now(), done: done})
}

// AskUser asks who uses a connection now, that was opened before and was quiet until this moment: who sent the packet of that time, or else the thread that waits on the socket, which need not be the one that opened it. It
// behaves like Ask.
func (r *Resolver) AskUser(t attribution.Tuple, used time.Time, done func(attribution.Owner)) bool {
	return r.ask(r.questions, question{tuple: t, about: user, asked: time.Now(), used: used, done: done})
}

// AskInbound asks who serves an accepted connection: the process is named, no Python stack is claimed.
func (r *Resolver) AskInbound(t attribution.Tuple, done func(attribution.Owner)) bool {
	return r.ask(r.accepted, question{tuple: t, about: acceptor, asked: time.Now(), done: done})
}

// AskServing asks, right after a request was seen on an accepted connection, whose code answers it: the addon of Odoo's controller, from the stack of the
// thread that serves this client. It looks until over says that the response has ended. Evidence.At is when the stack was read; the caller must compare it with the
// time of that end, of which over may learn late.
func (r *Resolver) AskServing(t attribution.Tuple, request string, over func() bool, done func(attribution.Owner)) bool {
	return r.ask(r.accepted, question{tuple: t, about: server, asked: time.Now(), request: request, over: over, done: done})
}

func (r *Resolver) ask(questions chan<- question, q question) bool {
	r.closing.RLock()
	defer r.closing.RUnlock()
	if r.closed {
		return false
	}
	idle := r.answering.Load() == 0
	select {
	case questions <- q:
		r.stats.asked.Add(1)
		if idle && q.about == caller {
			runtime.Gosched() // the worker goes on here at once: to wake another thread for it takes longer than to read the stack. When many call at once, capture goes first
		}
		return true
	default:
		r.stats.full.Add(1)
		return false
	}
}

// Stats returns the counters.
func (r *Resolver) Stats() Stats {
	s := r.stats.snapshot()
	s.EndedEarly = r.stacks.endedEarly()
	if r.config.Hook != nil {
		s.Hook = r.config.Hook.Stats()
	}
	return s
}

// acceptedWorkers is how many accepted connections are looked at at the same time; nearly all of them wait.
const acceptedWorkers = 32

// A connection has no inode until its server accepts it; a busy one lets it wait.
const (
	acceptPatience = time.Second
	acceptNap      = 300 * time.Microsecond
	longestNap     = 20 * time.Millisecond
)

// patience is how long a worker looks for the waiting thread: a handshake and the first part of a response. Between two looks it sleeps, a
// little longer each time.
const (
	patience       = 60 * time.Millisecond
	briefly        = 2 * time.Millisecond  // where the look only adds to what is known
	waiterPatience = 20 * time.Millisecond // for whoever gave the thread its work to begin waiting for it
	firstNap       = 100 * time.Microsecond
	longerNap      = 3 // numerator of the growth by 3/2
)

func unknown(reason string) attribution.Owner {
	return attribution.Owner{Evidence: attribution.Evidence{
		Source: attribution.SourceNone, Confidence: attribution.ConfidenceUnknown, Reason: reason,
	}}
}

// answer goes from socket to inode, process, thread, stack, addon, as far as there are witnesses.
func (r *Resolver) answer(ctx context.Context, q question) attribution.Owner {
	if o, ok := r.recorded(ctx, q); ok {
		return o
	}
	o := r.search(ctx, q)
	if o.Addon == nil && q.about == user { // on a busy host the record may come late
		if late, ok := r.recorded(ctx, q); ok {
			return late
		}
	}
	return o
}

// search looks for the process and the thread by the socket.
func (r *Resolver) search(ctx context.Context, q question) attribution.Owner {
	if q.inbound() {
		if a, ok := r.acceptedAlready(ctx, q.tuple); ok {
			w := &witness{r: r, q: q, socket: a.socket, holder: a.holder, process: a.process}
			return w.testify(ctx)
		}
	}
	socket, err := r.socket(ctx, q)
	if err != nil {
		return unknown(err.Error())
	}
	closed := false
	holder, ok := r.holders.Find(socket.Inode, r.stacks.pids, func() bool {
		closed = !r.open(q, socket)
		return !closed
	})
	switch {
	case closed:
		return unknown("the socket was closed before its process could be found")
	case !ok:
		return unknown("no visible process holds the socket")
	}
	p, err := r.processes.Describe(holder.PID)
	if err != nil {
		return unknown("the process ended")
	}
	if q.inbound() {
		r.holding.put(q.tuple, acceptance{socket, holder, p})
	}
	w := &witness{r: r, q: q, socket: socket, holder: holder, process: p}
	return w.testify(ctx)
}

// acceptedAlready is who holds the connection, if that was found out before: its first packet and its first request come at nearly the same time, and one search does for both. At its first
// packet nobody has accepted it.
func (r *Resolver) acceptedAlready(ctx context.Context, t attribution.Tuple) (acceptance, bool) {
	if a, ok := r.holding.get(t); ok {
		return a, true
	}
	pause(ctx, acceptNap)
	return r.holding.get(t)
}

// socket asks the kernel. A connection that nobody has accepted yet is waited for.
func (r *Resolver) socket(ctx context.Context, q question) (kernel.Socket, error) {
	diag, err := r.diags.get(q.tuple.NetNS)
	if err != nil {
		return kernel.Socket{}, err
	}
	s, err := diag.Lookup(q.tuple.Proto, q.tuple.Local, q.tuple.Remote)
	for nap := acceptNap; q.inbound() && q.waits(err) && (err != nil || s.Inode == 0 && acceptable(s.State)) && pause(ctx, nap); nap = min(nap*longerNap/2, longestNap) {
		s, err = diag.Lookup(q.tuple.Proto, q.tuple.Local, q.tuple.Remote)
	}
	switch {
	case err == nil && s.Inode != 0:
		return s, nil
	case err == nil && q.inbound():
		return s, errors.New("nobody had accepted the connection, or it was closed already")
	case err == nil:
		return s, errors.New("the socket was closed before it could be looked up")
	case errors.Is(err, kernel.ErrNoSocket):
		return s, errors.New("the socket was gone before it could be looked up")
	default:
		return s, fmt.Errorf("the kernel could not be asked: %w", err)
	}
}

// acceptable says whether a connection in this state may yet be accepted: one that its client has closed already may, one that this host has closed was accepted before.
func acceptable(state uint8) bool {
	const established, synReceived, closeWait, newSynReceived = 1, 3, 8, 12 // include/net/tcp_states.h
	return state == established || state == synReceived || state == closeWait || state == newSynReceived
}

// open says whether the socket is still there.
func (r *Resolver) open(q question, s kernel.Socket) bool {
	diag, err := r.diags.get(q.tuple.NetNS)
	if err != nil {
		return false
	}
	now, err := diag.Lookup(q.tuple.Proto, q.tuple.Local, q.tuple.Remote)
	return err == nil && now.Inode == s.Inode
}

// inbound says whether the question is about a connection that this host accepted.
func (q *question) inbound() bool { return q.about == acceptor || q.about == server }

// waits says whether an accepted connection is still worth waiting for, after a lookup that ended with err: one that the kernel does not know will hardly come back.
func (q *question) waits(err error) bool {
	patience := acceptPatience
	switch {
	case err != nil:
		patience = acceptPatience / 20
	case q.about == server:
		patience = servingPatience
	}
	return time.Since(q.asked) < patience && (q.over == nil || !q.over())
}

// pause sleeps; it returns false when ctx has ended, at once or after a millisecond.
func pause(ctx context.Context, d time.Duration) bool {
	if d < time.Millisecond { // Go's timers are no finer than that where nothing else is to be done: they are those of epoll_wait(2)
		t := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&t, nil) // a signal may end it early: whoever sleeps looks again
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// diagCache keeps one sock_diag handle a namespace.
type diagCache struct {
	mu    sync.Mutex
	known map[uint64]*kernel.Diag
}

func (c *diagCache) get(netns uint64) (*kernel.Diag, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.known[netns]; d != nil {
		return d, nil
	}
	path := ""
	if netns != 0 {
		var err error
		if path, err = kernel.FindNetNS(netns); err != nil {
			return nil, err
		}
	}
	d, err := kernel.OpenDiag(path)
	if err != nil {
		return nil, err
	}
	if c.known == nil {
		c.known = map[uint64]*kernel.Diag{}
	}
	c.known[netns] = d
	return d, nil
}

func (c *diagCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, d := range c.known {
		errs = append(errs, d.Close())
	}
	c.known = nil
	return errors.Join(errs...)
}

// statistics count answers; the latest latencies are kept for the percentiles.
type statistics struct {
	asked, full, eventsLost atomic.Uint64

	mu       sync.Mutex
	bySource map[string]uint64
	latest   [1024]time.Duration
	n        int
}

func (s *statistics) add(o attribution.Owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bySource[o.Evidence.Source]++
	s.latest[s.n%len(s.latest)] = o.Evidence.Latency
	s.n++
}

func (s *statistics) snapshot() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Asked: s.asked.Load(), QueueFull: s.full.Load(), EventsLost: s.eventsLost.Load(), BySource: map[string]uint64{}}
	for k, v := range s.bySource {
		out.BySource[k] = v
	}
	if n := min(s.n, len(s.latest)); n > 0 {
		sorted := slices.Clone(s.latest[:n])
		slices.Sort(sorted)
		out.P50, out.P99 = sorted[n/2], sorted[n*99/100]
	}
	return out
}

// ownPID is this process: a call of its own would be the worst finding.
var ownPID = os.Getpid()
