package pystack

import (
	"encoding/binary"
	"io"
	"slices"
	"testing"
	"unicode/utf8"

	"netaudit/attribution/pystack/memory"
)

const pageBytes = 4096

// recorder keeps the pages that were read of a live process.
type recorder struct {
	below memory.Reader
	pages map[uint64][]byte
}

func (r *recorder) ReadAt(addr uint64, buf []byte) error {
	for page := addr &^ (pageBytes - 1); page < addr+uint64(len(buf)); page += pageBytes {
		if r.pages[page] == nil {
			b := make([]byte, pageBytes)
			if err := r.below.ReadAt(page, b); err != nil {
				return err
			}
			r.pages[page] = b
		}
	}
	return r.below.ReadAt(addr, buf)
}

// hostile is memory of recorded pages, some bytes of them changed.
type hostile struct {
	pages   map[uint64][]byte
	changed map[uint64]byte
}

func (h hostile) ReadAt(addr uint64, buf []byte) error {
	for done := 0; done < len(buf); {
		at := addr + uint64(done)
		page, ok := h.pages[at&^(pageBytes-1)]
		if !ok {
			return io.ErrUnexpectedEOF
		}
		done += copy(buf[done:], page[at&(pageBytes-1):])
	}
	for at, b := range h.changed {
		if at >= addr && at-addr < uint64(len(buf)) {
			buf[at-addr] = b
		}
	}
	return nil
}

// recorded is the memory that was read of one interpreter.
type recorded struct {
	rt    runtimeAt
	pages map[uint64][]byte
	order []uint64
}

func record(f *testing.F) []recorded {
	f.Helper()
	var out []recorded
	for _, py := range allPythons(f) {
		pid, _ := py.start(f, "import time\ndef grün(a):\n print('ready', flush=True)\n time.sleep(600)\ngrün(1)")
		p := open(f, pid)
		rec := &recorder{p.mem, map[uint64][]byte{}}
		p.mem = rec
		states, err := p.states()
		if err != nil {
			f.Fatal(err)
		}
		for _, s := range states {
			if _, err := framesOnce(p, s.addr); err != nil {
				f.Fatal(err)
			}
		}
		r := recorded{rt: p.rt, pages: rec.pages}
		for page := range rec.pages {
			r.order = append(r.order, page)
		}
		slices.Sort(r.order)
		out = append(out, r)
	}
	return out
}

// FuzzStackFromHostileMemory changes words in the memory of real interpreters. Whatever they say, reading ends, in bounds.
// The input is the interpreter, then twelve bytes a change: page, offset, the new word (or another recorded page's address).
func FuzzStackFromHostileMemory(f *testing.F) {
	all := record(f)
	for i := range all {
		f.Add([]byte{byte(i)})
		f.Add([]byte{byte(i), 1, 0, 16, 0, 255, 255, 255, 255, 255, 255, 255, 127})
		f.Add([]byte{byte(i), 2, 128, 8, 2, 1, 0, 0, 0, 0, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		r := all[int(in[0])%len(all)]
		mem := hostile{r.pages, map[uint64]byte{}}
		for in = in[1:]; len(in) >= 12; in = in[12:] {
			at := r.order[int(in[0])%len(r.order)] + uint64(binary.LittleEndian.Uint16(in[2:])&(pageBytes-1))
			word := binary.LittleEndian.Uint64(in[4:])
			if in[1]&128 != 0 {
				word = r.order[int(in[4])%len(r.order)] + word>>8&(pageBytes-1)
			}
			for i := range uint64(8) {
				mem.changed[at+i] = byte(word >> (8 * i))
			}
		}
		readAll(t, mem, r.rt)
	})
}

// framesOnce reads a stack without asking whether its thread ran.
func framesOnce(p *Process, tstate uint64) ([]Frame, error) {
	view := memory.Over(p.mem)
	defer view.Close()
	r, err := p.copyStack(view, tstate)
	if err != nil {
		return nil, err
	}
	return p.frames(r)
}

func readAll(t *testing.T, mem memory.Reader, rt runtimeAt) {
	t.Helper()
	p := newProcess(-1, mem)
	p.rt = rt
	if rt.layout.minor >= 13 {
		if err := p.rt.layout.describedBy(mem, rt.addr); err != nil {
			return
		}
	}
	states, err := p.states()
	if err != nil {
		return
	}
	if len(states) > maxThreads {
		t.Fatalf("%d threads", len(states))
	}
	for _, s := range states[:min(len(states), 4)] {
		frames, err := framesOnce(p, s.addr)
		if err != nil && frames != nil {
			t.Fatal("a stack together with an error")
		}
		if len(frames) > maxFrames {
			t.Fatalf("%d frames", len(frames))
		}
		for _, fr := range frames {
			for _, s := range []string{fr.File, fr.Function, fr.Module, fr.Arg0Type} {
				if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxString {
					t.Fatalf("%q", s)
				}
			}
		}
	}
}

func FuzzLineTables(f *testing.F) {
	f.Add(11, []byte{0x80, 0x00, 0xf0, 0x7f, 0x7f}, 3, 10)
	f.Add(10, []byte{2, 0x80, 4, 1}, 1, 3)
	f.Add(9, []byte{255, 127, 255, 128}, 1, 300)
	f.Fuzz(func(_ *testing.T, minor int, table []byte, first, off int) {
		lineAt(minor, table, first, off)
	})
}

func TestStringsOfEveryWidthAreDecodedToValidText(t *testing.T) {
	for _, c := range []struct {
		data  string
		kind  uint32
		ascii bool
		want  string
	}{
		{"abc", 1, true, "abc"},
		{"a\xf2c", 1, true, "a\uFFFDc"}, // says ASCII, is not
		{"a\xf2c", 1, false, "aòc"},
		{"\xac\x20\x00\xdc", 2, false, "€\uFFFD"}, // a lone surrogate
		{"\x00\xf6\x01\x00\xff\xff\xff\xff", 4, false, "😀\uFFFD"},
	} {
		if got := decodeString([]byte(c.data), c.kind, c.ascii); got != c.want {
			t.Errorf("%q: got %q, want %q", c.data, got, c.want)
		}
	}
}
