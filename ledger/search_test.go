package ledger

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// mixedLog has 3,000 rows of several kinds over four days, so that blocks reach over midnight, and lost its first day.
func mixedLog(t *testing.T) *Ledger {
	t.Helper()
	c := &clock{day0}
	l := openAt(t, filepath.Join(t.TempDir(), "state"), c)
	for i := range 3000 {
		if i%500 == 0 {
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.now = day0.Add(time.Duration(i) * 100 * time.Second)
		}
		e := sample(i)
		e.Direction = []string{"outbound", "inbound", "local"}[i%3]
		e.Dst.Host = fmt.Sprintf("H%d.%s.example", i%11, []string{"mit", "MITTE", "other"}[i%5%3])
		switch {
		case i%7 == 0:
			e.Channel = "dns"
		case i%13 == 0:
			e = Event{Kind: "dns", Channel: "dns", DNS: &DNS{Name: fmt.Sprintf("mitm%d.example", i%4)}, Party: &Party{Class: "internal"}}
		case i%17 == 0:
			e.Addon, e.Process.Name = &Addon{Name: "mit_license", OnBehalfOf: "sale"}, "Odoo"
		case i%19 == 0:
			e.Addon, e.Process.Name = nil, "Odoo"
		case i == 1234:
			e.Party.Class, e.Message = "mit_bound", "Needle"
		}
		if err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if done, err := l.Retain(t.Context(), Policy{MaxAge: 50 * time.Hour}); err != nil || done.Days != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	return l
}

// readThrough is what a query chooses, by looking at every row.
func readThrough(t *testing.T, l *Ledger) func(q Query) []uint64 {
	t.Helper()
	var rows []Row
	var events []Event
	err := l.Rows(t.Context(), 0, func(row Row) bool {
		e, err := ParseEvent(row.JSON)
		if err != nil {
			t.Fatal(err)
		}
		rows, events = append(rows, row), append(events, e)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(q Query) (list []uint64) {
		for i, row := range rows {
			if row.Seq >= q.From && (q.To == 0 || row.Seq < q.To) && q.Match(row.JSON, &events[i]) {
				list = append(list, row.Seq)
			}
		}
		return list
	}
}

// searchPages searches page after page until the end.
func searchPages(t *rapid.T, l *Ledger, q Query, perPage int) (list []uint64, count int) {
	from, to := q.From, q.To
	if to == 0 || to > l.Size() {
		to = l.Size()
	}
	for from < to {
		q.From, q.To = from, to
		n := 0
		reached, err := l.Search(t.Context(), q, func(row Row, e *Event) bool {
			list = append(list, row.Seq)
			n++
			return n < perPage
		})
		if err != nil {
			t.Fatal(err)
		}
		if q.Backward && reached >= to || !q.Backward && reached <= from {
			t.Fatalf("page %d of %+v does not go on: reached %d", count, q, reached)
		}
		if q.Backward {
			to = reached
		} else {
			from = reached
		}
		count++
	}
	return list, count
}

func TestSearchFindsWhatReadingEveryRowFinds(t *testing.T) {
	l := mixedLog(t)
	defer closeLedger(t, l)
	all := readThrough(t, l)
	maybe := func(values ...string) *rapid.Generator[string] {
		return rapid.SampledFrom(append(values, make([]string, 12)...))
	}
	rapid.Check(t, func(t *rapid.T) {
		q := Query{
			Kind: maybe("flow", "dns", "retention").Draw(t, "kind"), Direction: maybe("outbound", "inbound").Draw(t, "direction"), Channel: maybe("https", "dns", "smtp").Draw(t, "channel"),
			NotChannel: maybe("dns").Draw(t, "not"), Party: maybe("third_party", "mit_bound", "internal").Draw(t, "party"), State: maybe("closed").Draw(t, "state"),
			Addon: maybe("addon_3", "sale", "mit_license", "nobody", "(Odoo)").Draw(t, "addon"), Dest: maybe("H3.mit.example", "203.0.113.1", "h3.mit.example").Draw(t, "dest"),
			Process: maybe("/usr/bin/python3", "Odoo").Draw(t, "process"), Name: maybe("MIT", "h1", "h10.mitte", "/usr", "zzz").Draw(t, "name"),
			Text: maybe("needle", "example", "nowhere").Draw(t, "text"), From: rapid.Uint64Range(0, 3100).Draw(t, "from"), To: rapid.Uint64Range(0, 3100).Draw(t, "to"),
			Backward: rapid.Bool().Draw(t, "backward"), MostRead: rapid.SampledFrom([]int{0, 1, 7, 100}).Draw(t, "most read"),
		}
		if q.From >= q.To && q.To > 0 {
			q.From, q.To = q.To, q.From
		}
		want := all(q)
		if q.Backward {
			slices.Reverse(want)
		}
		got, _ := searchPages(t, l, q, rapid.SampledFrom([]int{1, 50, 5000}).Draw(t, "page"))
		if !slices.Equal(got, want) {
			t.Fatalf("%+v: %d rows %v, want %d %v", q, len(got), got[:min(20, len(got))], len(want), want[:min(20, len(want))])
		}
	})
}

func TestSearchReadsFewRowsForRareValues(t *testing.T) {
	l := mixedLog(t)
	defer closeLedger(t, l)
	for _, q := range []Query{{Party: "mit_bound"}, {Kind: "flow", Party: "mit_bound", Channel: "https"}, {Name: "h1", Party: "mit_bound"}, {Addon: "nobody"}, {Name: "nobody"}, {Channel: "dns", NotChannel: "dns"}} {
		q.MostRead, q.Backward = 1, true
		reached, err := l.Search(t.Context(), q, func(Row, *Event) bool { return true })
		if err != nil || reached != 0 && q.Party == "" {
			t.Errorf("%+v: reached %d, %v", q, reached, err)
		}
	}
	reached, err := l.Search(t.Context(), Query{Text: "nowhere", MostRead: 100, Backward: true}, func(Row, *Event) bool { return true })
	if err != nil || reached != l.Size()-100 {
		t.Errorf("a text that is nowhere: searched back to %d, %v", reached, err)
	}
}

func TestSearchStopsWithItsContext(t *testing.T) {
	l := mixedLog(t)
	defer closeLedger(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Search(ctx, Query{}, func(Row, *Event) bool { return true }); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("%v", err)
	}
}

func TestTextIsFoundInSmallAndCapitalLetters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, want := rapid.StringOfN(rapid.SampledFrom([]rune("abAB\"ßΣς0İ")), 0, 12, -1).Draw(t, "text"), rapid.StringOfN(rapid.SampledFrom([]rune("abABß0Σ")), 1, 3, -1).Draw(t, "want")
		if got := containsFold([]byte(text), want); got != strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
			t.Errorf("%q in %q: %v", want, text, got)
		}
	})
}
