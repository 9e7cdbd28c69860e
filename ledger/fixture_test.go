package ledger

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// fixtures are logs of every format as the version that made it wrote them, with rows on three days of which retention took the first. They must be readable for ever.
const fixtures = "testdata/format-"

// TestMakeFixture writes that of the present format; a log that is committed must never be made anew, so that is only done by hand.
func TestMakeFixture(t *testing.T) {
	if !*update {
		t.Skip("the log is made with -update, once")
	}
	fixture := fixtures + strconv.Itoa(formatVersion)
	if _, err := os.Stat(fixture); err == nil {
		t.Skip("it is there")
	}
	c := &clock{day0}
	l := openAt(t, fixture, c)
	key := l.Recovery().SealKey.String()
	for day, rows := range []int{20, 300, 7} {
		c.now = day0.AddDate(0, 0, day)
		addRows(t, l, rows)
	}
	if _, err := l.Retain(t.Context(), Policy{MaxAge: 35 * 3600e9}); err != nil {
		t.Fatal(err)
	}
	closeLedger(t, l)
	if err := os.WriteFile(filepath.Join(fixture, "seal-key.txt"), []byte(key+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLogOfEveryFormatOpensForEver(t *testing.T) {
	for format := range layouts {
		t.Run(strconv.Itoa(format), func(t *testing.T) { opensForEver(t, fixtures+strconv.Itoa(format)) })
	}
}

func opensForEver(t *testing.T, fixture string) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.CopyFS(dir, os.DirFS(fixture)); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, dir); v.Status != Intact || v.Size != 329 || !strings.Contains(strings.Join(v.Checked, " "), "20 rows are withheld") {
		t.Fatalf("%v, %d rows, %q, damage %+v", v.Status, v.Size, v.Checked, v.Damage)
	}
	c := &clock{day0.AddDate(0, 0, 2)}
	l := openAt(t, dir, c)
	if r, err := l.Row(20); err != nil || !strings.Contains(string(r.JSON), `"host":"a.example"`) {
		t.Errorf("row 20: %s, %v", r.JSON, err)
	}
	addRows(t, l, 3)
	closeLedger(t, l)
	if v := verify(t, dir); v.Status != Intact || v.Size != 332 {
		t.Errorf("after going on: %v, %d rows, damage %+v", v.Status, v.Size, v.Damage)
	}
}
