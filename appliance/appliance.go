package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"netaudit/api"
	"netaudit/appliance/recorder"
	"netaudit/attribution/kernel/hook"
	"netaudit/attribution/party"
	"netaudit/attribution/resolve"
	"netaudit/dissect"
	"netaudit/ledger"
	"netaudit/ledger/proof"
	"netaudit/ledger/report"
	"netaudit/tap"
)

// Version is set by the build (-ldflags -X).
var Version = "dev"

// Appliance is a running netaudit: it captures, attributes, seals and serves until its context ends.
type Appliance struct {
	config    Config
	log       *slog.Logger
	parties   *party.Catalogue
	resolver  *resolve.Resolver // nil at a mirror port: no processes can be seen
	hook      *hook.Hook        // nil: the kernel records no callers
	ledger    *ledger.Ledger
	verifier  *api.Verifier
	addresses *addressBook
	watchers  []*watcher
	recorders []*recorder.Recorder // one a watcher, same index
	started   time.Time
	forget    func() error // removes what pages announced
}

// Access is what a newcomer needs to open the pages.
type Access struct {
	URL   string // of the Trust Report
	Login string // URL that logs in once

	SealKey proof.SealKey // of a log that began now, for its owner to keep elsewhere; else zero
}

// Run starts the appliance and blocks until ctx ends or something fails that it cannot go on without. ready is called
// once, when packets are being captured and pages served. On the way out every open flow is written, the ledger is flushed
// and its checkpoint signed. When the ledger turns out to be damaged on the way, everything begins anew over a new log, and ready is called again: the watching must not stop.
func Run(ctx context.Context, c Config, log *slog.Logger, ready func(Access)) error {
	if err := c.Check(); err != nil {
		return err
	}
	for {
		watched := false
		err := watch(ctx, c, log, func(a Access) {
			watched = true
			ready(a)
		})
		if !watched || ctx.Err() != nil || !errors.As(err, new(*ledger.DamagedError)) {
			return err
		}
		log.Error("the ledger is damaged; beginning anew", "error", err)
	}
}

// watch is one life of the appliance over one log.
func watch(ctx context.Context, c Config, log *slog.Logger, ready func(Access)) error {
	a := &Appliance{config: c, log: log, started: time.Now()}
	var err error
	if a.parties, err = party.Load(c.PartyFiles...); err != nil {
		return fmt.Errorf("load the catalogue of parties: %w", err)
	}
	// Capture before ledger: without rights nothing on disk is touched.
	sources, err := a.openSources()
	if err != nil {
		return err
	}
	defer closeSources(sources, log)
	if a.ledger, err = ledger.Open(c.State, ledger.Options{Create: true, Continue: true, Logger: log, Witnesses: c.Witnesses}); err != nil {
		return err
	}
	a.verifier = api.NewVerifier(a.ledger)
	if err := a.wire(sources); err != nil {
		return errors.Join(err, a.closeHook(), a.ledger.Close())
	}
	return errors.Join(a.serveAndWatch(ctx, ready), a.closeHook(), a.closeLedger())
}

func (a *Appliance) closeLedger() error {
	if err := a.ledger.Close(); err != nil {
		return fmt.Errorf("close the ledger: %w", err)
	}
	return nil
}

// emit hands a row to the ledger. It blocks while the ledger's queue is full: the kernel's capture buffer then takes the
// strain, and what it cannot hold is counted and becomes a gap row. While the ledger cannot write nothing waits: the ledger counts what it cannot take and
// writes a gap row afterwards.
func (a *Appliance) emit(e ledger.Event) {
	if err := a.ledger.Append(context.Background(), e); err != nil && !errors.Is(err, ledger.ErrNotTaken) {
		a.log.Error("a row could not be taken into the ledger", "kind", e.Kind, "error", err)
	}
}

// wire joins every source to its own engine and recorder; the engines share the cache of names.
func (a *Appliance) wire(sources []liveSource) error {
	networks, err := a.config.localNetworks()
	if err != nil {
		return err
	}
	a.addresses = &addressBook{netnsPath: a.config.NetNS, networks: networks, mirror: a.config.Install == InstallMirror}
	if err := a.addresses.refresh(); err != nil {
		return err
	}
	if a.config.Install != InstallMirror {
		a.openHook()
		a.resolver, err = resolve.New(resolve.Config{AddonsPaths: a.config.AddonsPaths, Logger: a.log, Follow: true, Hook: a.hook, Failed: (&failureLog{log: a.log}).attribution})
		if err != nil {
			return fmt.Errorf("prepare attribution: %w", err)
		}
	}
	inode, err := netNSInode(a.config.NetNS)
	if err != nil {
		return err
	}
	key, err := fingerprintKey(a.config.State)
	if err != nil {
		return err
	}
	names, failures := dissect.NewNames(0), &failureLog{log: a.log}
	for i, s := range sources {
		runID := strconv.FormatInt(a.started.UnixMilli(), 36) + "-" + strconv.Itoa(i)
		rc := recorder.Config{Parties: a.parties, Emit: a.emit, NetNS: inode, RunID: runID, Logger: a.log}
		if a.resolver != nil {
			rc.Asker = a.resolver
		}
		if a.config.Redaction == RedactionStrict {
			rc.Strict = recorder.NewRedaction(key)
		}
		r, err := recorder.New(rc)
		if err != nil {
			return err
		}
		engine := dissect.New(dissect.Config{Local: a.addresses.isLocal, FingerprintKey: key, Names: names, RunID: runID, Failed: failures.dissection}, r)
		a.watchers = append(a.watchers, &watcher{name: s.name, source: s.source, engine: engine, emit: a.emit, log: a.log})
		a.recorders = append(a.recorders, r)
	}
	return nil
}

