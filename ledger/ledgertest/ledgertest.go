// Package ledgertest fills real ledgers with the rows of an installation that could exist: an Odoo with a licence check, a mail desk, payment, shipping and a
// language model, over as many days and with as many calls as a test, a benchmark or a screenshot needs. The rows go through the ledger like any others: they are sealed,
// every day is, and the log verifies. The same Options give the same calls; salts and keys differ, as they must.
//
// The names are those of the demo and of documentation (RFC 2606, RFC 5737); nothing here was captured anywhere.
package ledgertest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"netaudit/ledger"
)

// Variants of an installation.
const (
	Calm    = "calm"    // licence checks only: all clear
	Alarm   = "alarm"   // an addon of the vendor uploads attachments on the last day
	Mirror  = "mirror"  // packets only, from a mirror port: no processes, no addons
	Hostile = "hostile" // names with markup, of the other writing direction, of 10 kB
	Empty   = "empty"   // a log that was just begun
)

// Options says what to make.
type Options struct {
	Variant string    // default Calm
	Days    int       // how long the installation has been watched, default 30; before the last of them there is a gap of some minutes
	Calls   int       // over all days, default 200 a day; DNS lookups, requests that came in and heartbeats are rows besides
	Now     time.Time // when the newest row is logged, default the present; later rows get the time of the machine
	Seed    uint64
	Origin  string // default netaudit/odoo.customer.example
}

// Installation makes the events. One goroutine owns it.
type Installation struct {
	o     Options
	rnd   *rand.Rand
	flows uint64
	pool  []weighted
	total int
}

// New returns the events' source without a ledger: for rows that are added later.
func New(o Options) *Installation {
	o.defaults()
	i := &Installation{o: o, rnd: rand.New(rand.NewPCG(o.Seed, 1))}
	i.pool, i.total = pool(o.Variant)
	return i
}

func (o *Options) defaults() {
	if o.Variant == "" {
		o.Variant = Calm
	}
	if o.Days == 0 {
		o.Days = 30
	}
	if o.Calls == 0 {
		o.Calls = 200 * o.Days
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Origin == "" {
		o.Origin = "netaudit/odoo.customer.example"
	}
}

// Open makes a ledger in dir, fills it, and leaves it open for writing. Rows that are appended afterwards are logged at the present.
func Open(ctx context.Context, dir string, o Options) (*ledger.Ledger, *Installation, error) {
	i := New(o)
	o = i.o
	clock := &clock{}
	begin := o.Now.AddDate(0, 0, -o.Days)
	if o.Variant == Empty {
		begin = o.Now
	}
	clock.set(begin)
	l, err := ledger.Open(dir, ledger.Options{Create: true, Origin: o.Origin, Clock: clock.now, MaxDelay: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, fmt.Errorf("begin a ledger: %w", err)
	}
	if o.Variant != Empty {
		err = i.fill(ctx, l, clock, begin)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("fill the ledger: %w; close: %w", err, l.Close())
	}
	clock.set(time.Time{})
	return l, i, nil
}

// clock is the ledger's clock while it is filled. Safe for concurrent use.
type clock struct{ at atomic.Int64 }

func (c *clock) set(t time.Time) {
	if t.IsZero() {
		c.at.Store(0)
		return
	}
	c.at.Store(t.UnixNano())
}

func (c *clock) now() time.Time {
	if at := c.at.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Now()
}

// Dir is a directory for a test's ledger, in memory where the machine has such a place: a filled ledger costs hundreds of writes that wait for a disk, and none of them is to outlive the test.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ledgertest-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("take the ledger away: %v", err)
		}
	})
	return dir
}
