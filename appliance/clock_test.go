package appliance

import (
	"testing"
	"time"
)

func TestOnlyAClockThatWasSetIsAStep(t *testing.T) {
	start := time.Date(2026, 3, 29, 0, 59, 59, 0, time.UTC)
	for _, c := range []struct {
		name string
		wall time.Duration // that passed on the wall clock while a second passed
		want bool
	}{
		{"in time", time.Second, false},
		{"slewed", 1100 * time.Millisecond, false},
		{"suspended for an hour", time.Hour, true},
		{"set back", -time.Minute, true},
		{"set forward", time.Minute, true},
	} {
		var w clockWatch
		if _, _, stepped := w.look(start, time.Hour); stepped {
			t.Errorf("%s: the first look is a step", c.name)
		}
		before, after, stepped := w.look(start.Add(c.wall), time.Hour+time.Second)
		if stepped != c.want || !before.Equal(start.Add(time.Second)) || !after.Equal(start.Add(c.wall)) {
			t.Errorf("%s: stepped %v from %v to %v", c.name, stepped, before, after)
		}
	}
}
