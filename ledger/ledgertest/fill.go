package ledgertest

import (
	"context"
	"slices"
	"time"

	"netaudit/ledger"
)

// fill writes the rows from begin to o.Now, minute by minute.
func (i *Installation) fill(ctx context.Context, l *ledger.Ledger, clock *clock, begin time.Time) error {
	minutes := int(i.o.Now.Sub(begin) / time.Minute)
	due, weight := 0.0, i.weightOf(begin, minutes)
	away := i.gap(begin)
	if err := appendAll(ctx, l, i.start(begin)); err != nil {
		return err
	}
	for m := range minutes {
		at := begin.Add(time.Duration(m) * time.Minute)
		end := at.Add(time.Minute)
		due += float64(i.o.Calls) * busy(at) / weight
		events, err := i.minute(at, &due, away)
		if err != nil {
			return err
		}
		if err := appendAll(ctx, l, events); err != nil {
			return err
		}
		if left := i.o.Now.Sub(end); commitDue(end, left) {
			clock.set(end)
			if err := l.Flush(ctx); err != nil {
				return err
			}
		}
	}
	clock.set(i.o.Now)
	return l.Flush(ctx)
}

// commitDue says whether the log takes what waits: every two minutes of the last two hours, every twenty of the last day, every three hours before. Commits cost, and nobody looks at old rows that closely.
func commitDue(end time.Time, left time.Duration) bool {
	switch {
	case left < 2*time.Hour:
		return end.Minute()%2 == 0
	case left < 25*time.Hour:
		return end.Minute()%20 == 0
	default:
		return end.Minute() == 0 && end.UTC().Hour()%3 == 0
	}
}

// minute is what is logged about one minute.
func (i *Installation) minute(at time.Time, due *float64, away span) ([]ledger.Event, error) {
	if away.has(at) {
		if !away.has(at.Add(-time.Minute)) {
			return []ledger.Event{{V: 1, Kind: "lifecycle", Rule: "stop", Message: "netaudit stopped.", Start: at.UnixNano(), End: at.UnixNano()}}, nil
		}
		return nil, nil
	}
	var events []ledger.Event
	if away.has(at.Add(-time.Minute)) {
		events = append(i.start(at), ledger.Event{
			V: 1, Kind: "gap", Start: away.from.UnixNano(), End: at.UnixNano(), DurationUS: at.Sub(away.from).Microseconds(), Gap: &ledger.Gap{Reason: "downtime"},
		})
	}
	var calls []ledger.Event
	calls = append(calls, i.scheduled(at)...)
	for ; *due >= 1; *due-- {
		calls = append(calls, i.call(i.pick(), i.moment(at))...)
	}
	slices.SortStableFunc(calls, func(a, b ledger.Event) int { return int(min(1, max(-1, a.End-b.End))) })
	return append(append(events, calls...), i.heartbeat(at, len(calls))), nil
}

func appendAll(ctx context.Context, l *ledger.Ledger, events []ledger.Event) error {
	for _, e := range events {
		if err := l.Append(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// span is a stretch of time.
type span struct{ from, to time.Time }

func (s span) has(t time.Time) bool { return !t.Before(s.from) && t.Before(s.to) }

// gap is when netaudit was updated: nine days before the end, or never in a shorter time.
func (i *Installation) gap(begin time.Time) span {
	if i.o.Days < 10 {
		return span{}
	}
	from := begin.Add(time.Duration(i.o.Days-9)*24*time.Hour + 3*time.Hour)
	return span{from, from.Add(7 * time.Minute)}
}

// busy is how much goes on: offices work from 8 to 18 o'clock (UTC+1), five days a week, and Odoo's jobs never sleep.
func busy(t time.Time) float64 {
	hour, weekend := (t.UTC().Hour()+1)%24, t.Weekday() == time.Saturday || t.Weekday() == time.Sunday
	switch {
	case weekend:
		return 0.2
	case hour < 6 || hour >= 20:
		return 0.25
	case hour < 8 || hour >= 18:
		return 0.8
	case hour == 12:
		return 1.4
	default:
		return 2.2
	}
}

func (i *Installation) weightOf(begin time.Time, minutes int) (sum float64) {
	for m := range minutes {
		sum += busy(begin.Add(time.Duration(m) * time.Minute))
	}
	return sum
}

func (i *Installation) start(at time.Time) []ledger.Event {
	return []ledger.Event{{V: 1, Kind: "lifecycle", Rule: "start", Message: "netaudit 1.0 watches eth0, lo.", Start: at.UnixNano(), End: at.UnixNano()}}
}

func (i *Installation) heartbeat(at time.Time, calls int) ledger.Event {
	h := &ledger.Heartbeat{
		Packets: int64(400 + calls*30 + i.rnd.IntN(200)), Bytes: int64(90_000 + calls*9_000), Flows: int64(calls), Interfaces: []string{"eth0", "lo"}, ProcessesWatched: 6, Install: "host",
	}
	if i.o.Variant == Mirror {
		h.Interfaces, h.ProcessesWatched, h.Install = []string{"mirror0"}, 0, "mirror"
	}
	return ledger.Event{V: 1, Kind: "heartbeat", Start: at.UnixNano(), End: at.Add(time.Minute).UnixNano(), DurationUS: 60_000_000, Heartbeat: h}
}

// moment is some moment of the minute.
func (i *Installation) moment(minute time.Time) time.Time {
	return minute.Add(time.Duration(i.rnd.Int64N(int64(50 * time.Second))))
}
