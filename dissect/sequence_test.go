package dissect

import (
	"testing"

	"pgregory.net/rapid"

	"netaudit/tap"
)

// TestSegmentsHalfOfAllNumbersApart: two numbers that are 2^31 apart lie neither before nor behind each other (RFC 9293 §3.4), and whoever sends may choose them.
func TestSegmentsHalfOfAllNumbersApart(t *testing.T) {
	w := newWire(t)
	frames := append(dialogue(w, "cS sSA cA"), w.tcp(true, 1001+1<<30, 5001, "PA", []byte("ahead")), w.tcp(true, 1001+1<<31, 5001, "PA", []byte("neither")))
	f := onlyFlows(t, run(frames...), 1)[0]
	if want := uint64(len("ahead") + len("neither")); f.SrcBytes != want || f.MissedBytes != 1<<31+uint64(len("neither"))-want {
		t.Errorf("%d bytes, %d missed", f.SrcBytes, f.MissedBytes)
	}
}

// TestNumbersAtTheirCornersAreRead sends segments with the numbers at which arithmetic of 32 bits turns over.
func TestNumbersAtTheirCornersAreRead(t *testing.T) {
	w := newWire(t)
	corner := rapid.SampledFrom([]uint32{0, 1, 2, 1000, 1<<30 - 1, 1 << 30, 1<<31 - 3, 1<<31 - 2, 1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<31 + 2, 3 << 30, 1<<32 - 2, 1<<32 - 1})
	flags := rapid.SampledFrom([]string{"S", "SA", "A", "PA", "PA", "PA", "FA", "R", "RA"})
	rapid.Check(t, func(r *rapid.T) {
		var frames []tap.Packet
		sent := 0
		for range rapid.IntRange(1, 12).Draw(r, "segments") {
			text := make([]byte, rapid.IntRange(0, 4).Draw(r, "length"))
			sent += len(text)
			frames = append(frames, w.tcp(rapid.Bool().Draw(r, "client"), 7+corner.Draw(r, "sequence"), 7+corner.Draw(r, "acknowledged"), flags.Draw(r, "flags"), text))
		}
		counted := uint64(0)
		for _, f := range run(frames...) {
			counted += f.SrcBytes + f.DstBytes
		}
		if counted > uint64(sent) {
			r.Errorf("%d bytes were sent, and %d counted", sent, counted)
		}
	})
}
