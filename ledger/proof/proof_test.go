package proof

import (
	"testing"
)

// FuzzVerify: hostile proofs give an error; nothing but the true one passes.
func FuzzVerify(f *testing.F) {
	const key = "netaudit/vm-8babd116+c428fb13+AW5nlU1ZZwy6TrNKNiPO61AupB107vzV1xyca/g9FtvP"
	f.Add([]byte("{}"), []byte("c2sp.org/tlog-proof@v1\nindex 0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nnetaudit/vm-8babd116\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— netaudit/vm-8babd116 xCj7EwAA\n"))
	f.Add([]byte("{}"), []byte("c2sp.org/tlog-proof@v1\nextra x\nindex 9223372036854775807\n\n"))
	f.Fuzz(func(t *testing.T, row, text []byte) {
		if v, err := Verify(row, text, key); err == nil {
			t.Errorf("a proof without the key's signature passes: %+v", v)
		}
		if index, hashes, _, err := parse(text); err == nil && (len(hashes) > mostHashes || index >= 1<<63) {
			t.Errorf("index %d, %d hashes", index, len(hashes))
		}
	})
}
