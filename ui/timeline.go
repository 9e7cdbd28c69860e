package ui

import (
	"time"

	"netaudit/ledger/report"
	"netaudit/ui/words"
)

// timeline is calls over a period: bars in a field of timelineWidth by 100 units, and what was not watched behind them.
type timeline struct {
	Steps  []step
	Blind  []span // not watched
	Absent []span // the log had not begun, or lies in the future
	Ticks  []tick
	Table  []timelineLine
	Calls  int
}

const (
	timelineWidth = 1200
	narrowestGap  = 3 // units: a gap of seconds must be seen too
)

// step is a bucket as two rectangles.
type step struct {
	X, Width     float64
	Bar          float64 // width of the rectangles
	MIT, Third   float64 // heights
	MITY, ThirdY float64 // upper edges
	Title        string
}

// span is a stretch of time as a rectangle.
type span struct {
	X, Width float64
	Title    string
}

// tick is a moment at the axis.
type tick struct{ Text, At string }

// timelineLine is one line of the table behind the picture.
type timelineLine struct {
	From       time.Time
	MIT, Third int
	Covered    bool
}

// drawTimeline places everything. began is the log's first moment, zero for an empty one.
func drawTimeline(w *words.Words, r *report.Report, began time.Time) (out timeline) {
	length := r.To.Sub(r.From)
	if length <= 0 {
		return out
	}
	at := func(t time.Time) float64 {
		return max(0, min(timelineWidth, timelineWidth*float64(t.Sub(r.From))/float64(length)))
	}
	block := func(from, to time.Time, title string) span {
		return span{at(from), max(narrowestGap, at(to)-at(from)), w.Text(title, from.Format(time.DateTime), to.Format(time.DateTime))}
	}
	begin, end := r.From, r.To
	if began.IsZero() || began.After(end) {
		began = end
	}
	if began.After(begin) {
		out.Absent = append(out.Absent, block(begin, began, "{from} to {end}: before the log began"))
		begin = began
	}
	if r.Generated.Before(end) && !r.Generated.IsZero() {
		out.Absent = append(out.Absent, block(r.Generated, end, "{from} to {end}: not yet"))
		end = r.Generated
	}
	if r.Coverage.Known && r.Coverage.Percent < 100 {
		for _, b := range blind(r.Coverage.Awake, begin, end) {
			out.Blind = append(out.Blind, block(b.From, b.To, "{from} to {end}: not watched"))
		}
	}
	out.steps(w, r, length)
	layout := "15:04"
	if length > 36*time.Hour {
		layout = "2006-01-02"
	}
	for i := range 5 {
		out.Ticks = append(out.Ticks, tick{r.From.Add(length / 4 * time.Duration(i)).Format(layout), r.From.Add(length / 4 * time.Duration(i)).Format(time.RFC3339)})
	}
	return out
}

// shortestBlind is the length below which a stretch without a sign of life is none: signs are as exact as that.
const shortestBlind = time.Second

// blind is what the stretches of watching leave out.
func blind(awake []report.Span, from, to time.Time) (out []report.Span) {
	at := from
	for _, s := range awake {
		if s.From.Sub(at) > shortestBlind {
			out = append(out, report.Span{From: at, To: s.From})
		}
		if s.To.After(at) {
			at = s.To
		}
	}
	if to.Sub(at) > shortestBlind {
		out = append(out, report.Span{From: at, To: to})
	}
	return out
}

func (t *timeline) steps(w *words.Words, r *report.Report, length time.Duration) {
	largest := 1
	for _, b := range r.Timeline {
		largest = max(largest, b.MIT+b.ThirdParty)
		t.Calls += b.MIT + b.ThirdParty
	}
	layout := "15:04"
	if length > 24*time.Hour {
		layout = "2006-01-02 15:04"
	}
	width := float64(timelineWidth) / float64(max(1, len(r.Timeline)))
	for i, b := range r.Timeline {
		s := step{X: float64(i) * width, Width: width, Bar: 0.76 * width, MIT: height(b.MIT, largest), Third: height(b.ThirdParty, largest)}
		s.MITY = 100 - s.MIT
		s.ThirdY = s.MITY - s.Third
		watched := w.Text("watched")
		if !b.Covered {
			watched = w.Text("not watched")
		}
		s.Title = w.Text("from {time} UTC: {mit} to MIT, {third} to third parties, {watched}", b.Start.Format(layout), b.MIT, b.ThirdParty, watched)
		t.Steps = append(t.Steps, s)
		if b.MIT+b.ThirdParty > 0 {
			t.Table = append(t.Table, timelineLine{b.Start, b.MIT, b.ThirdParty, b.Covered})
		}
	}
}

// height is visible for a single call, and all of them fit.
func height(n, largest int) float64 {
	if n == 0 {
		return 0
	}
	return max(4, 92*float64(n)/float64(largest))
}
