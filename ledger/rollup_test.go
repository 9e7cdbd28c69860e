package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// rollupsOf reads all sums.
func rollupsOf(t *testing.T, l *Ledger) map[RollupKey]Sums {
	t.Helper()
	out := map[RollupKey]Sums{}
	for _, h := range hoursOf(t, l, time.Unix(0, 0), day0.AddDate(1, 0, 0)) {
		for _, r := range h.Sums {
			out[r.RollupKey] = r.Sums
		}
	}
	return out
}

// hours is a ledger with calls in several hours, long calls that have several rows, inbound ones and rows that are no calls.
func hours(t *testing.T) (l *Ledger, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	c := &clock{day0}
	l = openAt(t, dir, c)
	for hour := range 3 {
		c.now = day0.Add(time.Duration(hour) * time.Hour)
		for i := range 50 {
			e := sample(i)
			e.Direction, e.DstBytes = "outbound", 7
			switch {
			case i%10 == 1:
				e.Direction = "inbound"
			case i%10 == 2:
				e.HasNew, e.NewSrcBytes, e.NewDstBytes = true, 1000, 1
			case i%10 == 3:
				e = Event{Kind: "heartbeat", Heartbeat: &Heartbeat{}}
			case i%10 == 4:
				e.Addon, e.Process, e.Dst.Host = nil, &Process{PID: 1, Name: "curl"}, ""
			}
			if err := l.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return l, dir
}

func TestSumsAreThoseOfTheRows(t *testing.T) {
	l, dir := hours(t)
	sums := rollupsOf(t, l)
	var calls, out int64
	for k, s := range sums {
		calls += s.Calls
		out += s.Out
		if k.Addon == "(curl)" && (k.Dest != "203.0.113.1" || s.Calls != 5) {
			t.Errorf("%+v: %+v", k, s)
		}
		if k.Direction == "inbound" && k.Dest != "10.0.0.1" {
			t.Errorf("%+v", k)
		}
	}
	wantOut := int64(0)
	for i := range 50 {
		switch i % 10 {
		case 1:
			wantOut += 7
		case 2:
			wantOut += 1000
		case 3:
		default:
			wantOut += int64(i)
		}
	}
	if calls != 3*40 || out != 3*wantOut {
		t.Errorf("%d calls, %d bytes; want %d, %d", calls, out, 3*40, 3*wantOut)
	}
	if v, err := l.Verify(t.Context(), nil); err != nil || v.Status != Intact {
		t.Errorf("%+v, %v", v.Damage, err)
	}
	closeLedger(t, l)
	c := &clock{day0.Add(2 * time.Hour)}
	l = openAt(t, dir, c) // the running hour goes on
	addRows(t, l, 20)
	if err := l.RebuildTotals(t.Context()); err != nil {
		t.Fatal(err)
	}
	rebuilt := rollupsOf(t, l)
	closeLedger(t, l)
	l = openAt(t, dir, c)
	if !maps.Equal(rebuilt, rollupsOf(t, l)) || len(rebuilt) <= len(sums)/2 {
		t.Error("made anew, the sums are others")
	}
	closeLedger(t, l)
	if v := verify(t, dir); v.Status != Intact {
		t.Errorf("%+v", v.Damage)
	}
}

func TestChangedSumsAreNamed(t *testing.T) {
	for name, harm := range map[string]func(txn *badger.Txn, key, value []byte) error{
		"a sum is larger": func(txn *badger.Txn, key, value []byte) error { value[7]++; return txn.Set(key, value) },
		"a sum is gone":   func(txn *badger.Txn, key, _ []byte) error { return txn.Delete(key) },
		"a sum is new": func(txn *badger.Txn, key, value []byte) error {
			return txn.Set(append(append([]byte(nil), key...), 'x'), value)
		},
		"an hour is new": func(txn *badger.Txn, key, value []byte) error {
			key = append([]byte(nil), key...)
			key[3]--
			return txn.Set(key, value)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, dir := hours(t)
			closeLedger(t, l)
			harmEntry(t, dir, tableRollup, 0, harm)
			if v := verify(t, dir); v.Status != Tampered || v.Damage == nil || v.Damage.Where != "sums" {
				t.Errorf("%v, %+v", v.Status, v.Damage)
			}
		})
	}
}

// harmEntry does something to an entry of a table, the first one or one that many further on.
func harmEntry(t *testing.T, dir string, table byte, further int, harm func(txn *badger.Txn, key, value []byte) error) {
	t.Helper()
	change(t, dir, func(db *badger.DB) error {
		return db.Update(func(txn *badger.Txn) error {
			it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{table}})
			it.Rewind()
			for range further {
				it.Next()
			}
			key := it.Item().KeyCopy(nil)
			value, err := it.Item().ValueCopy(nil)
			it.Close()
			if err != nil {
				return err
			}
			return harm(txn, key, value)
		})
	})
}

