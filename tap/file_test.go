package tap

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/pcap"
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
		f.Add(text[:min(len(text), 3000)])
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
