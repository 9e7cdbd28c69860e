package api

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"netaudit/ledger"
)

// Verifier verifies a ledger on demand and in the background, and remembers what it found. Damage that was found stays found until everything verifies again: rows that came later being sound does not mend it. Safe for
// concurrent use.
type Verifier struct {
	ledger *ledger.Ledger

	verifying sync.Mutex // held while a verification on demand runs

	mu    sync.Mutex // guards the rest
	last  Verified   // newest answer, whatever it was about
	whole Verified   // newest answer about everything
	found *Verified  // damage
	told  string     // the damage that the log has a row of
	walk  Walk
}

// Verified is a verification and when it was made.
type Verified struct {
	ledger.Verification
	At time.Time // zero: never
}

// Walk is how far the slow verification of everything has come.
type Walk struct {
	Done, Total uint64    // rows
	Began       time.Time // zero: it does not run
	Ended       time.Time // of the walk before, zero: none
}

// NewVerifier returns a verifier that has not verified yet.
func NewVerifier(l *ledger.Ledger) *Verifier { return &Verifier{ledger: l} }

// verifyAgainAfter keeps readers from making the appliance verify without end: an answer younger than this is given again.
const verifyAgainAfter = 2 * time.Second

// Verify recomputes every hash, unless that was done a moment ago.
func (v *Verifier) Verify(ctx context.Context) (Verified, error) {
	v.verifying.Lock()
	defer v.verifying.Unlock()
	if last := v.lastWhole(); time.Since(last.At) < verifyAgainAfter {
		return last, nil
	}
	result, err := v.ledger.Verify(ctx, nil)
	if err != nil {
		return Verified{}, fmt.Errorf("verify the log: %w", err)
	}
	return v.keep(result), nil
}

// VerifyNew recomputes the hashes of what came since the log was verified last, and gives damage that was found before again.
func (v *Verifier) VerifyNew(ctx context.Context) (Verified, error) {
	v.verifying.Lock()
	defer v.verifying.Unlock()
	last, damaged := v.Last(), v.damaged()
	if damaged != nil {
		return *damaged, nil
	}
	if time.Since(last.At) < verifyAgainAfter && last.Size == v.ledger.Size() {
		return last, nil
	}
	result, err := v.ledger.VerifySince(ctx, nil)
	if err != nil {
		return Verified{}, fmt.Errorf("verify the log: %w", err)
	}
	return v.keep(result), nil
}

// keep remembers a result.
func (v *Verifier) keep(result ledger.Verification) Verified {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = Verified{result, time.Now()}
	if result.From == 0 {
		v.whole = v.last
	}
	switch {
	case result.Status != ledger.Intact:
		found := v.last
		v.found = &found
	case result.From == 0:
		v.found = nil
	}
	return v.last
}

// Last is the newest answer; damage that was found before is the answer until everything verifies again.
func (v *Verifier) Last() Verified {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.found != nil {
		return *v.found
	}
	return v.last
}

func (v *Verifier) lastWhole() Verified {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.whole
}

func (v *Verifier) damaged() *Verified {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.found
}

// Walk says how far the slow verification of everything has come.
func (v *Verifier) Walk() Walk {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.walk
}

// Damage is what was found wrong, in a sentence; "" for nothing.
func (v *Verifier) Damage() string {
	found := v.damaged()
	if found == nil || found.Damage == nil {
		return ""
	}
	return "The log does not verify: " + Place(found.Damage) + ": " + found.Damage.Detail
}

// Pace of the background's work. At this rate a hundredth of a core reads ten million rows in under two hours.
const (
	newRowsEvery      = time.Minute
	walkRowsPerSecond = 2000
	walkAgainAfter    = time.Hour
)

// Run verifies new rows every minute and walks slowly through the whole log, again and again, until ctx ends. What it finds is logged, becomes a row of the log (finding, rule A1), and is shown by every report from then on.
func (v *Verifier) Run(ctx context.Context, log *slog.Logger) {
	var group errgroup.Group
	group.Go(func() error { v.every(ctx, newRowsEvery, log, v.VerifyNew); return nil })
	group.Go(func() error { v.every(ctx, walkAgainAfter, log, v.walkOnce); return nil })
	_ = group.Wait() // neither gives an error
}

// every verifies now, and again when so much time has passed since the end.
func (v *Verifier) every(ctx context.Context, pause time.Duration, log *slog.Logger, verify func(context.Context) (Verified, error)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		result, err := verify(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Error("the log could not be verified", "error", err)
		case result.Status != ledger.Intact:
			v.tell(ctx, log)
		}
		timer.Reset(pause)
	}
}

// walkOnce verifies everything, slowly.
func (v *Verifier) walkOnce(ctx context.Context) (Verified, error) {
	set := func(change func(*Walk)) {
		v.mu.Lock()
		defer v.mu.Unlock()
		change(&v.walk)
	}
	set(func(w *Walk) { w.Began, w.Done = time.Now(), 0 })
	result, err := v.ledger.VerifySlowly(ctx, walkRowsPerSecond, func(done, total uint64) { set(func(w *Walk) { w.Done, w.Total = done, total }) })
	if err != nil {
		set(func(w *Walk) { w.Began = time.Time{} })
		return Verified{}, fmt.Errorf("verify the log: %w", err)
	}
	set(func(w *Walk) { w.Began, w.Ended = time.Time{}, time.Now() })
	return v.keep(result), nil
}

// tell logs damage, and writes one row about each.
func (v *Verifier) tell(ctx context.Context, log *slog.Logger) {
	damage := v.Damage()
	v.mu.Lock()
	again := v.told == damage
	v.told = damage
	v.mu.Unlock()
	if again || damage == "" {
		return
	}
	log.Error("the log does not verify", "damage", damage)
	now := time.Now().UnixNano()
	err := v.ledger.Append(ctx, ledger.Event{Kind: "finding", Rule: "A1", Start: now, End: now, Message: damage})
	if err != nil {
		log.Error("the finding could not be written into the log", "error", err)
	}
}

// Place says where a log is damaged.
func Place(d *ledger.Damage) string {
	if d.HasSeq {
		return strings.TrimSpace(fmt.Sprintf("row %d %s", d.Seq, d.Where))
	}
	return d.Where
}
