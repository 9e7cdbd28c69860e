package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"netaudit/dissect"
	"netaudit/ledger"
	"netaudit/tap"
)

// watcher carries packets from one source to one engine. Its goroutine owns both.
type watcher struct {
	name   string
	source tap.Source
	engine *dissect.Engine
	emit   func(ledger.Event)
	log    *slog.Logger

	downSince time.Time // when the interface went away; zero while it is there

	seen     atomic.Pointer[dissect.Stats] // what the engine counted until a moment ago; nil before the first packet
	nextSeen time.Time
}

// seenEvery is how often the engine's counters are made visible to other goroutines.
const seenEvery = time.Second

// publish makes the engine's counters visible.
func (w *watcher) publish() {
	now := time.Now()
	if now.Before(w.nextSeen) {
		return
	}
	w.nextSeen = now.Add(seenEvery)
	s := w.engine.Stats()
	w.seen.Store(&s)
}

// publishEvery is how many packets pass between two looks at the clock for publish.
const publishEvery = 4096

// run ends with ctx, or with the source. Flows that are still open are written then.
func (w *watcher) run(ctx context.Context) error {
	defer w.engine.Close()
	var p tap.Packet
	for packets := 0; ; packets++ {
		if packets%publishEvery == 0 {
			w.publish()
		}
		err := w.source.Next(ctx, &p)
		var gone *tap.InterfaceError
		switch {
		case err == nil:
			w.back()
			w.engine.Packet(&p)
		case errors.Is(err, tap.ErrIdle):
			if w.source.Stats().InterfaceUp {
				w.back()
			}
			w.engine.Tick(time.Now().UnixNano())
			w.publish()
		case errors.As(err, &gone):
			w.lost(gone)
		case ctx.Err() != nil:
			w.endGap()
			return nil
		case errors.Is(err, io.EOF):
			return nil
		default:
			return fmt.Errorf("capture on %s: %w", w.name, err)
		}
	}
}

// lost writes the beginning of a gap: from now on nothing on this interface is seen.
func (w *watcher) lost(err error) {
	if !w.downSince.IsZero() {
		return
	}
	w.downSince = time.Now()
	w.log.Warn("interface went away; waiting for it to come back", "interface", w.name, "error", err)
	w.emit(gapEvent("interface_down", w.name, w.downSince, time.Time{}, 0))
}

// back writes the whole gap once the interface captures again.
func (w *watcher) back() {
	if !w.downSince.IsZero() {
		w.log.Info("interface is back", "interface", w.name, "missed", time.Since(w.downSince).Round(time.Millisecond))
		w.endGap()
	}
}

func (w *watcher) endGap() {
	if !w.downSince.IsZero() {
		w.emit(gapEvent("interface_down", w.name, w.downSince, time.Now(), 0))
		w.downSince = time.Time{}
	}
}

// gapEvent is a row about what could not be seen. A zero end means: it lasts.
func gapEvent(reason, iface string, start, end time.Time, count int64) ledger.Event {
	e := ledger.Event{V: 1, Kind: "gap", Iface: iface, Start: start.UnixNano(), Gap: &ledger.Gap{Reason: reason, Iface: iface, Count: count}}
	if !end.IsZero() {
		e.End = end.UnixNano()
		e.DurationUS = end.Sub(start).Microseconds()
	}
	return e
}

// lifecycleEvent is a row about the appliance itself. Rule is the stable name, message the sentence for people.
func lifecycleEvent(rule, message string, at time.Time) ledger.Event {
	return ledger.Event{V: 1, Kind: "lifecycle", Rule: rule, Message: message, Start: at.UnixNano(), End: at.UnixNano()}
}
