package api

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"netaudit/ledger"
)

// Verifier verifies a ledger on demand and from time to time, one verification at a time, and remembers the last answer. Safe for concurrent use.
type Verifier struct {
	ledger *ledger.Ledger

	verifying sync.Mutex // held while a verification runs

	mu   sync.Mutex
	last Verified
}

// Verified is a verification and when it was made.
type Verified struct {
	ledger.Verification
	At time.Time // zero: never
}

// NewVerifier returns a verifier that has not verified yet.
func NewVerifier(l *ledger.Ledger) *Verifier { return &Verifier{ledger: l} }

// verifyAgainAfter keeps readers from making the appliance verify without end: an answer younger than this is given again.
const verifyAgainAfter = 2 * time.Second

// Verify recomputes every hash, unless that was done a moment ago.
func (v *Verifier) Verify(ctx context.Context) (Verified, error) {
	v.verifying.Lock()
	defer v.verifying.Unlock()
	if last := v.Last(); time.Since(last.At) < verifyAgainAfter {
		return last, nil
	}
	result, err := v.ledger.Verify(ctx, nil)
	if err != nil {
		return Verified{}, fmt.Errorf("verify the log: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = Verified{result, time.Now()}
	return v.last, nil
}

// Last is the last answer.
func (v *Verifier) Last() Verified {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last
}

// Damage is what the last verification found wrong, in a sentence; "" for nothing.
func (v *Verifier) Damage() string {
	last := v.Last()
	if last.Damage == nil {
		return ""
	}
	return "The log does not verify: " + Place(last.Damage) + ": " + last.Damage.Detail
}

// Run verifies now and then until ctx ends. What it finds is logged here and shown by every report from then on.
func (v *Verifier) Run(ctx context.Context, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		result, err := v.Verify(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Error("the log could not be verified", "error", err)
		case result.Status != ledger.Intact:
			log.Error("the log does not verify", "damage", v.Damage())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Place says where a log is damaged.
func Place(d *ledger.Damage) string {
	if d.HasSeq {
		return strings.TrimSpace(fmt.Sprintf("row %d %s", d.Seq, d.Where))
	}
	return d.Where
}
