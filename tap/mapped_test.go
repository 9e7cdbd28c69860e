package tap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// copies is a capture with the frames of another one, many times.
func copies(t *testing.T, size int) (path string) {
	t.Helper()
	whole, err := os.ReadFile("testdata/captures/curl.pcap")
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Clone(whole)
	for len(text) < size {
		text = append(text, whole[pcapHeader:]...)
	}
	path = filepath.Join(t.TempDir(), "copies.pcap")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPiecesAreTheFile: whatever the size of the pieces, packets are those that are read without them, and stay what they are until their piece is released.
func TestPiecesAreTheFile(t *testing.T) {
	path := copies(t, 3<<20)
	whole, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := allPackets(t, whole)
	for _, size := range []int{1, 5000, 512 << 10, 64 << 20} {
		var release []func()
		s, err := OpenPieces(path, size, func(done func()) { release = append(release, done) })
		if err != nil {
			t.Fatal(err)
		}
		var got []Packet
		var p Packet
		for err = s.Next(t.Context(), &p); err == nil; err = s.Next(t.Context(), &p) {
			got = append(got, p)
		}
		if !errors.Is(err, io.EOF) || len(got) != len(want) {
			t.Fatalf("pieces of %d bytes: %d packets, error %v; want %d", size, len(got), err, len(want))
		}
		for i := range got {
			if got[i].Time != want[i].Time || !bytes.Equal(got[i].Data, want[i].Data) {
				t.Fatalf("pieces of %d bytes: packet %d is another one", size, i)
			}
		}
		if st := s.Stats(); st.FileBytesRead != st.FileBytesTotal || len(release) < int(st.FileBytesTotal)/max(size, 1<<20) {
			t.Errorf("pieces of %d bytes: read %d of %d bytes in %d pieces", size, st.FileBytesRead, st.FileBytesTotal, len(release))
		}
		for _, done := range release {
			done()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// allPackets reads a source to its end and closes it.
func allPackets(t *testing.T, s Source) (list []Packet, err error) {
	t.Helper()
	var p Packet
	for err = s.Next(t.Context(), &p); err == nil; err = s.Next(t.Context(), &p) {
		p.Data = bytes.Clone(p.Data)
		list = append(list, p)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return list, err
}

// TestPiecesOfAFileThatIsCut: what was mapped faults, and what was not says why.
func TestPiecesOfAFileThatIsCut(t *testing.T) {
	path := copies(t, 3<<20)
	s, err := OpenPieces(path, 1<<20, func(func()) {})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var p Packet
	if err := s.Next(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	if UntilFault(func() { err = s.Next(t.Context(), &p) }) || err != nil {
		t.Errorf("within what is left: %v", err)
	}
	for range 100 {
		if UntilFault(func() { err = s.Next(t.Context(), &p) }) {
			break
		}
		if err != nil {
			t.Fatalf("error %v; want a fault", err)
		}
	}
	if err == nil && !UntilFault(func() { _ = s.Next(t.Context(), &p) }) {
		t.Error("what was cut off could be read")
	}
	w := s.(*fileSource).window
	w.offset += 2 << 20 // behind what was mapped
	w.begin = w.end
	if err := s.Next(t.Context(), &p); err == nil || !strings.Contains(err.Error(), errShorter.Error()) {
		t.Errorf("error %v, want %q", err, errShorter)
	}
}

// TestUntilFaultLetsOthersPass: a mistake is no fault.
func TestUntilFaultLetsOthersPass(t *testing.T) {
	defer func() {
		if value := recover(); value == nil || IsFault(value) {
			t.Errorf("recovered %v", value)
		}
	}()
	var none *Packet
	UntilFault(func() { none.Length++ })
}

// FuzzPieces: a mapped file gives the packets and the error that a file gives which is read.
func FuzzPieces(f *testing.F) {
	for _, name := range []string{"dns.pcap", "go.pcapng", "starttls.pcap"} {
		text, err := os.ReadFile("testdata/captures/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text[:min(len(text), 9000)], uint16(1))
		f.Add(lz4Frame(f, text[:min(len(text), 3000)]), uint16(5000))
	}
	f.Fuzz(func(t *testing.T, text []byte, size uint16) {
		fd, err := unix.MemfdCreate("capture", unix.MFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		file := os.NewFile(uintptr(fd), "capture")
		defer file.Close()
		if _, err := file.Write(text); err != nil {
			t.Fatal(err)
		}
		path := fmt.Sprintf("/proc/self/fd/%d", fd)
		s, openErr := OpenFile(path)
		release := func() {}
		defer func() { release() }()
		pieces, err := OpenPieces(path, int(size), func(done func()) { release(); release = done })
		if openErr != nil || err != nil {
			if fmt.Sprint(openErr) != fmt.Sprint(err) {
				t.Errorf("read: %v; mapped: %v", openErr, err)
			}
			return
		}
		want, wantErr := allPackets(t, s)
		got, err := allPackets(t, pieces)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) || !slices.EqualFunc(got, want, func(a, b Packet) bool {
			return a.Time == b.Time && a.Length == b.Length && a.Link == b.Link && a.Iface == b.Iface && bytes.Equal(a.Data, b.Data)
		}) {
			t.Errorf("%d packets mapped, %v; %d read, %v", len(got), err, len(want), wantErr)
		}
	})
}
