package main

import (
	"testing"
	"time"

	"netaudit/ledger/report"
)

// TestCoverageSaysSinceWhen: a log that has just begun covers ten seconds of a day, not the day.
func TestCoverageSaysSinceWhen(t *testing.T) {
	begin := time.Date(2026, 3, 4, 11, 59, 50, 0, time.UTC)
	want := "100 % of the time since " + clock(begin) + ", 0 packets lost"
	if got := coverageWords(report.Coverage{Known: true, Percent: 100, Begin: begin}); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
