package ledger

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger/proof"
)

var update = flag.Bool("update", false, "make the bundles in proof/testdata/bundles anew")

// vector is one bundle and what every verifier must say of it: netaudit-verify, the Python program and the Verify page are kept equal by them.
type vector struct {
	File    string   `json:"file"`
	Keys    []string `json:"keys"`
	SealKey string   `json:"seal_key,omitempty"`
	Want    string   `json:"want"` // sound, tampered, cannot_tell
}

const vectorsDir = "proof/testdata/bundles"

// unzip reads a bundle's files.
func unzip(t *testing.T, text []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][]byte{}
	for _, f := range z.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if parts[f.Name], err = io.ReadAll(in); err != nil {
			t.Fatal(err)
		}
	}
	return parts
}

// rezip packs files; twice is packed a second time.
func rezip(t *testing.T, parts map[string][]byte, twice string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	names := slices.Sorted(maps.Keys(parts))
	if twice != "" {
		names = append(names, twice)
	}
	for _, name := range names {
		if err := writePart(z, part{name, parts[name]}, day0); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestMakeVectors makes the bundles with -update; they are committed, so that a later version still reads what this one wrote.
func TestMakeVectors(t *testing.T) {
	if !*update {
		t.Skip("the bundles are made with -update")
	}
	c := &clock{day0}
	l := openAt(t, filepath.Join(t.TempDir(), "state"), c)
	key := l.Recovery().SealKey.String()
	for day, rows := range []int{11, 0, 9, 4} {
		c.now = day0.AddDate(0, 0, day)
		addRows(t, l, rows)
	}
	all, keys := bundleOf(t, l, 0, l.Size())
	some, _ := bundleOf(t, l, 5, 9)
	if _, err := l.Retain(t.Context(), Policy{MaxAge: 48 * 3600e9}); err != nil {
		t.Fatal(err)
	}
	early, _ := bundleOf(t, l, 8, 6)
	c.now = day0.AddDate(0, 0, 4)
	addRows(t, l, 1)
	withheld, _ := bundleOf(t, l, 8, 6)
	closeLedger(t, l)
	other := openAt(t, filepath.Join(t.TempDir(), "state"), &clock{day0})
	addRows(t, other, 3)
	foreign, foreignKeys := bundleOf(t, other, 0, 3)
	foreignSealKey := other.Recovery().SealKey.String()
	closeLedger(t, other)

	var list []vector
	add := func(name string, text []byte, want string, with ...string) {
		t.Helper()
		v := vector{File: name + ".zip", Keys: keys, Want: want}
		if len(with) > 0 {
			v.SealKey, with = with[0], with[1:]
		}
		if len(with) > 0 {
			v.Keys = with
		}
		if err := os.WriteFile(filepath.Join(vectorsDir, v.File), text, 0o644); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	if err := errors.Join(os.RemoveAll(vectorsDir), os.MkdirAll(vectorsDir, 0o755)); err != nil {
		t.Fatal(err)
	}
	add("all", all, "sound", key)
	add("all-without-seal-key", all, "sound")
	add("some", some, "sound", key)
	add("withheld", withheld, "sound", key)
	add("withheld-before-a-seal-says-so", early, "cannot_tell", key)
	add("other-seal-key", all, "tampered", foreignSealKey)
	add("other-key", all, "tampered", "", foreignKeys[0])
	add("other-log", foreign, "tampered", "")
	add("no-key", all, "cannot_tell", key, "none")
	list[len(list)-1].Keys = []string{}

	change := func(name, base, part string, want string, f func(string) string) {
		t.Helper()
		parts := unzip(t, map[string][]byte{"all": all, "some": some, "withheld": withheld}[base])
		text := f(string(parts[part]))
		if text == string(parts[part]) {
			t.Fatalf("%s changes nothing", name)
		}
		parts[part] = []byte(text)
		if text == "" {
			delete(parts, part)
		}
		add(name, rezip(t, parts, ""), want)
	}
	lines := func(f func([]string) []string) func(string) string {
		return func(s string) string { return strings.Join(f(strings.SplitAfter(s, "\n")), "") }
	}
	replace := func(old, fresh string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, fresh, 1) }
	}
	gone := func(string) string { return "" }
	change("row-changed", "some", proof.BundleRows, "tampered", replace("203.0.113.1", "203.0.113.2"))
	change("rows-swapped", "some", proof.BundleRows, "tampered", lines(func(l []string) []string { l[1], l[2] = l[2], l[1]; return l }))
	change("row-removed", "some", proof.BundleRows, "tampered", lines(func(l []string) []string { return l[1:] }))
	change("last-row-removed", "all", proof.BundleRows, "tampered", lines(func(l []string) []string { return l[:len(l)-2] }))
	change("row-added", "all", proof.BundleRows, "tampered", lines(func(l []string) []string { return append(l, l[0]) }))
	change("last-row-cut", "some", proof.BundleRows, "tampered", func(s string) string { return s[:len(s)-1] })
	change("row-hidden", "some", proof.BundleRows, "cannot_tell", lines(func(l []string) []string {
		h := tlog.RecordHash([]byte(strings.TrimSuffix(l[3], "\n")))
		l[3] = "withheld " + base64.StdEncoding.EncodeToString(h[:]) + "\n"
		return l
	}))
	change("withheld-hashes-swapped", "withheld", proof.BundleRows, "tampered", lines(func(l []string) []string {
		l[0], l[1] = l[1], l[0]
		return l
	}))
	change("count-changed", "some", proof.BundleRange, "tampered", replace("count 9", "count 8"))
	change("first-changed", "some", proof.BundleRange, "tampered", replace("first 5", "first 6"))
	change("chain-changed", "some", proof.BundleRange, "tampered", lines(func(l []string) []string {
		l[3] = "chain " + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n"
		return l
	}))
	change("left-changed", "some", proof.BundleRange, "tampered", lines(func(l []string) []string { l[5], l[6] = l[6], l[5]; return l }))
	change("right-shorter", "some", proof.BundleRange, "tampered", lines(func(l []string) []string {
		at := slices.IndexFunc(l, func(s string) bool { return strings.HasPrefix(s, "right ") })
		n := len(l) - at - 3
		l[at] = "right " + string(rune('0'+n)) + "\n"
		return l[:len(l)-2]
	}))
	change("range-trailing", "some", proof.BundleRange, "cannot_tell", func(s string) string { return s + "more\n" })
	change("checkpoint-changed", "some", proof.BundleCheckpoint, "tampered", replace("\n24\n", "\n25\n"))
	change("genesis-changed", "some", proof.BundleGenesis, "tampered", replace("2026-02-27", "2026-02-26"))
	change("keys-changed", "some", proof.BundleKeys, "tampered", replace("netaudit/", "netaudix/"))
	change("seal-missing", "all", "seals/2026-02-28", "tampered", gone)
	change("first-seal-missing", "all", "seals/2026-02-27", "tampered", gone)
	change("seal-changed", "all", "seals/2026-03-01", "tampered", replace("rows 9", "rows 8"))
	change("seal-without-code", "all", "seals/2026-03-01", "tampered", lines(func(l []string) []string { return l[:len(l)-2] }))
	change("range-missing", "all", proof.BundleRange, "cannot_tell", gone)
	change("readme-missing", "all", proof.BundleReadme, "cannot_tell", gone)
	parts := unzip(t, some)
	parts["more.txt"] = []byte("what is this?")
	add("file-added", rezip(t, parts, ""), "tampered")
	delete(parts, "more.txt")
	add("file-twice", rezip(t, parts, proof.BundleRows), "tampered")
	add("cut", all[:len(all)/2], "cannot_tell")
	add("empty", nil, "cannot_tell")
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(vectorsDir, "vectors.json"), append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
