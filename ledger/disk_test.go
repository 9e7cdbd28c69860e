package ledger

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallFileSystem mounts a tmpfs.
func smallFileSystem(t *testing.T) (mount string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root to mount a small file system; CI must run as root")
		}
		t.Skip("needs root to mount a small file system: run make test")
	}
	mount = t.TempDir()
	if err := unix.Mount("netaudit-test", mount, "tmpfs", 0, "size=450m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	return mount
}

// fillDisk leaves so many bytes free.
func fillDisk(t *testing.T, mount string, left uint64) (file string) {
	t.Helper()
	free, _, err := space(mount)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(mount, "other")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, int64(free-left)), f.Close()); err != nil {
		t.Fatal(err)
	}
	return file
}

// noise is text that cannot be compressed by much.
func noise(length int) string {
	b := make([]byte, length*3/4)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(b)
}

// until waits for something that other goroutines bring about.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for range 6000 {
		if happened() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("in a minute it did not happen that %s", what)
}

// TestFullDiskStopsTheLedgerAndItGoesOnByItself fills a real file system under a ledger that writes, to the last byte, over the end of a day, and gives space free again.
func TestFullDiskStopsTheLedgerAndItGoesOnByItself(t *testing.T) {
	mount := smallFileSystem(t)
	dir := filepath.Join(mount, "state")
	var now atomic.Int64
	now.Store(day0.UnixNano())
	l, err := Open(dir, Options{Create: true, Queue: 64, Clock: func() time.Time { return time.Unix(0, now.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	addRows(t, l, 10)
	other := fillDisk(t, mount, 270<<20)
	acknowledged := uint64(0)
	for i := 0; l.Err() == nil && i < 100_000; i++ { // the ledger itself takes the last space that it may have
		e := sample(i)
		e.Message = noise(20000)
		l.TryAppend(e)
		acknowledged = l.Size()
	}
	until(t, "the ledger says that it cannot write", func() bool { return l.Err() != nil })
	var full *FullError
	if !errors.As(l.Err(), &full) || full.Free >= full.Need {
		t.Fatalf("after %d rows: error %v, want one that says how much is free", acknowledged, l.Err())
	}
	lostBefore, sizeFull := l.Lost(), l.Size()
	if last := lastEvent(t, l); last.Rule != "disk_full" {
		t.Errorf("the last words are %+v", last)
	}
	for i := range 200 {
		if err := l.Append(t.Context(), sample(i)); err != nil && !errors.Is(err, ErrNotTaken) {
			t.Fatal(err)
		}
	}
	if n := l.Lost() - lostBefore; n < 200-64 {
		t.Errorf("%d rows were not taken, at least %d had no room", n, 200-64)
	}
	rest := filepath.Join(mount, "rest")
	free, _, err := space(mount)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(rest, make([]byte, free-6<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	now.Add(secondsOfDay * int64(time.Second))
	until(t, "the day that ended is sealed", func() bool { return l.LastSeal() != nil })
	if l.Size() != sizeFull {
		t.Errorf("%d rows, %d when the disk was full", l.Size(), sizeFull)
	}
	if _, err := Open(filepath.Join(mount, "second"), Options{Create: true}); !errors.As(err, &full) {
		t.Errorf("a ledger on a full disk: %v", err)
	}
	remove(t, rest)
	remove(t, other)
	until(t, "the ledger goes on", func() bool { return l.Err() == nil })
	addRows(t, l, 5)
	var gaps []Event
	if err := l.Rows(t.Context(), 0, func(r Row) bool {
		if e, err := ParseEvent(r.JSON); err != nil || e.Kind == "gap" {
			gaps = append(gaps, e)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	lost := int64(0)
	for _, g := range gaps {
		lost += g.Gap.Count
	}
	if n := len(gaps); n == 0 || gaps[n-1].Gap.Reason != "disk_full" || gaps[n-1].End <= gaps[n-1].Start || lost != int64(l.Lost()) {
		t.Errorf("gap rows %+v; %d rows were lost", gaps, l.Lost())
	}
	if _, err := os.Stat(ballastPath(dir)); err != nil {
		t.Errorf("no new ballast: %v", err)
	}
	closeLedger(t, l)
	if v := verify(t, dir); v.Status != Intact || v.Size < acknowledged+15 {
		t.Fatalf("%v with %d rows, %d were acknowledged; damage %+v", v.Status, v.Size, acknowledged, v.Damage)
	}
}

// TestFullDiskDoesNotHoldUpClosing closes a ledger that cannot write: it says what was not written, and everything before is there.
func TestFullDiskDoesNotHoldUpClosing(t *testing.T) {
	mount := smallFileSystem(t)
	dir := filepath.Join(mount, "state")
	l, err := Open(dir, Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	addRows(t, l, 10)
	other := fillDisk(t, mount, 100<<20)
	if !l.TryAppend(sample(1)) {
		t.Fatal("no room in the queue")
	}
	until(t, "the ledger says that it cannot write", func() bool { return l.Err() != nil })
	if err := l.Close(); !errors.As(err, new(*FullError)) || !strings.Contains(err.Error(), "1 rows could not be written") {
		t.Errorf("close: %v", err)
	}
	if _, err := Open(dir, Options{Continue: true}); !errors.As(err, new(*FullError)) {
		t.Errorf("opening on a full disk: %v", err)
	}
	remove(t, other)
	if v := verify(t, dir); v.Status != Intact || v.Size != 11 { // with the last words
		t.Errorf("%v with %d rows; damage %+v", v.Status, v.Size, v.Damage)
	}
}

func lastEvent(t *testing.T, l *Ledger) Event {
	t.Helper()
	row, err := l.Row(l.Size() - 1)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ParseEvent(row.JSON)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
