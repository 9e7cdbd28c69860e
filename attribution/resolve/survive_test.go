package resolve

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"netaudit/attribution"
	"netaudit/attribution/kernel/hook"
)

// TestMistakeIsTheReasonOfItsRow gives the resolver a hook that nobody opened.
func TestMistakeIsTheReasonOfItsRow(t *testing.T) {
	var failures []Failure
	r, err := New(Config{Failed: func(f Failure) { failures = append(failures, f) }})
	if err != nil {
		t.Fatal(err)
	}
	var own unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &own); err != nil {
		t.Fatal(err)
	}
	r.config.Hook = new(hook.Hook)
	if o := r.answerAnyway(t.Context(), question{about: caller, tuple: attribution.Tuple{Proto: 6, NetNS: own.Ino}}); o.Evidence.Reason != failed || o.Evidence.Confidence != attribution.ConfidenceUnknown || o.Addon != nil {
		t.Errorf("%+v", o)
	}
	if len(failures) != 1 || !strings.Contains(string(failures[0].Stack), "answer") {
		t.Errorf("%d failures", len(failures))
	}
	r.aside(func() { panic("aside") })
	r.background.Wait()
	if len(failures) != 2 {
		t.Errorf("%d failures", len(failures))
	}
}
