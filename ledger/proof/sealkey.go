package proof

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// SealKey authenticates one day's seal. Tomorrow's key is a hash of today's, which is forgotten then: who breaks in later cannot make another seal for an earlier day. The key of the first
// day is kept elsewhere by the log's owner, who can compute all others from it.
type SealKey [32]byte

// NewSealKey makes the key of a log's first day.
func NewSealKey() (k SealKey, err error) {
	if _, err := rand.Read(k[:]); err != nil {
		return k, fmt.Errorf("make the seal key: %w", err)
	}
	return k, nil
}

const (
	evolveLabel = "netaudit/seal/evolve/v1"
	macLabel    = "netaudit/seal/mac/v1"
)

// Next is the key of the following day: HKDF-Expand with SHA-256 (RFC 5869 §2.3).
func (k SealKey) Next() SealKey { return k.expand(evolveLabel) }

func (k SealKey) expand(label string) SealKey {
	b, err := hkdf.Expand(sha256.New, k[:], label, len(k))
	if err != nil {
		panic(err) // only a length of more than 255 hashes can fail
	}
	return SealKey(b)
}

// sealKeyMark begins a key's text.
const sealKeyMark = "nsk1"

var keyEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// String is the form for paper: nsk1 and groups of four letters and digits, the last of which is a check sum.
func (k SealKey) String() string {
	sum := sha256.Sum256(k[:])
	text := keyEncoding.EncodeToString(append(k[:], sum[:3]...)) // 35 bytes are 56 characters
	var b strings.Builder
	b.WriteString(sealKeyMark)
	for ; text != ""; text = text[4:] {
		b.WriteString("-" + text[:4])
	}
	return b.String()
}

// ParseSealKey reads what String wrote, also in capitals and with blanks or without dashes. A slip of the pen gives an error.
func ParseSealKey(text string) (SealKey, error) {
	compact := strings.ToLower(strings.NewReplacer("-", "", " ", "", "\n", "", "\r", "", "\t", "").Replace(text))
	rest, ok := strings.CutPrefix(compact, sealKeyMark)
	if !ok {
		return SealKey{}, errors.New("a seal key begins with " + sealKeyMark)
	}
	b, err := keyEncoding.DecodeString(rest)
	if err != nil || len(rest) != 56 {
		return SealKey{}, errors.New("that is no seal key: it has 14 groups of four letters a to z and digits 2 to 7 after " + sealKeyMark)
	}
	k := SealKey(b[:32])
	if sum := sha256.Sum256(k[:]); !bytes.Equal(sum[:3], b[32:]) {
		return SealKey{}, errors.New("the seal key has a slip: its check sum does not fit")
	}
	return k, nil
}

// macName is the name of the authentication line of a log's seals.
func macName(origin string) string { return origin + "/seal-mac" }

// macHash is the key id of that line: signature type 0xff of c2sp.org/signed-note@v1.0.0, with our label.
func macHash(origin string) uint32 {
	sum := sha256.Sum256([]byte(macName(origin) + "\n\xff" + macLabel))
	return binary.BigEndian.Uint32(sum[:])
}

func (k SealKey) sum(text []byte) []byte {
	key := k.expand(macLabel)
	m := hmac.New(sha256.New, key[:])
	m.Write(text)
	return m.Sum(nil)
}

// mac makes and checks the authentication line: HMAC-SHA-256 over the text.
type mac struct {
	origin string
	key    SealKey
}

func (m mac) Name() string                     { return macName(m.origin) }
func (m mac) KeyHash() uint32                  { return macHash(m.origin) }
func (m mac) Sign(text []byte) ([]byte, error) { return m.key.sum(text), nil }
func (m mac) Verify(text, sig []byte) bool     { return hmac.Equal(m.key.sum(text), sig) }

func (k SealKey) verifier(origin string) note.Verifier { return mac{origin, k} }

// Sign makes a seal: the note with the seal key's signature and the day's authentication line.
func (k SealKey) Sign(s *Seal, signer note.Signer) ([]byte, error) {
	text, err := note.Sign(&note.Note{Text: s.Text()}, signer, mac{s.Origin, k})
	if err != nil {
		return nil, fmt.Errorf("sign the seal: %w", err)
	}
	return text, nil
}
