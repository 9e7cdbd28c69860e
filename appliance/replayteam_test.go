package appliance

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"netaudit/attribution/party"
	"netaudit/dissect"
	"netaudit/ledger"
	"netaudit/tap"
)

// replayText is what some workers write about a capture, and what else they say.
func replayText(t *testing.T, path string, workers int, strict bool) (text string, r *Replay, err error) {
	t.Helper()
	parties, err := party.Load()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r = &Replay{Parties: parties, Workers: workers, Strict: strict, Out: &out, Line: appendLine}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	err = r.Run(ctx, path)
	return out.String(), r, err
}

func appendLine(b []byte, e *ledger.Event) []byte { return append(e.AppendJSON(b), '\n') }

// sameForAll compares what one worker writes with what several do, byte for byte.
func sameForAll(t *testing.T, path string, strict bool) {
	t.Helper()
	want, one, wantErr := replayText(t, path, 1, strict)
	for workers := 2; workers <= dissect.Shards; workers++ {
		got, r, err := replayText(t, path, workers, strict)
		if got != want {
			t.Errorf("%s, %d workers: %s", filepath.Base(path), workers, firstDifference(want, got))
		}
		if fmt.Sprint(err) != fmt.Sprint(wantErr) || r.Packets != one.Packets || r.Bytes != one.Bytes || !maps.Equal(r.Malformed, one.Malformed) {
			t.Errorf("%s, %d workers: %d packets, %d bytes, %v, error %v; want %d, %d, %v, %v",
				filepath.Base(path), workers, r.Packets, r.Bytes, r.Malformed, err, one.Packets, one.Bytes, one.Malformed, wantErr)
		}
	}
}

func firstDifference(want, got string) string {
	a, b := bytes.Split([]byte(want), []byte("\n")), bytes.Split([]byte(got), []byte("\n"))
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i], b[i]) {
			return fmt.Sprintf("row %d is\n%s\nwant\n%s", i, b[i], a[i])
		}
	}
	return fmt.Sprintf("%d rows, want %d", len(b), len(a))
}

// TestWorkersWriteTheSameRows: however many workers share a capture, rows, their order, counters and errors are those of one.
func TestWorkersWriteTheSameRows(t *testing.T) {
	for _, path := range captures(t) {
		sameForAll(t, path, false)
	}
	sameForAll(t, "../tap/testdata/captures/web.pcap", true)
}

// TestWorkersWriteTheSameRowsOfDamagedFiles: the readable part, and where it ends.
func TestWorkersWriteTheSameRowsOfDamagedFiles(t *testing.T) {
	whole, err := os.ReadFile("../tap/testdata/captures/curl.pcap")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 24, 30, len(whole) / 2, len(whole) - 3} {
		path := filepath.Join(t.TempDir(), "cut.pcap")
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		sameForAll(t, path, false)
	}
}

