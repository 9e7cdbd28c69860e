package tap

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/pcap"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// all reads a file to its end; the error is nil at a clean end.
func all(t *testing.T, path string) (frames [][]byte, times []int64, err error) {
	t.Helper()
	s, err := OpenFile(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	var p Packet
	for {
		switch err := s.Next(t.Context(), &p); {
		case errors.Is(err, io.EOF):
			return frames, times, nil
		case err != nil:
			return frames, times, err
		}
		frames, times = append(frames, bytes.Clone(p.Data)), append(times, p.Time)
	}
}

func TestFilesReadAsLibpcapReadsThem(t *testing.T) {
	paths, err := filepath.Glob("testdata/captures/*.pcap*")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	for _, path := range paths {
		frames, times, err := all(t, path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if filepath.Base(path) == "links.pcapng" { // libpcap reads no file with several link types
			continue
		}
		if strings.HasSuffix(path, ".gz") {
			path = unzipped(t, path)
		}
		h, err := pcap.OpenOffline(path)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for {
			data, info, err := h.ReadPacketData()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if n >= len(frames) || !bytes.Equal(data, frames[n]) || info.Timestamp.UnixNano()/1000 != times[n]/1000 {
				t.Fatalf("%s: packet %d differs from libpcap's", path, n)
			}
			n++
		}
		h.Close()
		if n != len(frames) || n == 0 {
			t.Errorf("%s: %d packets, libpcap reads %d", path, len(frames), n)
		}
	}
}

func unzipped(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(t.TempDir(), "plain.pcap")
	if err := os.WriteFile(plain, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return plain
}

func TestDamagedFilesGiveTheirBeginningAndThePlaceOfTheDamage(t *testing.T) {
	whole, err := os.ReadFile("testdata/captures/dns.pcap")
	if err != nil {
		t.Fatal(err)
	}
	every, _, err := all(t, "testdata/captures/dns.pcap")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cut.pcap")
	for size := 0; size < len(whole); size += 7 {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		frames, _, err := all(t, path)
		end := 24 // of the last whole record
		for _, f := range frames {
			end += 16 + len(f)
		}
		var damage *FileError
		switch {
		case size == end && err == nil: // cut between two records: nobody can know
		case !errors.As(err, &damage):
			t.Fatalf("cut after %d bytes: error %v, want *FileError", size, err)
		case size >= 24 && (damage.Offset < int64(end) || damage.Offset > int64(size)):
			t.Fatalf("cut after %d bytes: damage at %d, the last whole record ends at %d", size, damage.Offset, end)
		}
		for i, f := range frames {
			if !bytes.Equal(f, every[i]) {
				t.Fatalf("cut after %d bytes: packet %d differs", size, i)
			}
		}
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	s, err := OpenFile("testdata/captures/dns.pcap")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Next(ctx, &Packet{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// FuzzFile: whatever a file holds, reading ends, stays within bounds, and says where it broke.
func FuzzFile(f *testing.F) {
	for _, name := range []string{"dns.pcap", "go.pcapng", "starttls.pcap"} {
		text, err := os.ReadFile("testdata/captures/" + name)
		if err != nil {
			f.Fatal(err)
		}
		text = text[:min(len(text), 3000)]
		f.Add(text)
		f.Add(lz4Frame(f, text))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		s := &fileSource{path: "fuzz", ctx: t.Context(), closer: func() error { return nil }}
		err := s.begin(bytes.NewReader(text))
		total := 0
		for p := (Packet{}); err == nil; total += len(p.Data) {
			err = s.Next(t.Context(), &p)
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		var damage *FileError
		if err != nil && !errors.As(err, &damage) {
			t.Errorf("error %v is no *FileError", err)
		}
		if total > 2000*len(text)+1<<16 { // gzip expands at most 1032 to 1
			t.Errorf("%d bytes of frames out of a file of %d", total, len(text))
		}
	})
}

// TestRarerFormsOfCapturesAreRead: the same packets, written as older and other programs do, and packed.
func TestRarerFormsOfCapturesAreRead(t *testing.T) {
	const path = "testdata/captures/web.pcap"
	want, times, err := all(t, path)
	if err != nil || len(want) == 0 {
		t.Fatalf("%d packets, error %v", len(want), err)
	}
	plain, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	same := func(frame []byte) int { return len(frame) }
	packer, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"lz4":                     lz4Frame(t, plain),
		"zstd":                    packer.EncodeAll(plain, nil),
		"modified, little endian": written(binary.LittleEndian, magicModified, 4, want, times, make([]byte, 8), same),
		"modified, big endian":    written(binary.BigEndian, magicModified, 4, want, times, make([]byte, 8), same),
		"lengths swapped":         written(binary.LittleEndian, magicMicro, 3, want, times, nil, func(frame []byte) int { return len(frame) + 100 }),
	} {
		file := filepath.Join(t.TempDir(), "capture")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		frames, got, err := all(t, file)
		if err != nil || !slices.EqualFunc(frames, want, bytes.Equal) || !slices.Equal(got, times) {
			t.Errorf("%s: %d packets of %d, error %v", name, len(frames), len(want), err)
		}
	}
}

func lz4Frame(t testing.TB, plain []byte) []byte {
	t.Helper()
	var framed bytes.Buffer
	w := lz4.NewWriter(&framed)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return framed.Bytes()
}

// written writes a capture with more bytes in each record; first says what stands in front of the captured length, or in its place.
func written(order binary.AppendByteOrder, magic uint32, minor uint16, frames [][]byte, times []int64, more []byte, first func([]byte) int) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(order.AppendUint16(b, 2), minor)
	for _, v := range []uint32{0, 0, 1 << 18, uint32(LinkEthernet)} {
		b = order.AppendUint32(b, v)
	}
	for i, frame := range frames {
		for _, v := range []uint32{uint32(times[i] / 1e9), uint32(times[i] % 1e9 / 1e3), uint32(first(frame)), uint32(len(frame))} {
			b = order.AppendUint32(b, v)
		}
		b = append(append(b, more...), frame...)
	}
	return b
}
