package appliance

import "time"

const (
	clockEvery = time.Second
	clockStep  = 500 * time.Millisecond // adjustments below it are how clocks are kept right
)

// clockWatch notices that the wall clock was set, by comparing it with the monotonic one. One goroutine owns it.
type clockWatch struct {
	wall      time.Time
	monotonic time.Duration // since some moment that stays the same
}

// look compares the time that has passed on both clocks since the last look. before is what the wall clock would show now, had it not been set.
func (c *clockWatch) look(wall time.Time, monotonic time.Duration) (before, after time.Time, stepped bool) {
	before, after = c.wall.Add(monotonic-c.monotonic), wall
	difference := after.Sub(before)
	first := c.wall.IsZero()
	c.wall, c.monotonic = wall, monotonic
	return before, after, !first && (difference > clockStep || difference < -clockStep)
}
