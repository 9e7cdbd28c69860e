package tap

import (
	"testing"
	"time"
)

// TestOnlyFramesThatComeOftenComeTogether lets a reader wait after each number of frames, at moments that are so far apart, and wants to know after which it rested.
func TestOnlyFramesThatComeOftenComeTogether(t *testing.T) {
	for _, c := range []struct {
		what   string
		gap    time.Duration
		frames []int // between two waits
		rests  int
	}{
		{"one by one, five in a millisecond", 200 * time.Microsecond, times(100, 1), 0},
		{"one by one, twenty in a millisecond", 50 * time.Microsecond, times(60, 1), 7}, // it learns after each rest that nothing came together
		{"several in each rest", 250 * time.Microsecond, append(times(1, 20), times(50, 5)...), 0},
		{"twenty in a millisecond, then several in each rest", 50 * time.Microsecond, append(times(20, 1), times(50, 5)...), 49},
		{"a single one after some that came together", 50 * time.Microsecond, append(append(times(20, 1), times(5, 5)...), times(10, 1)...), 5},
	} {
		t.Run(c.what, func(t *testing.T) {
			p, now, rests := pace{window: time.Unix(1e9, 0)}, time.Unix(1e9, 0), 0
			for _, n := range c.frames {
				p.frames += n
				now = now.Add(c.gap)
				if p.rest(now) {
					rests++
				}
			}
			if rests != c.rests {
				t.Errorf("%d rests of %d, want %d", rests, len(c.frames), c.rests)
			}
		})
	}
}

func times(n, frames int) (list []int) {
	for range n {
		list = append(list, frames)
	}
	return list
}