// serveAndWatch runs everything until ctx ends. Order on the way out: watchers write their open flows, attribution answers
// what was asked, then the last heartbeat and the stop row are written.
func (a *Appliance) serveAndWatch(ctx context.Context, ready func(Access)) (err error) {
	a.announceStart()
	listener, err := net.Listen("tcp", a.config.Listen)
	if err != nil {
		return fmt.Errorf("serve the pages on %s (choose another address with --listen): %w", a.config.Listen, err)
	}
	handler, access, err := a.pages(listener.Addr())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, a.forget()) }()
	resolving, stopResolving := context.WithCancel(context.WithoutCancel(ctx))
	defer stopResolving()
	var attributionDone errgroup.Group
	if a.resolver != nil {
		attributionDone.Go(func() error { return ignoreCancel(a.resolver.Run(resolving)) })
	}
	heart := newPulse(a)
	group, watching := errgroup.WithContext(ctx)
	for _, w := range a.watchers {
		group.Go(func() error { return w.run(watching) })
	}
	group.Go(func() error { StaySmall(watching, int64(a.config.MemoryMB)<<20); return nil })
	group.Go(func() error { heart.run(watching); return nil })
	group.Go(func() error { a.retain(watching); return nil })
	group.Go(func() error { return serveHTTP(watching, listener, handler) })
	group.Go(func() error { return a.ledgerFailure(watching) })
	group.Go(func() error { a.verifier.Run(watching, a.log); return nil })
	ready(access)
	err = group.Wait()
	stopResolving()
	err = errors.Join(err, attributionDone.Wait())
	heart.beat()
	a.emit(lifecycleEvent("stop", "netaudit stopped; what happens from here on is not seen.", time.Now()))
	return err
}

// announceStart writes what the ledger's reader needs to know about the beginning: recovery, downtime, start.
func (a *Appliance) announceStart() {
	now := time.Now()
	if last, ok := a.lastLogged(); ok {
		a.emit(gapEvent("downtime", "", last, now, 0))
	}
	if r := a.ledger.Recovery(); r.Status == "recovered" {
		a.emit(lifecycleEvent(r.Status, r.Detail, now))
	}
	for _, name := range a.config.Acknowledged {
		e := lifecycleEvent("acknowledged", "The configuration acknowledges that "+name+" was damaged: it is no alarm any more.", now)
		e.Kind = "config"
		a.emit(e)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	var names []string
	for _, w := range a.watchers {
		names = appendNew(names, w.name)
	}
	message := fmt.Sprintf("netaudit %s started on %s as %s install, watching %v.", Version, host, a.config.Install, names)
	a.emit(lifecycleEvent("start", message, now))
}

// lastLogged is when the ledger took its newest row.
func (a *Appliance) lastLogged() (time.Time, bool) {
	size := a.ledger.Size()
	if size == 0 {
		return time.Time{}, false
	}
	row, err := a.ledger.Row(size - 1)
	if err != nil {
		return time.Time{}, false
	}
	e, err := ledger.ParseEvent(row.JSON)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(0, e.Logged), true
}

func (a *Appliance) ledgerFailure(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-a.ledger.Failed():
		return fmt.Errorf("the ledger stopped taking rows: %w; start netaudit again, it recovers by itself", a.ledger.Err())
	}
}

// serveHTTP serves until ctx ends, then lets running requests finish for a moment.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		err := srv.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		stopped <- err
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the pages: %w", err)
	}
	return <-stopped
}

func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// rules are what the verdict needs to know besides the rows.
func (a *Appliance) rules() report.Rules {
	r := RulesFor(a.parties, a.config.Install)
	r.Acknowledged = a.config.Acknowledged
	return r
}

// RulesFor takes the declared license traffic from the catalogue of parties.
func RulesFor(c *party.Catalogue, install string) report.Rules {
	l := c.License()
	return report.Rules{LicenseAddons: l.Addons, LicenseHosts: l.Hosts, DailyBudget: l.DailyBudget, Install: install}
}

// liveSource is an open source and the name of its interface.
type liveSource struct {
	name   string
	source tap.Source
}

func closeSources(list []liveSource, log *slog.Logger) {
	for _, s := range list {
		if err := s.source.Close(); err != nil {
			log.Warn("closing a capture", "interface", s.name, "error", err)
		}
	}
}
