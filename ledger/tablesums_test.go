package ledger

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tabled is a closed ledger some of whose rows lie in tables.
func tabled(t *testing.T) (dir string, files []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	l := openAt(t, dir, &clock{day0})
	addRows(t, l, 3000)
	closeLedger(t, l)
	files, err := filepath.Glob(filepath.Join(badgerPath(dir), "*.sst"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	return dir, files
}

func TestTablesAreComparedWithTheirSums(t *testing.T) {
	dir, files := tabled(t)
	if sums := readTableSums(dir); len(sums) != len(files) {
		t.Fatalf("%d sums of %d tables", len(sums), len(files))
	}
	for _, c := range []struct {
		name string
		harm func(t *testing.T, file string)
		want string // in the error; "": none
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"no sums", func(t *testing.T, _ string) { remove(t, filepath.Join(dir, tableSumsName)) }, ""},
		{"sums of other tables", func(t *testing.T, _ string) { write(t, filepath.Join(dir, tableSumsName), "x") }, ""},
		{"a bit of a block", func(t *testing.T, file string) { flip(t, file, 1000, 3) }, "it"},
		{"a bit of the index", func(t *testing.T, file string) { flip(t, file, sizeOf(t, file)-100, 3) }, "its checksums"},
		{"the length of the index", func(t *testing.T, file string) { flip(t, file, sizeOf(t, file)-1, 3) }, "it"},
		{"cut off", func(t *testing.T, file string) {
			if err := os.Truncate(file, 700); err != nil {
				t.Fatal(err)
			}
		}, "it"},
		{"empty", func(t *testing.T, file string) {
			if err := os.Truncate(file, 0); err != nil {
				t.Fatal(err)
			}
		}, "it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			c.harm(t, files[0])
			_, err = checkTables(dir, badgerPath(dir), false)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			l, err := Open(dir, Options{})
			if err == nil {
				closeLedger(t, l)
			}
			if c.want != "" && !errors.As(err, new(*DamagedError)) || c.want == "" && err != nil {
				t.Errorf("opening: %v", err)
			}
			if err := os.WriteFile(files[0], before, 0o600); err != nil {
				t.Fatal(err)
			}
			if sums := readTableSums(dir); c.want == "" && len(sums) < len(files) {
				t.Errorf("%d sums", len(sums))
			}
		})
	}
}

// TestChangedTableWithAChangedSumIsFoundByVerifying: the sums spare opening a log the reading of all blocks, and are for disks that lose bits. Who changes a table can change its sum.
func TestChangedTableWithAChangedSumIsFoundByVerifying(t *testing.T) {
	dir, files := tabled(t)
	flip(t, files[0], 1000, 3)
	sumAgain(t, dir, files[0])
	if _, err := checkTables(dir, badgerPath(dir), false); err != nil {
		t.Errorf("blocks were read although the sum is that of the file: %v", err)
	}
	if v := verify(t, dir); v.Status != Tampered {
		t.Errorf("%v, %+v", v.Status, v.Damage)
	}
}

// sumAgain writes the sum of a changed table.
func sumAgain(t *testing.T, dir, file string) {
	t.Helper()
	s, err := sumTable(file)
	if err != nil {
		t.Fatal(err)
	}
	sums := readTableSums(dir)
	sums[filepath.Base(file)] = s
	if err := writeTableSums(dir, sums); err != nil {
		t.Fatal(err)
	}
}

func sizeOf(t *testing.T, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func FuzzTableSums(f *testing.F) {
	f.Add([]byte(tableSumsHeader + "000001.sst 12 00000001\nsum 00000000\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, tableSumsName), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if sums := readTableSums(dir); len(sums) > bytes.Count(text, []byte("\n")) {
			t.Errorf("%d sums", len(sums))
		}
	})
}
