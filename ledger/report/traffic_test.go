package report

import (
	"slices"
	"testing"
	"time"

	"netaudit/ledger"
)

func TestTrafficIsAddedUpByEachThing(t *testing.T) {
	w := newWorld(t)
	w.call("a.example", "third_party", "sale", 100)
	w.call("a.example", "third_party", "sale", 50)
	w.call("a.example", "third_party", "stock", 7)
	w.call("mit.example", "mit_bound", "sale", 1)
	w.call("in.example", "internal", "sale", 1000, func(e *ledger.Event) { e.Direction = "inbound" })
	if err := w.l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	get := func(by string, from, to time.Time) []Group {
		t.Helper()
		list, err := Traffic(t.Context(), w.l, from, to, by)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	from, to := now.Add(-24*time.Hour), now.Add(time.Minute)
	modules := get(ByModule, from, to)
	if len(modules) != 2 || modules[0].Name != "sale" || modules[0].Calls != 3 || modules[0].MIT != 1 || modules[0].Out != 151 || modules[0].In != 30 ||
		!slices.Equal(modules[0].Partners, []string{"a.example", "mit.example"}) {
		t.Errorf("%+v", modules)
	}
	var series int64
	for _, n := range modules[0].Series {
		series += n
	}
	if series != 3 {
		t.Errorf("the series has %d calls", series)
	}
	destinations := get(ByDestination, from, to)
	if len(destinations) != 2 || destinations[0].Name != "a.example" || destinations[0].Class != "third_party" || !slices.Equal(destinations[0].Partners, []string{"sale", "stock"}) {
		t.Errorf("%+v", destinations)
	}
	if pairs := get(ByPair, from, to); len(pairs) != 3 || pairs[0].Name != "sale" || pairs[0].To != "a.example" {
		t.Errorf("%+v", pairs)
	}
	if channels := get(ByChannel, from, to); len(channels) != 1 || channels[0].Name != "https" || channels[0].Calls != 4 {
		t.Errorf("%+v", channels)
	}
	if before := get(ByParty, now.Add(-48*time.Hour), now.Add(-24*time.Hour)); len(before) != 0 {
		t.Errorf("%+v", before)
	}
	if _, err := Traffic(t.Context(), w.l, from, to, "colour"); err == nil {
		t.Error("calls are added up by colour")
	}
}
