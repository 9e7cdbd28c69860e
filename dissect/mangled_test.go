package dissect

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"netaudit/tap"
)

// mangled is how often each capture is damaged; NETAUDIT_MANGLED names more.
func mangled(t *testing.T) int {
	t.Helper()
	text := os.Getenv("NETAUDIT_MANGLED")
	if text == "" {
		return 10
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDamagedCapturesAreReadToTheirEnd reads all captures with random bytes in place of some, cut frames, and frames that come twice or in another order: whole conversations that are nearly right reach places that a fuzzer's single
// inputs hardly do. Each of the damages has a number of its own, which the test names when it panics.
func TestDamagedCapturesAreReadToTheirEnd(t *testing.T) {
	files, err := filepath.Glob("../tap/testdata/captures/*.pcap*")
	if err != nil || len(files) == 0 {
		t.Fatalf("captures: %v, error %v", files, err)
	}
	for _, file := range files {
		frames := framesOf(t, file)
		for damage := range uint64(mangled(t)) {
			readDamaged(t, file, frames, damage)
		}
	}
}

func framesOf(t *testing.T, file string) (frames []tap.Packet) {
	t.Helper()
	s, err := tap.OpenFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var p tap.Packet
	for s.Next(t.Context(), &p) == nil {
		kept := p
		kept.Data = bytes.Clone(p.Data)
		frames = append(frames, kept)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return frames
}

func readDamaged(t *testing.T, file string, frames []tap.Packet, damage uint64) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("%s, damage %d", filepath.Base(file), damage)
			panic(r)
		}
	}()
	random := rand.New(rand.NewPCG(damage, 0))
	rate := []float64{0.0005, 0.005, 0.02}[damage%3] // of the bytes
	e := New(Config{}, &collector{})
	for i := range frames {
		p := frames[i]
		if random.IntN(20) == 0 {
			p = frames[random.IntN(len(frames))]
			p.Time = frames[i].Time
		}
		p.Data = bytes.Clone(p.Data)
		for at := int(random.ExpFloat64() / rate); at < len(p.Data); at += 1 + int(random.ExpFloat64()/rate) {
			p.Data[at] = byte(random.Uint32())
		}
		if random.IntN(50) == 0 {
			p.Data = p.Data[:random.IntN(len(p.Data)+1)]
		}
		e.Packet(&p)
	}
	e.Close()
}
