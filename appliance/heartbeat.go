package appliance

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
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
	taps    []tap.Stats // one a watcher, same index
	clock   clockWatch
	before  counts
	nowFunc func() time.Time
}

// counts are totals since start, over all watchers.
type counts struct {
	packets, bytes, flows, unattributed, notAsked, malformed, clockSteps uint64
	callersLost                                                          uint64 // records of callers for which the kernel's ring had no room
}

func newPulse(a *Appliance) *pulse {
	return &pulse{a: a, last: time.Now(), taps: make([]tap.Stats, len(a.watchers)), nowFunc: time.Now}
}

// run beats until ctx ends; the last beat is the caller's, after the watchers have stopped.
func (p *pulse) run(ctx context.Context) {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	second := time.NewTicker(clockEvery)
	defer second.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
			p.lookAtClock()
		case <-tick.C:
			p.beat()
			p.a.addresses.logRefresh(p.a.log)
		}
	}
}

// lookAtClock writes a gap row when the clock was set: times of rows before and after it do not fit together.
func (p *pulse) lookAtClock() {
	if before, after, stepped := p.clock.look(time.Now().Round(0), time.Since(p.a.started)); stepped {
		p.a.log.Warn("the clock was set", "from", before, "to", after)
		p.a.emit(gapEvent("clock_step", "", before, after, 0))
	}
}

// beat writes one heartbeat row and one gap row for every interface that lost packets since the last one.
func (p *pulse) beat() {
	now := p.nowFunc()
	h := &ledger.Heartbeat{Install: p.a.config.Install}
	var total counts
	reasons := map[string]uint64{}
	for i, w := range p.a.watchers {
		s := w.source.Stats()
		h.Dropped += p.losses(w.name, p.taps[i], s, now)
		p.taps[i] = s
		if s.InterfaceUp {
			h.Interfaces = appendNew(h.Interfaces, w.name)
		} else {
			h.InterfacesDown = appendNew(h.InterfacesDown, w.name)
		}
		r := p.a.recorders[i].Stats()
		total.packets += s.Packets
		total.bytes += s.Bytes
		total.flows += r.Opened
		total.unattributed += r.Unattributed
		total.notAsked += r.NotAsked
		if seen := w.seen.Load(); seen != nil {
			total.clockSteps += seen.ClockSteps
			for why, n := range seen.Malformed {
				total.malformed += n
				reasons[why] += n
			}
		}
	}
	h.Malformed, h.MalformedWhy = int64(total.malformed-p.before.malformed), mostFrequent(reasons)
	h.ClockSteps = int64(total.clockSteps - p.before.clockSteps)
	h.Packets, h.Bytes = int64(total.packets-p.before.packets), int64(total.bytes-p.before.bytes)
	h.Flows = int64(total.flows - p.before.flows)
	h.Unattributed = int64(total.unattributed - p.before.unattributed)
	if p.a.hook != nil {
		total.callersLost = p.a.hook.Stats().Lost
	}
	h.QueueDropped = int64(total.notAsked - p.before.notAsked)
	if overflow := h.QueueDropped + int64(total.callersLost-p.before.callersLost); overflow > 0 {
		p.a.emit(gapEvent("callers_lost", "", p.last, now, overflow))
	}
	p.a.emit(ledger.Event{
		V: 1, Kind: "heartbeat", Start: p.last.UnixNano(), End: now.UnixNano(),
		DurationUS: now.Sub(p.last).Microseconds(), Heartbeat: h,
	})
	p.before, p.last = total, now
}

// losses writes a gap row for each way in which an interface lost packets, and returns how many.
func (p *pulse) losses(iface string, before, now tap.Stats, at time.Time) int64 {
	lost := now.KernelDropped + now.IfaceDropped - before.KernelDropped - before.IfaceDropped
	if lost > 0 {
		p.a.emit(gapEvent("kernel_drop", iface, p.last, at, int64(lost)))
	}
	if freezes := now.Freezes - before.Freezes; freezes > 0 {
		p.a.emit(gapEvent("ring_freeze", iface, p.last, at, int64(freezes)))
	}
	return int64(lost)
}

// appendNew appends a name that is not there yet: several workers watch one interface.
func appendNew(list []string, name string) []string {
	if slices.Contains(list, name) {
		return list
	}
	return append(list, name)
}

// mostReasons is how many reasons why packets could not be read a heartbeat names.
const mostReasons = 8

// mostFrequent writes reasons with their counts, the most frequent first.
func mostFrequent(reasons map[string]uint64) []string {
	names := slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(reasons[b], reasons[a]), cmp.Compare(a, b))
	})
	var list []string
	for _, name := range names[:min(len(names), mostReasons)] {
		list = append(list, name+" "+strconv.FormatUint(reasons[name], 10))
	}
	return list
}
