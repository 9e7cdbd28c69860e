package ledger

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// obstruct puts directories where the store's next n tables are to be created, as a full disk or too many open files would keep it from creating them.
func obstruct(t *testing.T, dir string, n int) (remove func()) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(badgerPath(dir), "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	newest := 0
	for _, table := range tables {
		var id int
		if _, err := fmt.Sscanf(filepath.Base(table), "%d.sst", &id); err != nil {
			t.Fatal(err)
		}
		newest = max(newest, id)
	}
	var obstacles []string
	for id := newest + 1; id <= newest+n; id++ {
		obstacles = append(obstacles, filepath.Join(badgerPath(dir), fmt.Sprintf("%06d.sst", id)))
		if err := os.Mkdir(obstacles[len(obstacles)-1], 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		for _, o := range obstacles {
			if err := os.Remove(o); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestFailedMergeLosesNoRow lets the store merge its tables while no table can be created. As published, Badger v4.9.6 takes that for success and deletes the merged tables (ledger/third_party/README.md).
func TestFailedMergeLosesNoRow(t *testing.T) {
	p := newPlace(t)
	db, err := openStore(p.dir, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	remove := obstruct(t, p.dir, 20)
	first := dayAt(day0.UnixNano())
	if err := db.DropPrefix(newest.day(first)); err == nil {
		t.Error("a day was dropped although no table could be created")
	}
	remove()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, p.dir); v.Status != Intact {
		t.Errorf("%v, %d rows, %+v", v.Status, v.Size, v.Damage)
	}
}

// TestRetentionThatCannotBeStoredIsDoneLater lets a day be taken away while no table can be created: retention says so, no row of another day is lost, and the next start takes the rest away.
func TestRetentionThatCannotBeStoredIsDoneLater(t *testing.T) {
	p := newPlace(t)
	l := openAt(t, p.dir, p.clock)
	remove := obstruct(t, p.dir, 4)
	if _, err := l.Retain(t.Context(), Policy{MaxAge: 30 * time.Hour}); err == nil {
		t.Error("retention was done although no table could be created")
	}
	remove()
	addRows(t, l, 3)
	closeLedger(t, l)
	l = openAt(t, p.dir, p.clock)
	addRows(t, l, 3)
	closeLedger(t, l)
	if v := verify(t, p.dir); v.Status != Intact || !slices.ContainsFunc(v.Checked, func(s string) bool { return strings.HasPrefix(s, "100 rows are withheld") }) {
		t.Errorf("%v, %+v, %q", v.Status, v.Damage, v.Checked)
	}
}