func TestManyDestinationsInAnHourShareASum(t *testing.T) {
	h := newHourTotals(day0.UnixNano() / nanosPerHour)
	for i := range 2 * mostRollups {
		e := sample(i)
		e.Logged, e.Seq, e.Dst = day0.UnixNano(), uint64(i), &Endpoint{IP: "203.0.113.1", Host: fmt.Sprintf("h%d.example", i)}
		h.add(&e, func([]byte) {})
	}
	var calls int64
	for _, s := range h.sums {
		calls += s.Calls
	}
	if len(h.sums) != mostRollups+1 || calls != 2*mostRollups {
		t.Errorf("%d sums of %d calls", len(h.sums), calls)
	}
}

// factsOf are the stored facts of one row.
func factsOf(e *Event) map[string]string {
	f := newHourFacts()
	f.add(e, func([]byte) {})
	out := map[string]string{}
	f.names(func(name []byte) { out[string(name)] = string(f.bytes(name)) })
	return out
}

// sameSums says whether both ways of reading a row add up the same, whatever the reader read before.
func sameSums(reader *fieldReader, row []byte) (bool, string) {
	e, err := ParseEvent(row)
	if err != nil {
		return true, ""
	}
	fast := reader.read(row)
	var k1, k2 RollupKey
	var s1, s2 Sums
	ok1, ok2 := isCall(&e), isCall(fast)
	if ok1 && ok2 {
		k1, s1, k2, s2 = sumKey(&e), sumsOf(&e), sumKey(fast), sumsOf(fast)
	}
	f1, f2 := factsOf(&e), factsOf(fast)
	return ok1 == ok2 && k1 == k2 && s1 == s2 && e.Logged == fast.Logged && maps.Equal(f1, f2), fmt.Sprintf("%+v %+v %q, %+v %+v %q", k1, s1, f1, k2, s2, f2)
}

func TestBothWaysOfReadingARowAddUpTheSame(t *testing.T) {
	var e Event
	fill(reflect.ValueOf(&e).Elem(), new(int64))
	e.Kind = "flow"
	reader := &fieldReader{}
	hostile := append([]string{"},", `},"x`, "}],", "a\\"}, hostileTexts...)
	for _, host := range hostile {
		for _, addon := range hostile {
			e.Dst.Host, e.Addon.Name, e.Party.Name, e.Process.Name = host, addon, addon, host
			e.Evidence.Reason, e.Addon.OnBehalfOf, e.Rule, e.Process.Role = host, host, "A1", "odoo_http"
			e.Direction, e.Party.Class, e.Evidence.Conflicts, e.TLS.ECH = "outbound", "mit_bound", []string{host}, true
			for _, change := range []func(){
				func() {}, func() { e.HasNew = false }, func() { e.Evidence.Conflicts = nil }, func() { e.TLS.ECHKind = "grease_like" }, func() { e.TLS.ECHKind = host }, func() { e.TLS.ECH = false }, func() { e.Addon = nil }, func() { e.Process = nil }, func() { e.Direction = "inbound" },
				func() { e.Kind = "heartbeat" }, func() { e.Kind, e.Rule = "lifecycle", "start" }, func() { e.Rule = "stop" }, func() { e.Kind, e.Gap.Reason = "gap", "interface_down" }, func() { e.End = 0 },
				func() { e.Kind, e.Rule = "finding", "A1" }, func() { e.Kind, e.DNS.Zone = "dns", &Zone{Queries: 200, Names: 150, Bytes: 9000, Entropy: 400} },
			} {
				change()
				if same, what := sameSums(reader, e.AppendJSON(nil)); !same {
					t.Fatal(what)
				}
			}
			e.HasNew, e.Addon, e.Process, e.Direction, e.Kind, e.End = true, &Addon{}, &Process{}, "outbound", "flow", 7e18
		}
	}
}

