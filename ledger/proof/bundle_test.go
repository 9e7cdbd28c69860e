package proof

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

type vector struct {
	File    string   `json:"file"`
	Keys    []string `json:"keys"`
	SealKey string   `json:"seal_key"`
	Want    string   `json:"want"`
}

// vectors are the bundles that every verifier must judge alike; the ledger's tests made them.
func vectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/bundles/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(text, &list); err != nil || len(list) < 30 {
		t.Fatalf("%d vectors, %v", len(list), err)
	}
	return list
}

func (v *vector) read(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/bundles", v.File))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// judge is what netaudit-verify says.
func judge(t testing.TB, text []byte, v *vector) (string, error) {
	t.Helper()
	var key *SealKey
	if v.SealKey != "" {
		k, err := ParseSealKey(v.SealKey)
		if err != nil {
			t.Fatal(err)
		}
		key = &k
	}
	b, err := CheckBundle(bytes.NewReader(text), int64(len(text)), v.Keys, key)
	switch {
	case errors.Is(err, ErrUnproved):
		return "tampered", err
	case err != nil || !b.Pinned:
		return "cannot_tell", err
	default:
		return "sound", nil
	}
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		if got, err := judge(t, v.read(t), &v); got != v.Want {
			t.Errorf("%s is %s (%v), want %s", v.File, got, err, v.Want)
		}
	}
}

func TestPythonProgramJudgesAlike(t *testing.T) {
	words := map[int]string{0: "sound", 1: "tampered", 2: "cannot_tell"}
	for _, v := range vectors(t) {
		args := []string{"verify_bundle.py"}
		for _, k := range v.Keys {
			args = append(args, "--key", k)
		}
		if v.SealKey != "" {
			args = append(args, "--seal-key", v.SealKey)
		}
		cmd := exec.Command("python3", append(args, filepath.Join("testdata/bundles", v.File))...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if got := words[cmd.ProcessState.ExitCode()]; got != v.Want || strings.Contains(string(out), "Traceback") {
			t.Errorf("%s is %s, want %s: %s", v.File, got, v.Want, out)
		}
	}
}

// TestEveryBitOfABundleCounts flips each bit. What is still sound must hold the very same files: then the bit belongs to the zip format (times, attributes, what local headers repeat, padding)
// and says nothing.
func TestEveryBitOfABundleCounts(t *testing.T) {
	list := vectors(t)
	v := list[2]
	text := v.read(t)
	if v.File != "some.zip" {
		t.Fatal(v.File)
	}
	original, irrelevant := contents(text), 0
	for i := range text {
		for bit := range 8 {
			changed := bytes.Clone(text)
			changed[i] ^= 1 << bit
			if got, _ := judge(t, changed, &v); got != "sound" {
				continue
			}
			irrelevant++
			if !maps.Equal(contents(changed), original) {
				t.Errorf("bit %d of byte %d changes what the bundle says, and it is sound", bit, i)
			}
		}
	}
	t.Logf("%d of %d bits belong to the zip format alone", irrelevant, 8*len(text))
}

// contents are the files of a zip file.
func contents(text []byte) map[string]string {
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return nil
	}
	parts := map[string]string{}
	for _, f := range z.File {
		in, err := f.Open()
		if err != nil {
			return nil
		}
		b, err := io.ReadAll(in)
		if err = errors.Join(err, in.Close()); err != nil {
			return nil
		}
		parts[f.Name] += string(b)
	}
	return parts
}

func FuzzCheckBundle(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.read(f))
	}
	key, err := ParseSealKey(vectors(f)[0].SealKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = CheckBundle(bytes.NewReader(text), int64(len(text)), nil, &key) // must neither panic nor take memory without end
	})
}
