package ledger

import (
	"crypto/rand"
	"errors"
	"path/filepath"
	"testing"

	fmtnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// FuzzCosign sends anything as a cosigned checkpoint: it is refused with a reason, and never kept.
func FuzzCosign(f *testing.F) {
	_, vkey, err := note.GenerateKey(rand.Reader, "witness.example/a")
	if err != nil {
		f.Fatal(err)
	}
	if vkey, err = fmtnote.VKeyToCosignatureV1(vkey); err != nil {
		f.Fatal(err)
	}
	l, err := Open(filepath.Join(f.TempDir(), "state"), Options{Create: true, Witnesses: []string{vkey}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := l.Close(); err != nil {
			f.Error(err)
		}
	})
	if err := errors.Join(l.Append(f.Context(), sample(1)), l.Flush(f.Context())); err != nil {
		f.Fatal(err)
	}
	honest := string(l.Checkpoint().Note)
	f.Add([]byte(honest))
	f.Add([]byte(honest + "— witness.example/a AAAAAAAAAAAAAAAA\n"))
	f.Add([]byte("netaudit/x\n1\n\n— a b\n"))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var refused *RefusedError
		if taken, err := l.Cosign(text); len(taken) > 0 || !errors.As(err, &refused) || refused.Detail == "" || len(l.Witnessed()) > 0 {
			t.Errorf("%q: %+v, %v", text, taken, err)
		}
	})
}