// manyCaptures writes all captured Ethernet frames into one file of many pieces, several times: the clock runs forward by hours and back, conversations come again, and what DNS says in one
// piece names flows of the next. Some frames are cut, and all are damaged as change says.
func manyCaptures(t *testing.T, change func(frame []byte)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "many.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pcapgo.NewWriterNanos(f)
	if err := w.WriteFileHeader(1<<18, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	var frames []tap.Packet
	for _, path := range captures(t) {
		s, err := tap.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var p tap.Packet
		for s.Next(t.Context(), &p) == nil {
			if p.Link != tap.LinkEthernet {
				continue
			}
			p.Data = bytes.Clone(p.Data)
			frames = append(frames, p)
			if n := len(frames); n%20 == 0 { // cut somewhere
				p.Data = p.Data[:min(n%100, len(p.Data))]
				frames = append(frames, p)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for copies := range 4 {
		for _, p := range frames {
			change(p.Data)
			at := gopacket.CaptureInfo{CaptureLength: len(p.Data), Length: p.Length, Timestamp: time.Unix(0, p.Time).Add(time.Duration(copies) * 20 * time.Second)}
			if err := w.WritePacket(at, p.Data); err != nil {
				t.Fatal(err)
			}
		}
	}
	return path
}

func undamaged([]byte) {}

// TestWorkersWriteTheSameRowsOfDamagedPackets: random bytes in place of some, more in each copy. NETAUDIT_MANGLED names how many files are made.
func TestWorkersWriteTheSameRowsOfDamagedPackets(t *testing.T) {
	files := 1
	if text := os.Getenv("NETAUDIT_MANGLED"); text != "" {
		var err error
		if files, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range uint64(files) {
		random := rand.New(rand.NewPCG(seed, 1))
		path := manyCaptures(t, func(frame []byte) {
			const every = 1000 // bytes
			for at := int(random.ExpFloat64() * every); at < len(frame); at += 1 + int(random.ExpFloat64()*every) {
				frame[at] = byte(random.Uint32())
			}
		})
		sameForAll(t, path, seed%2 == 1)
		if err := os.Remove(path); err != nil || t.Failed() {
			t.Fatalf("with seed %d; error %v", seed, err)
		}
	}
}

func TestWorkersWriteTheSameRowsOfManyPieces(t *testing.T) {
	path := manyCaptures(t, undamaged)
	info, err := os.Stat(path)
	if err != nil || info.Size() < 8*pieceSize {
		t.Fatalf("%d bytes, error %v; want at least 8 pieces", info.Size(), err)
	}
	for range 3 { // workers meet in another way each time
		sameForAll(t, path, false)
	}
}

// flood is a compressed capture of SYNs from ever new sources among TLS calls; then hours pass at once, or the capture ends.
func flood(t *testing.T, sources int, passes time.Duration) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "flood.pcap.gz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	w := pcapgo.NewWriterNanos(z)
	if err := w.WriteFileHeader(1<<18, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	s, err := tap.OpenFile("../tap/testdata/captures/curl.pcap")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	syn := make([]byte, 54)
	copy(syn[12:], []byte{8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 11, 0, 0, 0, 10, 0, 0, 1})
	copy(syn[34:], []byte{0x90, 0, 0x1f, 0x90, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2})
	at := time.Unix(1_790_000_000, 0)
	write := func(data []byte) {
		if err := w.WritePacket(gopacket.CaptureInfo{CaptureLength: len(data), Length: len(data), Timestamp: at}, data); err != nil {
			t.Fatal(err)
		}
	}
	var p tap.Packet
	for i := range sources {
		at = at.Add(2 * time.Microsecond)
		syn[26], syn[27], syn[28], syn[29] = 11, byte(i>>16), byte(i>>8), byte(i)
		write(syn)
		if i%500 == 0 && s.Next(t.Context(), &p) == nil {
			write(p.Data)
		}
	}
	at = at.Add(passes)
	syn[13+17] = 99
	write(syn)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWorkersWriteTheSameRowsOfAFlood: a full table, and hundreds of thousands of flows that end at one frame, or with the file.
func TestWorkersWriteTheSameRowsOfAFlood(t *testing.T) {
	for _, c := range []struct {
		sources, workers int
		passes           time.Duration
	}{{60_000, 3, 3 * time.Hour}, {210_000, 2, 0}} {
		path := flood(t, c.sources, c.passes)
		want, _, err := replayText(t, path, 1, false)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := replayText(t, path, c.workers, false); got != want || err != nil {
			t.Errorf("%d workers: %s, error %v", c.workers, firstDifference(want, got), err)
		}
	}
}

// stopAfter is an Out that ends the context, or fails, after some rows.
type stopAfter struct {
	rows int
	stop func()
}

var errFull = errors.New("no space left")

func (s *stopAfter) Write(b []byte) (int, error) {
	if s.rows--; s.rows > 0 {
		return len(b), nil
	}
	if s.stop == nil {
		return 0, errFull
	}
	s.stop()
	return len(b), nil
}

// TestWorkersEndTogether when nobody wants their rows any more.
func TestWorkersEndTogether(t *testing.T) {
	parties, err := party.Load()
	if err != nil {
		t.Fatal(err)
	}
	path := manyCaptures(t, undamaged)
	for name, c := range map[string]struct {
		fails bool
		want  error
	}{"the context ends": {false, context.Canceled}, "the output fails": {true, errFull}} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &stopAfter{rows: 100, stop: cancel}
		if c.fails {
			out.stop = nil
		}
		ended := make(chan error, 1)
		go func() {
			ended <- (&Replay{Parties: parties, Workers: 3, Out: out, Line: appendLine}).Run(ctx, path)
		}()
		select {
		case err := <-ended:
			if !errors.Is(err, c.want) {
				t.Errorf("%s: error %v, want %v", name, err, c.want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: the workers wait for each other", name)
		}
		cancel()
	}
}

// TestShareOfAFile: what is long and of TCP is shared, what is short or of DNS is not, and what is asked for is done.
func TestShareOfAFile(t *testing.T) {
	long, short := manyCaptures(t, undamaged), "../tap/testdata/captures/curl.pcap"
	for _, c := range []struct {
		path       string
		asked, got int
	}{{short, 0, 1}, {short, 3, 3}, {long, 99, dissect.Shards}, {"-", 0, 1}, {"-", 2, 2}, {"/no/such/file", 0, 1}} {
		r := &Replay{Workers: c.asked, Line: appendLine, Out: io.Discard}
		if got, _ := r.share(t.Context(), c.path); got != c.got {
			t.Errorf("%s, %d asked for: %d workers, want %d", c.path, c.asked, got, c.got)
		}
	}
	for _, c := range []struct {
		load    [dissect.Shards]int
		workers int
		owner   [dissect.Shards]int
		most    float64
	}{
		{[dissect.Shards]int{0, 25, 25, 25, 25}, 2, [dissect.Shards]int{0, 0, 1, 0, 1}, 0.5},
		{[dissect.Shards]int{60, 10, 10, 10, 10}, 2, [dissect.Shards]int{0, 1, 1, 1, 1}, 0.6},
		{[dissect.Shards]int{1, 0, 0, 0, 0}, 2, [dissect.Shards]int{0, 1, 1, 1, 1}, 1},
	} {
		if owner, most := divide(c.load, c.workers); owner != c.owner || most != c.most {
			t.Errorf("%v between %d: %v, %v; want %v, %v", c.load, c.workers, owner, most, c.owner, c.most)
		}
	}
}

// cutAfter is an Out that cuts the file that is read.
type cutAfter struct {
	rows int
	cut  func()
}

func (c *cutAfter) Write(b []byte) (int, error) {
	if c.rows--; c.rows == 0 {
		c.cut()
	}
	return len(b), nil
}

// TestAFileThatIsCutWhileItIsRead gives an error, and ends neither the program nor counts as its mistake.
func TestAFileThatIsCutWhileItIsRead(t *testing.T) {
	parties, err := party.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{1, 3} {
		path := manyCaptures(t, undamaged)
		if workers > 1 {
			path = fourTimes(t, path)
		}
		out := &cutAfter{rows: 50, cut: func() {
			if err := os.Truncate(path, 100<<10); err != nil {
				t.Error(err)
			}
		}}
		failed := func(f dissect.Failure) { t.Errorf("%d workers: a mistake: %v\n%s", workers, f.Value, f.Stack) }
		r := &Replay{Parties: parties, Workers: workers, Out: out, Line: appendLine, Failed: failed}
		err := r.Run(t.Context(), path)
		var of *tap.FileError
		if !errors.As(err, &of) || !strings.Contains(err.Error(), "became shorter while it was read") || r.Packets == 0 {
			t.Errorf("%d workers: %d packets, error %v", workers, r.Packets, err)
		}
	}
}

// TestAFileThatIsCutWhileALedgerIsWritten is not mapped: what was read of it is written, and its end is where it is now.
func TestAFileThatIsCutWhileALedgerIsWritten(t *testing.T) {
	parties, err := party.Load()
	if err != nil {
		t.Fatal(err)
	}
	path := manyCaptures(t, undamaged)
	rows := 0
	r := &Replay{Parties: parties, Emit: func(ledger.Event) {
		if rows++; rows == 50 {
			if err := os.Truncate(path, 100<<10); err != nil {
				t.Error(err)
			}
		}
	}}
	var of *tap.FileError
	if err := r.Run(t.Context(), path); !errors.As(err, &of) || strings.Contains(err.Error(), "became shorter") || rows < 50 {
		t.Errorf("%d rows, error %v", rows, err)
	}
}

// fourTimes is a capture four times as long.
func fourTimes(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const header = 24
	frames := bytes.Repeat(text[header:], 4)
	path = filepath.Join(t.TempDir(), "long.pcap")
	if err := os.WriteFile(path, append(text[:header:header], frames...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
