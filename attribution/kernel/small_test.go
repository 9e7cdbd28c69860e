package kernel

import (
	"errors"
	"os"
	"testing"
)

func TestSmallFilesAreReadWhole(t *testing.T) {
	want, err := os.ReadFile("/proc/self/limits") // does not change
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readSmall("/proc/self/limits", make([]byte, 4096)); err != nil || string(got) != string(want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if got, err := readSmall("/proc/self/limits", make([]byte, 10)); err != nil || string(got) != string(want[:10]) {
		t.Errorf("%q, %v: a file that does not fit is cut off", got, err)
	}
	if _, err := readSmall("/proc/self/nothing", make([]byte, 10)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
