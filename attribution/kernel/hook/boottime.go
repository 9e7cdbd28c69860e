package hook

import (
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

func (b *bootTime) ask() {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) == nil {
		b.now = time.Now()
		b.asked, b.up = b.now, t.Nano()
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
