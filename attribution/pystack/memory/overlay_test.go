package memory

import (
	"errors"
	"slices"
	"testing"
)

// counted is memory in which byte n is n, up to its length, and counts how often it is read.
type counted struct {
	length, reads int
}

var errOutside = errors.New("outside")

func (c *counted) ReadAt(addr uint64, buf []byte) error {
	c.reads++
	if addr+uint64(len(buf)) > uint64(c.length) {
		return errOutside
	}
	for i := range buf {
		buf[i] = byte(addr + uint64(i))
	}
	return nil
}

func want(view *Overlay, pieces ...Piece) {
	for _, p := range pieces {
		view.Want(p.Addr, p.N)
	}
	view.Gather()
}

func TestWhatIsCopiedIsNotReadAgain(t *testing.T) {
	below := &counted{length: 250}
	view := Over(below)
	want(view, Piece{16, 8}, Piece{100, 50}, Piece{240, 100})
	if err := errors.Join(view.Fetch(100, 16), view.Fetch(104, 46), view.Fetch(16, 8)); err != nil || below.reads != 3 {
		t.Errorf("%d reads for three pieces, %v", below.reads, err)
	}
	if err := view.Fetch(16, 64); err != nil || below.reads != 4 { // longer than what is there
		t.Errorf("%d reads, %v", below.reads, err)
	}
	view.OneMoment = true
	var b [10]byte
	if err := view.ReadAt(60, b[:]); err != nil || !view.OneMoment || b[0] != 60 || b[9] != 69 {
		t.Errorf("%v, %v, one moment: %t", b, err, view.OneMoment)
	}
	if err := view.ReadAt(145, b[:]); err != nil || view.OneMoment || b[9] != 154 {
		t.Errorf("beyond a copy: %v, %v, one moment: %t", b, err, view.OneMoment)
	}
	if err := view.ReadAt(245, b[:]); !errors.Is(err, errOutside) {
		t.Errorf("what cannot be read: %v", err)
	}
	if used, same := view.Used(); same || !slices.Equal(used, []Piece{{16, 64}}) {
		t.Errorf("used: %v, %t", used, same)
	}
}

func TestReadingTheSameAgainTakesOneTurn(t *testing.T) {
	pieces := []Piece{{16, 8}, {100, 50}}
	view := Over(&counted{length: 250})
	want(view, pieces...)
	var b [8]byte
	for _, p := range pieces {
		if err := view.ReadAt(p.Addr, b[:]); err != nil {
			t.Fatal(err)
		}
	}
	if used, same := view.Used(); !same || used != nil {
		t.Errorf("used: %v, %t", used, same)
	}
	if err := view.Fetch(200, 8); err != nil {
		t.Fatal(err)
	}
	if used, same := view.Used(); same || !slices.Equal(used, pieces) {
		t.Errorf("with one more that is not used: %v, %t", used, same)
	}
}
