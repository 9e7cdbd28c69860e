package hook

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// bootTime turns times of CLOCK_BOOTTIME, the clock of the records, into those of the day. It asks for that clock rarely, because that takes a system call, and else counts on by Go's clock, which stands still while the host sleeps. It is not safe for
// concurrent use; the zero value works.
type bootTime struct {
	now   time.Time // of the latest look
	asked time.Time // when the clock was asked
	up    int64     // what it said, in nanoseconds
}

// askEvery is how long is counted on without asking the clock.
const askEvery = time.Second

// look is called before records are read that are there.
func (b *bootTime) look() {
	if b.now = time.Now(); b.asked.IsZero() || b.now.Sub(b.asked) > askEvery {
		b.ask()
	}
}

// ask reads both clocks at one moment, as nearly as they can be: who is interrupted in between tries again.
func (b *bootTime) ask() {
	const tries, atOnce = 5, 20 * time.Microsecond
	shortest := time.Duration(math.MaxInt64)
	for range tries {
		var t unix.Timespec
		begun := time.Now()
		if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
			return
		}
		if took := time.Since(begun); took < shortest {
			shortest, b.now, b.asked, b.up = took, begun.Add(took), begun.Add(took/2), t.Nano()
		}
		if shortest < atOnce {
			return
		}
	}
}

// day is the time of the day for a number of nanoseconds since the host started. One after the look means that the host has slept, or that the record came meanwhile.
func (b *bootTime) day(ns uint64) time.Time {
	if b.until(ns) > 0 {
		b.ask()
	}
	return b.now.Add(b.until(ns)).Round(0)
}

// until is how much later than the look that is.
func (b *bootTime) until(ns uint64) time.Duration {
	return time.Duration(int64(ns)-b.up) - b.now.Sub(b.asked)
}
