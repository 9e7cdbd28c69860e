package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// residentOf adds up what the kernel counts as memory of this process for its mappings of some files, in KiB, and says how many mappings there are (proc_pid_smaps(5)).
func residentOf(t *testing.T, pattern string) (mappings, kib int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 0 && !strings.HasSuffix(fields[0], ":") { // the header of a mapping
			inside, err = filepath.Match(pattern, fields[len(fields)-1])
			if err != nil {
				t.Fatal(err)
			}
			if inside {
				mappings++
			}
		}
		n := 0
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &n); err == nil && inside {
			kib += n
		}
	}
	return mappings, kib
}

// TestTablesTakeNoMemory writes tables, lets retention write them anew, and reads every row. What is read of a table through its mapping would count as memory of this process for as long as the table is there: 100 MiB in a
// reader of nine million rows, and the whole log in whoever verifies it or has written it.
func TestTablesTakeNoMemory(t *testing.T) {
	l := mixedLog(t)
	defer closeLedger(t, l)
	readThrough(t, l)
	if v, err := l.Verify(t.Context(), nil); err != nil || v.Status != Intact {
		t.Fatalf("%v, %v", v.Status, err)
	}
	tables, kib := residentOf(t, filepath.Join(badgerPath(l.dir), "*.sst"))
	if tables == 0 || kib > 0 {
		t.Errorf("%d tables are mapped, and %d KiB of them are in memory", tables, kib)
	}
}
