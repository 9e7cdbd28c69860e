package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullDiskStopsTheLedgerBeforeAnythingIsLost fills a real file system until the ledger refuses, and then goes on on a larger one.
func TestFullDiskStopsTheLedgerBeforeAnythingIsLost(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root to mount a small file system; CI must run as root")
		}
		t.Skip("needs root to mount a small file system: run make test")
	}
	mount := t.TempDir()
	if err := unix.Mount("netaudit-test", mount, "tmpfs", 0, "size=500m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(mount, "state")
	l, err := Open(dir, Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mount, "other"), make([]byte, 225<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	acknowledged, failed := uint64(0), error(nil)
	for i := 0; failed == nil && i < 1_000_000; i++ {
		e := sample(i)
		e.Message = strings.Repeat("x", 20000)
		if failed = l.Append(t.Context(), e); failed != nil {
			break
		}
		if i%50 == 49 {
			if failed = l.Flush(t.Context()); failed == nil {
				acknowledged = l.Size()
			}
		}
	}
	if failed == nil || !strings.Contains(failed.Error(), "are free in") {
		t.Fatalf("after %d rows: error %v, want one that says how much is free", acknowledged, failed)
	}
	select {
	case <-l.Failed():
	default:
		t.Error("the ledger does not say that it failed")
	}
	if err := l.Close(); err != nil && !errors.Is(err, failed) && !strings.Contains(err.Error(), "are free in") {
		t.Errorf("close: %v", err)
	}
	if err := os.Remove(filepath.Join(mount, "other")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("netaudit-test", mount, "tmpfs", unix.MS_REMOUNT, "size=900m"); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, dir); v.Status != Intact || v.Size < acknowledged {
		t.Fatalf("%v with %d rows, %d were acknowledged; damage %+v", v.Status, v.Size, acknowledged, v.Damage)
	}
	appendRows(t, dir, 10)
	if v := verify(t, dir); v.Status != Intact || v.Size < acknowledged+10 {
		t.Errorf("after going on: %v with %d rows; damage %+v", v.Status, v.Size, v.Damage)
	}
	t.Logf("%d rows were acknowledged before the disk was full", acknowledged)
}
