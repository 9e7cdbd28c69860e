package ledger

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	fmtlog "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// emptyRoot is the root of a tree without leaves (RFC 6962 §2.1).
var emptyRoot = sha256.Sum256(nil)

// signCheckpoint makes a C2SP tlog-checkpoint (c2sp.org/tlog-checkpoint@v1.0.0): three lines, no extensions.
func signCheckpoint(id *identity, size uint64, root [32]byte) ([]byte, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n", id.origin, size, base64.StdEncoding.EncodeToString(root[:]))
	signed, err := note.Sign(&note.Note{Text: text}, id.signer)
	if err != nil {
		return nil, fmt.Errorf("sign the checkpoint: %w", err)
	}
	return signed, nil
}

// openCheckpoint checks a checkpoint's signature and reads it.
func openCheckpoint(id *identity, signed []byte) (Checkpoint, error) {
	c, _, n, err := fmtlog.ParseCheckpoint(signed, id.origin, id.verifier)
	if err != nil {
		return Checkpoint{}, err
	}
	for _, s := range n.Sigs {
		// The note format's decoder ignores the unused bits of the last character; ours were zero when we wrote them.
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return Checkpoint{}, fmt.Errorf("the signature's text was changed: %w", err)
		}
	}
	if len(c.Hash) != sha256.Size {
		return Checkpoint{}, fmt.Errorf("the root has %d bytes, want %d", len(c.Hash), sha256.Size)
	}
	return Checkpoint{Size: c.Size, Root: [32]byte(c.Hash), Note: signed}, nil
}
