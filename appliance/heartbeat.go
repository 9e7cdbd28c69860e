package appliance

import (
	"context"
	"time"

	"netaudit/ledger"
	"netaudit/tap"
)

// heartbeatEvery is how often a row says that the watcher was awake: silence is only proof if it was.
const heartbeatEvery = time.Minute

// pulse writes heartbeats and the gaps that counters reveal. One goroutine owns it.
type pulse struct {
	a       *Appliance
	last    time.Time
	taps    map[string]tap.Stats
	before  counts
	nowFunc func() time.Time
}

// counts are totals since start, over all watchers.
type counts struct {
	packets, bytes, flows, unattributed, notAsked uint64
}

func newPulse(a *Appliance) *pulse {
	return &pulse{a: a, last: time.Now(), taps: map[string]tap.Stats{}, nowFunc: time.Now}
}

// run beats until ctx ends; the last beat is the caller's, after the watchers have stopped.
func (p *pulse) run(ctx context.Context) {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.beat()
			p.a.addresses.logRefresh(p.a.log)
		}
	}
}

// beat writes one heartbeat row and one gap row for every interface that lost packets since the last one.
func (p *pulse) beat() {
	now := p.nowFunc()
	h := &ledger.Heartbeat{Install: p.a.config.Install}
	var total counts
	for i, w := range p.a.watchers {
		s := w.source.Stats()
		before := p.taps[w.name]
		p.taps[w.name] = s
		lost := s.KernelDropped + s.IfaceDropped - before.KernelDropped - before.IfaceDropped
		if lost > 0 {
			h.Dropped += int64(lost)
			p.a.emit(gapEvent("kernel_drop", w.name, p.last, now, int64(lost)))
		}
		if s.InterfaceUp {
			h.Interfaces = append(h.Interfaces, w.name)
		} else {
			h.InterfacesDown = append(h.InterfacesDown, w.name)
		}
		r := p.a.recorders[i].Stats()
		total.packets += s.Packets
		total.bytes += s.Bytes
		total.flows += r.Opened
		total.unattributed += r.Unattributed
		total.notAsked += r.NotAsked
	}
	h.Packets, h.Bytes = int64(total.packets-p.before.packets), int64(total.bytes-p.before.bytes)
	h.Flows = int64(total.flows - p.before.flows)
	h.Unattributed = int64(total.unattributed - p.before.unattributed)
	h.QueueDropped = int64(total.notAsked - p.before.notAsked)
	p.a.emit(ledger.Event{
		V: 1, Kind: "heartbeat", Start: p.last.UnixNano(), End: now.UnixNano(),
		DurationUS: now.Sub(p.last).Microseconds(), Heartbeat: h,
	})
	p.before, p.last = total, now
}
