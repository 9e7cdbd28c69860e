package ledger

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// sector is what a disk writes at once, in bytes.
const sector = 512

// image is a state directory at a moment, and what was acknowledged by then.
type image struct {
	dir   string
	acked history
}

// powerLosses is how many states are built in make test; make soak sets NETAUDIT_POWER_LOSSES.
func powerLosses() int {
	if n, err := strconv.Atoi(os.Getenv("NETAUDIT_POWER_LOSSES")); err == nil {
		return n
	}
	return 12
}

// TestPowerLossBetweenTwoSyncs takes the files of a ledger before and after each step that ends with a sync, and builds what a power cut in between may leave: of every file that the step wrote, each sector old or new; of files that
// it made, replaced or removed, the old or the new one. Every such state recovers to a log that holds all that was acknowledged.
func TestPowerLossBetweenTwoSyncs(t *testing.T) {
	images := syncedImages(t)
	outcomes := map[string]int{}
	for range powerLosses() {
		i := rand.IntN(len(images) - 1)
		seed := rand.Uint64()
		dir := filepath.Join(t.TempDir(), "state")
		mix(t, images[i].dir, images[i+1].dir, dir, rand.New(rand.NewPCG(seed, 0)))
		l, err := Open(dir, Options{Clock: (&clock{day0.AddDate(0, 0, 9)}).read})
		if err != nil {
			t.Fatalf("step %d, seed %d: %v", i, seed, err)
		}
		outcomes[l.Recovery().Status]++
		images[i].acked.holds(t, l)
		addRows(t, l, 2)
		closeLedger(t, l)
		if v := verify(t, dir); v.Status != Intact {
			t.Fatalf("step %d, seed %d: %+v", i, seed, v.Damage)
		}
		if err := os.RemoveAll(dir); err != nil { // thousands of them would fill the disk
			t.Fatal(err)
		}
	}
	t.Logf("%d states between %d moments: %v", powerLosses(), len(images), outcomes)
	if outcomes["clean"] == 0 || outcomes["recovered"] == 0 {
		t.Error("one of the two outcomes never came: the states are too much alike")
	}
}

// syncedImages writes rows on three days and keeps the files before and after each step.
func syncedImages(t *testing.T) (images []image) {
	t.Helper()
	dir, c := filepath.Join(t.TempDir(), "state"), &clock{day0}
	var acked history
	keep := func(string, bool) error {
		to := filepath.Join(t.TempDir(), "image")
		copyTo(t, dir, to)
		images = append(images, image{to, history{acked.sizes[:len(acked.sizes):len(acked.sizes)], acked.roots[:len(acked.roots):len(acked.roots)]}})
		return nil
	}
	l, err := Open(dir, Options{Create: true, Clock: c.read})
	if err != nil {
		t.Fatal(err)
	}
	closeLedger(t, l)
	if l, err = Open(dir, Options{Clock: c.read, fault: keep}); err != nil {
		t.Fatal(err)
	}
	for i, rows := range []int{1, 30, 300, 7} {
		c.now = day0.AddDate(0, 0, i)
		addRows(t, l, rows)
		acked.note(l.Size(), l.Checkpoint().Root)
	}
	closeLedger(t, l)
	return images
}

// mix builds one of the states between two.
func mix(t *testing.T, before, after, dir string, r *rand.Rand) {
	t.Helper()
	copyTo(t, before, dir)
	err := filepath.WalkDir(after, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(after, path)
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(filepath.Join(dir, name), 0o700))
		}
		into := filepath.Join(dir, name)
		if _, err := os.Stat(into); errors.Is(err, fs.ErrNotExist) || filepath.Dir(name) != "badger" { // made, or renamed over the old one after a sync
			if r.IntN(2) == 0 {
				return nil
			}
			if err := os.Remove(into); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return copyFile(path, into)
		}
		return tear(into, path, r)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tear takes sectors of a file's new content over: mostly all or none of them, so that states near both ends come too.
func tear(into, from string, r *rand.Rand) error {
	was, err := os.ReadFile(into)
	if err != nil {
		return err
	}
	now, err := os.ReadFile(from)
	if err != nil || bytes.Equal(was, now) {
		return err
	}
	f, err := os.OpenFile(into, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	share := []int{0, 5, 50, 95, 100}[r.IntN(5)]
	for at := 0; at < len(now) && err == nil; at += sector {
		end := min(at+sector, len(now))
		if (end > len(was) || !bytes.Equal(was[at:end], now[at:end])) && r.IntN(100) < share {
			_, err = f.WriteAt(now[at:end], int64(at))
		}
	}
	return errors.Join(err, f.Close())
}
