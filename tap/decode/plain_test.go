package decode

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"netaudit/tap"
)

// TestPlainFramesAreReadAsTheWalkReadsThem: the way for plain frames says of whole, cut, padded and damaged ones what the long way says, or leaves them to it.
func TestPlainFramesAreReadAsTheWalkReadsThem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	list, links := frames(t)
	taken := 0
	for n, whole := range list {
		if links[n] != tap.LinkEthernet {
			continue
		}
		for range 200 {
			frame := append([]byte(nil), whole...)
			length := len(frame)
			switch random.IntN(4) {
			case 0:
				frame = frame[:random.IntN(len(frame)+1)]
			case 1:
				frame = append(frame, make([]byte, random.IntN(20))...)
				length = len(frame)
			case 2:
				frame[random.IntN(min(len(frame), 80))] ^= 1 << random.IntN(8)
			}
			var short, long Headers
			if !short.plain(frame) {
				continue
			}
			taken++
			if err := long.walkAll(frame, length); err != nil {
				t.Fatalf("%x of %d bytes: the walk says %v", frame, length, err)
			}
			if !reflect.DeepEqual(short, long) {
				t.Fatalf("%x of %d bytes:\n%+v\nwant\n%+v", frame, length, short, long)
			}
		}
	}
	if taken < 10*len(list) {
		t.Errorf("%d frames were plain, of %d", taken, 200*len(list))
	}
}

// walkAll is decode without the way for plain frames.
func (h *Headers) walkAll(frame []byte, length int) error {
	h.walk = walk{h: h, rest: frame, cut: max(0, length-len(frame))}
	err := h.walk.link(tap.LinkEthernet)
	h.walk = walk{}
	return err
}
