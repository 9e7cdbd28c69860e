package ledger

import (
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"testing"
)

// anyRow makes rows that are often alike: most of their values are the first ones here, most of their objects are there.
func anyRow(seq uint64, hour int64) *Event {
	often := func() bool { return rand.IntN(24) > 0 }
	one := func(usual string, others ...string) string {
		if often() {
			return usual
		}
		return others[rand.IntN(len(others))]
	}
	e := &Event{V: 1, Salt: "AAAAAAAAAAAAAAAAAAAAAA", HasCounts: true, Seq: seq, Logged: hour*nanosPerHour + rand.Int64N(nanosPerHour), SrcBytes: rand.Int64N(9), DstBytes: rand.Int64N(9)}
	e.Kind, e.State, e.Direction, e.Channel = one("flow", "http", "dns", "gap", "lifecycle"), one("open", "closed"), []string{"outbound", "inbound"}[rand.IntN(2)], one("https", "dns", "http")
	if e.HasNew = !often(); e.HasNew {
		e.NewSrcBytes, e.NewDstBytes = rand.Int64N(9), rand.Int64N(9)
	}
	if often() {
		e.Party = &Party{Class: one("mit_bound", "third_party", "internal", ""), Name: one("MIT", "ACME", "")}
	}
	if rand.IntN(2) > 0 {
		e.Addon = &Addon{Name: one("sale", "mail", ""), OnBehalfOf: one("", "mit_maildesk")}
	}
	if often() {
		e.Dst = &Endpoint{Host: one("", "a.example", "b.example"), IP: one("203.0.113.1", "203.0.113.2", ""), Port: 443, HasPort: true}
	}
	if often() {
		e.Src = &Endpoint{IP: one("10.0.0.1", "10.0.0.2"), Port: 4, HasPort: true}
	}
	if often() {
		e.Process = &Process{Exe: one("/usr/bin/python3", "/usr/bin/curl", ""), Name: one("odoo-bin", "curl", ""), Role: one("odoo_http", "self", "")}
	}
	if often() {
		e.Evidence = &Evidence{Confidence: one("exact", "high", ""), Reason: one("", "thread ended")}
		if !often() {
			e.Evidence.Conflicts = []string{"names"}
		}
	}
	if rand.IntN(2) > 0 {
		e.TLS = &TLS{ECH: !often(), ECHKind: one("offered", "grease_like", "refused")}
	}
	if e.Kind == "dns" || !often() {
		e.DNS = &DNS{Name: one("x.example", "y.example", "")}
		if rand.IntN(8) == 0 {
			e.DNS.Zone = &Zone{Queries: 200, Names: 50 + rand.Int64N(100), Bytes: 9000, Entropy: 400}
		}
	}
	if e.Kind == "gap" {
		e.Gap = &Gap{Reason: "interface_down"}
	}
	e.Rule, e.Start = one("start", "stop", ""), e.Logged
	return e
}

// TestRowsThatAreAlikeCountAsEachWouldAlone adds up rows as verifying does, which remembers where rows of a moment ago counted, and one by one.
func TestRowsThatAreAlikeCountAsEachWouldAlone(t *testing.T) {
	seed := maphash.MakeSeed()
	r := &segmentReader{verifier: &verifier{summed: true, indexed: true}}
	alone, terms, seq, kept := map[int64]*hourTotals{}, newTermSums(seed), uint64(0), 0
	sums, found := map[int64]*hourTotals{}, newTermSums(seed)
	for range 4 { // segments
		r.segment = &segment{terms: newTermSums(seed)}
		for range 3 {
			hour := int64(490000 + seq/12000*7)
			for range 6000 {
				row := anyRow(seq, hour).AppendJSON(nil)
				e, err := ParseEvent(row)
				if err != nil {
					t.Fatal(err)
				}
				if alone[hour] == nil {
					alone[hour] = newHourTotals(hour)
				}
				alone[hour].add(&e, func([]byte) {})
				terms.addRow(dayAt(e.Logged), terms.hashes(nil, &e), seq)
				r.next = seq
				fields := r.fields.read(row)
				if r.like.set(fields, r.hour) && r.alike[r.like.place()].likeness == r.like {
					kept++
				}
				r.count(fields)
				seq++
			}
		}
		for i := range r.sums.hours {
			part := &r.sums.hours[i]
			h := sums[part.hour]
			if h == nil {
				h = newHourTotals(part.hour)
				sums[part.hour] = h
			}
			h.join(part)
		}
		found.join(r.segment.terms)
	}
	if kept < int(seq)/4 || len(alone) < 3 || len(sums) != len(alone) {
		t.Fatalf("%d rows like others, %d hours, %d", kept, len(alone), len(sums))
	}
	for hour, want := range alone {
		if want, got := entriesOf(t, want), entriesOf(t, sums[hour]); !maps.Equal(want, got) {
			for key, value := range want {
				if got[key] != value {
					t.Errorf("%q is %x, not %x", key, got[key], value)
				}
			}
			t.Fatalf("%d entries, not %d", len(got), len(want))
		}
	}
	if !maps.Equal(terms.days, found.days) {
		t.Errorf("terms %v, not %v", found.days, terms.days)
	}
}

// entriesOf are the entries of an hour in the store.
func entriesOf(t *testing.T, h *hourTotals) map[string]string {
	entries := map[string]string{}
	if err := h.each(func(key, value []byte) error { entries[string(key)] = string(value); return nil }); err != nil {
		t.Fatal(err)
	}
	return entries
}
