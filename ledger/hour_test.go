package ledger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// manyFacts is a ledger whose rows have every fact, over three hours, some calls going on from one hour into the next.
func manyFacts(t *testing.T) (l *Ledger, dir string, c *clock) {
	t.Helper()
	dir, c = filepath.Join(t.TempDir(), "state"), &clock{day0}
	l = openAt(t, dir, c)
	for i := range 240 {
		if i%20 == 0 {
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.now = day0.Add(time.Duration(i) * 45 * time.Second)
		}
		e := sample(i)
		e.Direction, e.Start, e.End = "outbound", c.now.UnixNano()-1, c.now.UnixNano()
		e.Party = &Party{Class: []string{"mit_bound", "third_party", "internal"}[i%3], Name: "x"}
		e.Process, e.Evidence = &Process{PID: 1, Name: "odoo", Role: []string{"odoo_http", "self", "other"}[i%7%3]}, &Evidence{Confidence: "exact"}
		switch i % 11 {
		case 1:
			e.Addon, e.Evidence.Reason = nil, fmt.Sprint("why ", i%4)
		case 2:
			e.HasNew, e.NewSrcBytes = true, 10
		case 3:
			e = Event{Kind: "heartbeat", Start: c.now.Add(-time.Minute).UnixNano(), End: c.now.UnixNano(), Heartbeat: &Heartbeat{Dropped: 2}}
		case 4:
			e = Event{Kind: "gap", Gap: &Gap{Reason: "interface_down"}, Start: e.Start, End: e.End * int64(i%2)}
		case 5:
			e = Event{Kind: "lifecycle", Rule: []string{"start", "stop", "recovered"}[i%3], Start: e.Start}
		case 6:
			e.Dst.Host, e.Evidence.Conflicts = "", []string{"path says other"}
		case 7:
			e = Event{Kind: "dns", DNS: &DNS{Name: "x", Zone: &Zone{Queries: 200, Names: 150, Bytes: 9000, Entropy: 400}}}
		case 8:
			e = Event{Kind: "finding", Rule: "A1", Message: "x"}
		}
		if err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l, dir, c
}

func hoursOf(t *testing.T, l *Ledger, from, to time.Time) (list []Hour) {
	t.Helper()
	if err := l.Hours(t.Context(), from, to, func(h *Hour) bool { list = append(list, *h); return true }); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestHoursAreWhatTheirRowsComeTo(t *testing.T) {
	l, _, _ := manyFacts(t)
	defer closeLedger(t, l)
	kinds := map[FactKind]bool{}
	for from := -10; from < 200; from += 35 {
		for to := from; to < 250; to += 20 {
			begin, end := day0.Add(time.Duration(from)*time.Minute), day0.Add(time.Duration(to)*time.Minute)
			stored := hoursOf(t, l, begin, end)
			again := hoursOf(t, l, begin, end)
			l.totalled.Store(false)
			added := hoursOf(t, l, begin, end)
			l.totalled.Store(true)
			if !reflect.DeepEqual(stored, added) || !reflect.DeepEqual(stored, again) {
				t.Fatalf("minutes %d to %d: stored %+v, from the rows %+v", from, to, stored, added)
			}
			for _, h := range stored {
				for _, f := range h.Facts {
					kinds[f.Kind] = true
				}
			}
		}
	}
	if all := hoursOf(t, l, time.Unix(0, 0), day0.AddDate(50, 0, 0)); len(all) != 3 || len(l.hours.hours) > 24 {
		t.Errorf("over all times %d hours, %d kept", len(all), len(l.hours.hours))
	}
	if len(kinds) != 12 {
		t.Errorf("%d kinds of facts were compared", len(kinds))
	}
	v, err := l.Verify(t.Context(), nil)
	if err != nil || v.Status != Intact {
		t.Errorf("%+v, %v", v.Damage, err)
	}
}

func TestHoursOfRowsThatWereTakenAwayStay(t *testing.T) {
	l, _, c := manyFacts(t)
	defer closeLedger(t, l)
	want := hoursOf(t, l, day0, day0.Add(24*time.Hour))
	c.now = day0.AddDate(0, 0, 40)
	addRows(t, l, 1)
	if _, err := l.Retain(t.Context(), Policy{MaxAge: 10 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Row(3); !errors.Is(err, ErrWithheld) {
		t.Fatalf("row 3 is there: %v", err)
	}
	if got := hoursOf(t, l, day0, day0.Add(24*time.Hour)); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := hoursOf(t, l, day0.Add(30*time.Minute), day0.Add(40*time.Minute)); len(got) != 1 || !reflect.DeepEqual(got[0], want[0]) {
		t.Errorf("an hour whose rows are gone cannot be cut: %+v", got)
	}
	if err := l.RebuildTotals(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.hours = hourCache{}
	if got := hoursOf(t, l, day0, day0.Add(24*time.Hour)); !reflect.DeepEqual(got, want) {
		t.Errorf("made anew: %+v, want %+v", got, want)
	}
}

func TestChangedFactsAreNamed(t *testing.T) {
	for name, harm := range map[string]func(txn *badger.Txn, key, value []byte) error{
		"larger": func(txn *badger.Txn, key, value []byte) error { value[0]++; return txn.Set(key, value) },
		"gone":   func(txn *badger.Txn, key, _ []byte) error { return txn.Delete(key) },
		"new":    func(txn *badger.Txn, key, value []byte) error { return txn.Set(append(slices.Clone(key), 'x'), value) },
		"of another hour": func(txn *badger.Txn, key, value []byte) error {
			key = slices.Clone(key)
			key[4] -= 5
			return txn.Set(key, value)
		},
		"malformed": func(txn *badger.Txn, key, _ []byte) error { return txn.Set(key[:3], nil) },
	} {
		for at := range 5 { // a few of them, of all kinds
			l, dir, _ := manyFacts(t)
			closeLedger(t, l)
			harmEntry(t, dir, tableFact, 4*at, harm)
			if v := verify(t, dir); v.Status != Tampered || v.Damage == nil || v.Damage.Where != "sums" {
				t.Errorf("%s: %v, %+v", name, v.Status, v.Damage)
			}
		}
	}
}

func TestHourCacheKeepsTheNewestHours(t *testing.T) {
	var c hourCache
	one := func(hour int64) *Hour { return &Hour{Hour: hour, Sums: make([]Rollup, mostKept/10)} }
	for at := range int64(30) {
		c.keep(at, at+1, map[int64]*Hour{at: one(at)})
	}
	if _, known := c.get(29, 30); !known || len(c.hours) > 10 || c.entries > mostKept {
		t.Errorf("%d hours, %d entries", len(c.hours), c.entries)
	}
	c.keep(2, 3, map[int64]*Hour{2: one(2)})
	if _, known := c.get(29, 30); !known {
		t.Error("an old hour drove out the newest")
	}
}

func TestDestinationsThatWereCalledBefore(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "state"), &clock{day0}
	l := openAt(t, dir, c)
	defer func() { closeLedger(t, l) }()
	call := func(host, direction string) {
		t.Helper()
		e := sample(1)
		e.Direction, e.Dst.Host = direction, host
		if err := errors.Join(l.Append(t.Context(), e), l.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	known := func(seq uint64) (list []string) {
		t.Helper()
		called, oldest, err := l.CalledBefore(t.Context(), seq)
		if err != nil || !oldest.Equal(day0) {
			t.Fatalf("oldest %s, %v", oldest, err)
		}
		for _, host := range []string{"a.example", "b.example", "c.example", "d.example", "10.0.0.1"} {
			if called(host) {
				list = append(list, host)
			}
		}
		return list
	}
	call("a.example", "outbound")
	call("x.example", "inbound")
	c.now = day0.Add(time.Hour)
	call("b.example", "outbound")
	call("a.example", "outbound")
	if got := known(3); !slices.Equal(got, []string{"a.example", "b.example"}) {
		t.Errorf("%q", got)
	}
	if got := known(2); !slices.Equal(got, []string{"a.example"}) {
		t.Errorf("before row 2: %q", got)
	}
	c.now = day0.Add(2 * time.Hour)
	call("c.example", "outbound")
	if got := known(9); !slices.Equal(got, []string{"a.example", "b.example", "c.example"}) {
		t.Errorf("later: %q", got)
	}
	closeLedger(t, l)
	var err error
	if l, err = Open(dir, Options{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := known(4); !slices.Equal(got, []string{"a.example", "b.example"}) {
			t.Errorf("only read: %q", got)
		}
	}
}

func TestRowsWithLongTextsFitIntoTransactions(t *testing.T) {
	l := openAt(t, filepath.Join(t.TempDir(), "state"), &clock{day0})
	defer closeLedger(t, l)
	for i := range 3000 {
		long := fmt.Sprintf("%04d%s", i, strings.Repeat("x", 400))
		e := sample(i)
		e.Direction, e.State, e.Channel, e.Dst.Host, e.Dst.IP = "outbound", long, long, long, long
		e.Party, e.Process, e.Evidence = &Party{Class: "mit_bound", Name: long}, &Process{Name: long, Exe: long}, &Evidence{Confidence: long, Reason: long}
		if i%2 == 0 {
			e.Party.Class = long
		} else {
			e.Addon = &Addon{Name: long, OnBehalfOf: long}
		}
		if err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := l.Recovery(); r.Status != "created" || l.Size() != 3000 {
		t.Errorf("%+v, %d rows", r, l.Size())
	}
	if v, err := l.Verify(context.Background(), nil); err != nil || v.Status != Intact {
		t.Errorf("%+v, %v", v.Damage, err)
	}
}
