package recorder

import (
	"encoding/hex"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

func TestDigitsAreThoseOfTheLibrary(t *testing.T) {
	for _, n := range []uint64{0, 1, 35, 36, 36*36 - 1, 36 * 36, math.MaxUint32, math.MaxUint64 - 1, math.MaxUint64} {
		if got, want := string(appendBase36([]byte("x"), n)), "x"+strconv.FormatUint(n, 36); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
	var sum [32]byte
	for range 100 {
		for i := range sum {
			sum[i] = byte(rand.Uint32())
		}
		if got, want := string(appendHex([]byte("x"), &sum)), "x"+hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%v is %s, want %s", sum, got, want)
		}
	}
}
