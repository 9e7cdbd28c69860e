package hook

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRecordsHaveTheTimeOfTheDay(t *testing.T) {
	var b bootTime
	record := func() (ns uint64, at time.Time) {
		var up unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
			t.Fatal(err)
		}
		return uint64(up.Nano()), time.Now()
	}
	check := func(what string, ns uint64, want time.Time) {
		t.Helper()
		if got := b.day(ns); got.Sub(want).Abs() > 20*time.Millisecond {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	early, then := record()
	b.look()
	check("before the first look", early, then)
	time.Sleep(50 * time.Millisecond)
	ns, now := record()
	b.look()
	check("counted on", ns, now)
	check("some time before", early, then)
	b.up -= time.Hour.Nanoseconds() // as if the host had slept since the clock was asked
	ns, now = record()
	b.look()
	check("after an hour of sleep", ns, now)
	check("before the sleep, by the clock of now", early, then)
	b.now, b.asked = b.now.Add(-2*askEvery), b.asked.Add(-2*askEvery) // asked long ago, and the clocks have drifted since
	b.up += time.Minute.Nanoseconds()
	ns, now = record()
	b.look()
	check("after the clock was asked again", ns, now)
}
