package ledger

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
)

// hostileTexts are strings that have a special form in JSON, and bytes that are none.
var hostileTexts = []string{"", "plain", `a"b`, `\`, `\\"`, "\x00\x1f\x7f", "\u2028ф", "\xff\xed\xa0\x80", `{"kind":"x"}`, `","kind":"dns`, "]}", "😀"}

// filledRow has every field that there is, with a hostile text in each.
func filledRow(text string) []byte {
	var e Event
	fill(reflect.ValueOf(&e).Elem(), new(int64))
	replaceTexts(reflect.ValueOf(&e).Elem(), text)
	return e.AppendJSON(nil)
}

func replaceTexts(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.Pointer:
		replaceTexts(v.Elem(), text)
	case reflect.Struct:
		for i := range v.NumField() {
			replaceTexts(v.Field(i), text)
		}
	case reflect.Slice:
		for i := range v.Len() {
			replaceTexts(v.Index(i), text)
		}
	case reflect.String:
		v.SetString(text)
	}
}

// readsAlike says whether a row that is read as canonical is what encoding/json reads.
func readsAlike(t *testing.T, row []byte) (canonical bool) {
	t.Helper()
	var fast, slow wireEvent
	if !readCanonical(row, &fast) {
		return false
	}
	if err := json.Unmarshal(row, &slow); err != nil || !reflect.DeepEqual(fast, slow) {
		t.Fatalf("%q:\n%+v\nwant %v\n%+v", row, fast, err, slow)
	}
	return true
}

func TestCanonicalRowsAreReadAsEncodingJSONReadsThem(t *testing.T) {
	for _, text := range hostileTexts {
		if row := filledRow(text); !readsAlike(t, row) {
			t.Errorf("left to encoding/json: %s", row)
		}
	}
	for _, e := range []Event{{}, {V: 1, HasCounts: true, SrcBytes: largestInteger, DstBytes: -largestInteger, Dst: &Endpoint{}}} {
		if row := e.AppendJSON(nil); !readsAlike(t, row) {
			t.Errorf("left to encoding/json: %s", row)
		}
	}
}

// TestOtherRowsAreReadAsEncodingJSONReadsThem changes canonical rows a little: bytes are replaced, inserted, removed, and stretches doubled, which repeats members and puts them in other objects.
func TestOtherRowsAreReadAsEncodingJSONReadsThem(t *testing.T) {
	const bytes = `{}[]""\\,::0123-+.eEnulltruefalse XK` + "\x00\n\xff"
	canonical := 0
	for range 30_000 {
		row := filledRow(hostileTexts[rand.IntN(len(hostileTexts))])
		for range 1 + rand.IntN(3) {
			at := rand.IntN(len(row))
			to := min(len(row), at+rand.IntN(40))
			with := []byte{bytes[rand.IntN(len(bytes))]}
			switch rand.IntN(4) {
			case 0:
				row[at] = with[0]
			case 1:
				row = append(row[:at:at], append(with, row[at:]...)...)
			case 2:
				row = append(row[:at:at], row[to:]...)
			default:
				row = append(row[:to:to], row[at:]...)
			}
		}
		if readsAlike(t, row) {
			canonical++
		}
	}
	t.Logf("%d of the changed rows were read as canonical", canonical)
	if canonical == 0 {
		t.Error("none was read as canonical: nothing was compared")
	}
}

func TestRowsThatOnlyLookCanonicalAreLeftToEncodingJSON(t *testing.T) {
	for _, row := range []string{
		``, `{`, `{}x`, `{"v":1,}`, `{"v":01}`, `{"v":-0}`, `{"v":1e3}`, `{"v":1.0}`, `{"v":-}`, `{"v":9999999999999999999}`, `{"seq":-1}`, `{"v":null}`, `{"v":"1"}`, `{"v": 1}`, `{"V":1}`, `{"new":1}`,
		`{"kind":"a","kind":"b"}`, `{"v":1,"kind":"a"}`, `{"vlan":[]}`, `{"vlan":[1,]}`, `{"mid_stream":false}`, `{"mid_stream":1}`, `{"dst":{"ip":"a"}`, `{"dst":[]}`, `{"end":"soon"}`, `{"end":"9999-01-01T00:00:00Z"}`, `{"kind":"a}`, `{"kind":"\x"}`,
	} {
		if readCanonical([]byte(row), &wireEvent{}) {
			t.Errorf("read as canonical: %s", row)
		}
	}
}

func FuzzCanonicalReader(f *testing.F) {
	f.Add(filledRow("a"))
	f.Add(filledRow("\xff\"\\\u2028"))
	f.Fuzz(func(t *testing.T, row []byte) { readsAlike(t, row) })
}

func BenchmarkParseEvent(b *testing.B) {
	e := sample(1)
	e.Evidence = &Evidence{Source: "python-stack", Confidence: "high", Stack: make([]Frame, 12)}
	for i := range e.Evidence.Stack {
		e.Evidence.Stack[i] = Frame{File: "/opt/odoo/addons/sale/models/sale_order.py", Line: i + 1, Function: "action_confirm", Module: "odoo.addons.sale.models.sale_order", Addon: "sale"}
	}
	row := e.AppendJSON(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseEvent(row); err != nil {
			b.Fatal(err)
		}
	}
}