// TestEveryChangedTextIsRead reads a row again and again with another text changed each time: what was kept of the row before must not stand in for it.
func TestEveryChangedTextIsRead(t *testing.T) {
	var e Event
	fill(reflect.ValueOf(&e).Elem(), new(int64))
	e.Kind, e.Direction, e.Party.Class, e.Process.Role, e.Addon.Chain, e.Process.Job = "flow", "outbound", "mit_bound", "self", nil, ""
	row, reader, changes := e.AppendJSON(nil), &fieldReader{}, 0
	reader.read(row)
	for _, near := range []string{e.Addon.Name, e.Addon.OnBehalfOf, e.Dst.Host, e.Dst.IP, e.Party.Class, e.Party.Name, e.Process.Exe, e.Process.Name, e.Process.Role} {
		if !bytes.Contains(row, []byte(near)) || near == "" {
			t.Fatalf("no %q in the row", near)
		}
	}
	for i, c := range row {
		if c < 'a' || c > 'z' || row[i-1] != '"' || row[i-2] != ':' { // the first letter of a text
			continue
		}
		row[i] = 'a' + 'z' - c
		if same, what := sameSums(reader, row); !same {
			t.Fatalf("byte %d of %s: %s", i, row, what)
		}
		row[i] = c
		changes++
	}
	if changes < 50 {
		t.Errorf("%d changes", changes)
	}
}

// TestEndOfNestedValueIsThatOfByteByByte compares reading eight bytes together with reading one after the other, over text of little else than what matters there.
func TestEndOfNestedValueIsThatOfByteByByte(t *testing.T) {
	const bytes = `{}[]{}[]""""\,:aaaaaaaaaaaaaaaaaaaaa` + "\xfb"
	for range 200_000 {
		text := []byte("{{[")
		for range rand.IntN(60) {
			text = append(text, bytes[rand.IntN(len(bytes))])
		}
		if got, want := nestedEnd(text, 0), slowEnd(text, 0, 0, false); got != want {
			t.Fatalf("%q: %d, want %d", text, got, want)
		}
	}
}

func FuzzFieldReader(f *testing.F) {
	e := sample(1)
	f.Add(e.AppendJSON(nil))
	f.Add([]byte(`{"kind":"flow","dst":{"host":"\\"},"src":{}`))
	f.Fuzz(func(t *testing.T, row []byte) {
		reader := &fieldReader{}
		fields := reader.read(row) // must not panic, whatever it is given
		canonical := fields.AppendJSON(nil)
		if same, what := sameSums(reader, canonical); !same {
			t.Error(what)
		}
	})
}

func TestLogFromBeforeThereWereSumsGetsThemOnce(t *testing.T) {
	l, dir := hours(t)
	want := rollupsOf(t, l)
	closeLedger(t, l)
	change(t, dir, func(db *badger.DB) error {
		return errors.Join(db.DropPrefix([]byte{tableRollup}, []byte{tableFact}), db.Update(func(txn *badger.Txn) error { return txn.Delete(metaKey(totalsMark)) }))
	})
	if v := verify(t, dir); v.Status != Intact || strings.Contains(strings.Join(v.Checked, " "), "sums") {
		t.Errorf("%v, %q, damage %+v", v.Status, v.Checked, v.Damage)
	}
	l = openAt(t, dir, &clock{day0.Add(2 * time.Hour)})
	if !maps.Equal(want, rollupsOf(t, l)) {
		t.Error("the sums are not those from before")
	}
	closeLedger(t, l)
	if v := verify(t, dir); v.Status != Intact || !strings.Contains(strings.Join(v.Checked, " "), "sums") {
		t.Errorf("%v, %q, damage %+v", v.Status, v.Checked, v.Damage)
	}
}
