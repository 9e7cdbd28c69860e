package ledger

import (
	"encoding/binary"
	"slices"
)

// Awake is what an hour's rows say about when the watcher was awake. Times are nanoseconds since the Unix epoch.
type Awake struct {
	Spans   [][2]int64 // from, to: what heartbeats vouch for
	Blind   [][2]int64 // an interface was down
	Sign    int64      // newest sign of life; 0: none
	Stopped bool       // netaudit was ended after it
	Dropped int64      // packets lost
}

// mostSpans bounds the spans of an hour. What comes beyond is left out of Spans, and joined to the last of Blind: neither makes more of the time covered.
const mostSpans = 512

// concerns says whether a row speaks of being awake.
func (*Awake) concerns(e *Event) bool {
	switch e.Kind {
	case "heartbeat":
		return e.Heartbeat != nil
	case "lifecycle":
		return e.Rule == "start" || e.Rule == "stop"
	case "gap":
		return e.Gap != nil && e.gapEnds()
	}
	return false
}

// with takes a row, if it concerns it; it is nil before the first that does.
func (a *Awake) with(e *Event) *Awake {
	if !a.concerns(e) {
		return a
	}
	if a == nil {
		a = &Awake{}
	}
	a.add(e)
	return a
}

// add takes a row that concerns it.
func (a *Awake) add(e *Event) {
	switch {
	case e.Kind == "heartbeat":
		a.Sign, a.Stopped = e.End, false
		a.Dropped += e.Heartbeat.Dropped
		a.awake([2]int64{e.Start, e.End})
	case e.Kind == "gap":
		a.blind([2]int64{e.Start, e.End})
	case e.Rule == "start":
		a.Sign, a.Stopped = e.Start, false
	default:
		a.Stopped = true
	}
}

func (a *Awake) awake(s [2]int64) {
	switch n := len(a.Spans); {
	case n > 0 && s[0] == a.Spans[n-1][1]: // one heartbeat begins where the one before ended
		a.Spans[n-1][1] = s[1]
	case n < mostSpans:
		a.Spans = append(a.Spans, s)
	}
}

func (a *Awake) blind(s [2]int64) {
	if n := len(a.Blind); n < mostSpans {
		a.Blind = append(a.Blind, s)
	} else {
		last := &a.Blind[n-1]
		last[0], last[1] = min(last[0], s[0]), max(last[1], s[1])
	}
}

// merge takes what later rows say.
func (a *Awake) merge(o *Awake) {
	for _, s := range o.Spans {
		a.awake(s)
	}
	for _, s := range o.Blind {
		a.blind(s)
	}
	a.Dropped += o.Dropped
	if o.Sign != 0 {
		a.Sign, a.Stopped = o.Sign, o.Stopped
	}
	a.Stopped = a.Stopped || o.Stopped
}

func (a *Awake) clone() *Awake {
	if a == nil {
		return nil
	}
	c := *a
	c.Spans, c.Blind = slices.Clone(a.Spans), slices.Clone(a.Blind)
	return &c
}

func (a *Awake) bytes() []byte {
	stopped := uint64(0)
	if a.Stopped {
		stopped = 1
	}
	b := binary.AppendUvarint(nil, stopped)
	b = binary.AppendVarint(binary.AppendVarint(b, a.Sign), a.Dropped)
	before := int64(0)
	for _, list := range [][][2]int64{a.Spans, a.Blind} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, s := range list {
			b = binary.AppendVarint(binary.AppendVarint(b, s[0]-before), s[1]-s[0])
			before = s[1]
		}
	}
	return b
}

func parseAwake(r *varints) *Awake {
	a := &Awake{Stopped: r.unsigned() == 1, Sign: r.signed(), Dropped: r.signed()}
	before := int64(0)
	for _, list := range []*[][2]int64{&a.Spans, &a.Blind} {
		for n := min(r.unsigned(), mostSpans); n > 0 && !r.bad; n-- {
			s := [2]int64{before + r.signed(), 0}
			s[1] = s[0] + r.signed()
			*list = append(*list, s)
			before = s[1]
		}
	}
	return a
}
