package report

import (
	"cmp"
	"slices"
	"time"

	"netaudit/ledger"
)

// Coverage says when the watcher was awake: silence is only proof if it was.
type Coverage struct {
	Percent  float64   `json:"percent"` // of the window, or of what is left of it since the log's first row
	Known    bool      `json:"known"`   // false: the rows come from capture files, or there are none
	Dropped  int64     `json:"dropped"` // packets lost by kernel or interface
	Begin    time.Time `json:"begin"`   // of the window, or when the log began within it
	Awake    []Span    `json:"awake"`
	Watching bool      `json:"watching"` // awake at the window's end
}

// Span is a stretch of time.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// heartbeatGrace is how long after a sign of life the watcher still counts as awake: a heartbeat is due every minute.
const heartbeatGrace = 90 * time.Second

type coverageCollector struct {
	from, to time.Time
	first    int64 // ingest time of the log's first row, if it lies in the window
	rows     bool  // the window has rows
	awake    []Span
	blind    []Span
	dropped  int64
	signs    bool
	lastSign time.Time
	stopped  bool
}

// add takes what an hour says.
func (c *coverageCollector) add(a *ledger.Awake) {
	for _, s := range a.Spans {
		c.awake = append(c.awake, Span{time.Unix(0, s[0]), time.Unix(0, s[1])})
	}
	for _, s := range a.Blind {
		c.blind = append(c.blind, Span{time.Unix(0, s[0]), time.Unix(0, s[1])})
	}
	c.dropped += a.Dropped
	if a.Sign != 0 {
		c.signs, c.lastSign, c.stopped = true, time.Unix(0, a.Sign), false
	}
	c.stopped = c.stopped || a.Stopped
}

func (c *coverageCollector) finish() Coverage {
	if !c.signs {
		return Coverage{}
	}
	out := Coverage{Known: true, Dropped: c.dropped}
	if !c.stopped && c.to.Sub(c.lastSign) <= heartbeatGrace {
		c.awake = append(c.awake, Span{c.lastSign, c.to})
		out.Watching = true
	}
	begin := c.from
	if first := time.Unix(0, c.first); c.first != 0 && first.After(begin) {
		begin = first // there was no log before
	}
	out.Begin = begin.UTC()
	out.Awake = subtract(merge(clip(c.awake, begin, c.to)), c.blind)
	total, seen := c.to.Sub(begin), time.Duration(0)
	for _, s := range out.Awake {
		seen += s.To.Sub(s.From)
	}
	out.Percent = 100
	if total > 0 {
		out.Percent = 100 * float64(seen) / float64(total)
	}
	// The first row is logged a moment after the start it tells of: less than a second is no gap.
	if total-seen < time.Second {
		out.Percent = 100
	}
	return out
}

func clip(list []Span, from, to time.Time) []Span {
	var out []Span
	for _, s := range list {
		if s.From.Before(from) {
			s.From = from
		}
		if s.To.After(to) {
			s.To = to
		}
		if s.To.After(s.From) {
			out = append(out, Span{s.From.UTC(), s.To.UTC()})
		}
	}
	return out
}

// joinWithin is the distance below which two stretches count as one.
const joinWithin = time.Second

func merge(list []Span) []Span {
	slices.SortFunc(list, func(a, b Span) int { return cmp.Compare(a.From.UnixNano(), b.From.UnixNano()) })
	var out []Span
	for _, s := range list {
		if n := len(out); n > 0 && s.From.Sub(out[n-1].To) <= joinWithin {
			if s.To.After(out[n-1].To) {
				out[n-1].To = s.To
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

func subtract(list, holes []Span) []Span {
	for _, h := range holes {
		var out []Span
		for _, s := range list {
			if !h.To.After(s.From) || !s.To.After(h.From) {
				out = append(out, s)
				continue
			}
			if h.From.After(s.From) {
				out = append(out, Span{s.From, h.From.UTC()})
			}
			if s.To.After(h.To) {
				out = append(out, Span{h.To.UTC(), s.To})
			}
		}
		list = out
	}
	return list
}

func (c *Coverage) coversAt(at time.Time, width time.Duration) bool {
	for _, s := range c.Awake {
		if s.From.Before(at.Add(width)) && s.To.After(at) {
			return true
		}
	}
	return false
}
