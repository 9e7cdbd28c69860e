package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netaudit/ledger"
)

// exported makes a real ledger and exports what an outsider gets of one row.
func exported(t *testing.T) (dir, key string) {
	t.Helper()
	dir = t.TempDir()
	l, err := ledger.Open(filepath.Join(dir, "state"), ledger.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if err := l.Append(t.Context(), ledger.Event{V: 1, Kind: "lifecycle", Rule: "start", Message: fmt.Sprint("row ", i), Start: 1, End: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	row, err := l.Row(271)
	if err != nil {
		t.Fatal(err)
	}
	text, err := l.Proof(271)
	if err != nil {
		t.Fatal(err)
	}
	key = l.VerifierKey()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "row"), row.JSON)
	write(t, filepath.Join(dir, "proof"), text)
	return dir, key
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSoundProofIsSoundAndSaysWhatItDoesNotShow(t *testing.T) {
	dir, key := exported(t)
	for _, k := range []string{key, "@" + filepath.Join(dir, "state", "keys", "checkpoint.pub")} {
		var out, errs bytes.Buffer
		if got := run([]string{"--key", k, filepath.Join(dir, "proof"), filepath.Join(dir, "row")}, &out, &errs); got != sound {
			t.Errorf("exit %d: %s%s", got, out.String(), errs.String())
		}
		if !strings.Contains(out.String(), "row 271 of 300") || !strings.Contains(out.String(), "not checked") {
			t.Errorf("it says %q", out.String())
		}
	}
}

// TestEveryChangedBitIsFound flips every bit of row and proof: never sound.
func TestEveryChangedBitIsFound(t *testing.T) {
	dir, key := exported(t)
	for _, name := range []string{"row", "proof"} {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(text) {
			bad := bytes.Clone(text)
			bad[bit/8] ^= 1 << (bit % 8)
			write(t, path, bad)
			var out bytes.Buffer
			got := run([]string{"--key", key, filepath.Join(dir, "proof"), filepath.Join(dir, "row")}, &out, &out)
			if got == sound || name == "row" && got != tampered {
				t.Errorf("bit %d of the %s changed: exit %d, %s", bit, name, got, out.String())
			}
		}
		write(t, path, text)
	}
}

func TestWhatCannotBeReadCannotBeTold(t *testing.T) {
	dir, key := exported(t)
	proof, row := filepath.Join(dir, "proof"), filepath.Join(dir, "row")
	for _, args := range [][]string{
		{},
		{"--key", key},
		{proof, row},
		{"--key", "nonsense", proof, row},
		{"--key", "@missing", proof, row},
		{"--key", key, "missing", row},
		{"--key", key, proof, "missing"},
		{"--key", key, row, row},
	} {
		var out bytes.Buffer
		if got := run(args, &out, &out); got != cannotTell || out.Len() == 0 {
			t.Errorf("%v: exit %d, %q", args, got, out.String())
		}
	}
	var out bytes.Buffer
	if got := run([]string{"--help"}, &out, &out); got != sound || !strings.Contains(out.String(), "Example") {
		t.Errorf("help: exit %d, %s", got, out.String())
	}
}
