package proof

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Seal is the state of a log at the end of one UTC day: a signed note of its own, with its own key, so that it can never be read as a checkpoint. There is one for every
// day since the log began, empty ones too.
type Seal struct {
	Origin   string
	Epoch    uint64 // 0 for the log's first day, then one more each day
	Day      string // 2026-11-23, UTC
	Size     uint64 // rows of the log when the day ended
	Root     [32]byte
	Chain    [32]byte // row hash of the newest row
	Rows     uint64   // logged on this day
	First    string   // when the first of them was logged (RFC 3339, nine digits), "-" when there is none
	Last     string
	Minimum  uint64   // every row from here on is kept; earlier ones may have been withheld by logged retention
	Previous [32]byte // SHA-256 of the previous day's seal, of the genesis record for the first
	Late     bool     // written after more than the day that follows: nobody ran the log then
}

const (
	sealHeader  = "netaudit/seal/v1"
	largestSeal = 8 << 10
	dayFormat   = "2006-01-02"
)

// Text is what is signed: one line each, in this order.
func (s *Seal) Text() string {
	b64 := base64.StdEncoding.EncodeToString
	text := fmt.Sprintf("%s\n%s\nepoch %d\nday %s\nsize %d\nroot %s\nchain %s\nrows %d\nfirst %s\nlast %s\nminimum %d\nprevious %s\n",
		sealHeader, s.Origin, s.Epoch, s.Day, s.Size, b64(s.Root[:]), b64(s.Chain[:]), s.Rows, s.First, s.Last, s.Minimum, b64(s.Previous[:]))
	if s.Late {
		text += "late\n"
	}
	return text
}

// SealName is the name of the key that signs the seals of a log.
func SealName(origin string) string { return origin + "/seal" }

// OpenSeal checks a seal's signature by the log's seal key, and, when mac is not nil, by the day's ratcheted key. It returns an error that wraps ErrUnproved when one of them does not fit.
func OpenSeal(text []byte, vkey string, mac *SealKey) (Seal, error) {
	if len(text) > largestSeal {
		return Seal{}, fmt.Errorf("the seal has %d bytes; %d is the most", len(text), largestSeal)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return Seal{}, fmt.Errorf("read the seal key: %w", err)
	}
	n, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return Seal{}, fmt.Errorf("%w: the seal is not signed by this key: %w", ErrUnproved, err)
	}
	if err := strictSignatures(n); err != nil {
		return Seal{}, err
	}
	if !coded(n) {
		return Seal{}, fmt.Errorf("%w: the seal has no authentication code", ErrUnproved)
	}
	s, err := parseSeal(n.Text)
	if err != nil {
		return Seal{}, fmt.Errorf("read the seal: %w", err)
	}
	if verifier.Name() != SealName(s.Origin) {
		return Seal{}, fmt.Errorf("%w: the seal is of log %q, the key is called %q", ErrUnproved, s.Origin, verifier.Name())
	}
	if mac != nil {
		if _, err := note.Open(text, note.VerifierList(mac.verifier(s.Origin))); err != nil {
			return Seal{}, fmt.Errorf("%w: the seal of %s was not made with that day's key: %w", ErrUnproved, s.Day, err)
		}
	}
	return s, nil
}

// coded says whether a seal has the line that a day's key makes; who does not hold the key cannot see more than that.
func coded(n *note.Note) bool {
	origin, _, _ := strings.Cut(strings.TrimPrefix(n.Text, sealHeader+"\n"), "\n")
	for _, s := range n.UnverifiedSigs {
		if s.Name == macName(origin) && s.Hash == macHash(origin) {
			return true
		}
	}
	return false
}

// strictSignatures refuses texts that the library reads as the same signature: it ignores the unused bits of the last character.
func strictSignatures(n *note.Note) error {
	for _, list := range [][]note.Signature{n.Sigs, n.UnverifiedSigs} {
		for _, s := range list {
			if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
				return fmt.Errorf("%w: a signature's text was changed: %w", ErrUnproved, err)
			}
		}
	}
	return nil
}

// parseSeal undoes Text, and only what Text can write.
func parseSeal(text string) (Seal, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 12 || lines[0] != sealHeader {
		return Seal{}, errors.New("it does not begin with " + sealHeader)
	}
	s := Seal{Origin: lines[1], Late: len(lines) == 13 && lines[12] == "late"}
	value := map[string]string{}
	for _, line := range lines[2:12] {
		name, v, _ := strings.Cut(line, " ")
		value[name] = v
	}
	var errs []error
	number := func(name string) uint64 {
		n, err := decimal(value[name])
		errs = append(errs, err)
		return n
	}
	hash := func(name string) (h [32]byte) {
		b, err := base64.StdEncoding.Strict().DecodeString(value[name])
		if err != nil || len(b) != len(h) {
			errs = append(errs, fmt.Errorf("%s is no hash", name))
			return h
		}
		return [32]byte(b)
	}
	s.Epoch, s.Size, s.Rows, s.Minimum = number("epoch"), number("size"), number("rows"), number("minimum")
	s.Root, s.Chain, s.Previous = hash("root"), hash("chain"), hash("previous")
	s.Day, s.First, s.Last = value["day"], value["first"], value["last"]
	if _, err := time.Parse(dayFormat, s.Day); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return Seal{}, err
	}
	if s.Text() != text {
		return Seal{}, errors.New("its lines are not those of a seal")
	}
	return s, nil
}

// Follows checks that a seal is the next day's after another, whose text is given too.
func (s *Seal) Follows(before *Seal, beforeText []byte) error {
	day, err := time.Parse(dayFormat, before.Day)
	if err != nil {
		return err
	}
	switch {
	case s.Origin != before.Origin:
		return fmt.Errorf("%w: the seals of %s and %s are of two logs", ErrUnproved, before.Day, s.Day)
	case s.Epoch != before.Epoch+1 || s.Day != day.AddDate(0, 0, 1).Format(dayFormat):
		return fmt.Errorf("%w: after the seal of %s (epoch %d) comes that of %s (epoch %d): a day is missing or twice", ErrUnproved, before.Day, before.Epoch, s.Day, s.Epoch)
	case s.Previous != sha256.Sum256(beforeText):
		return fmt.Errorf("%w: the seal of %s does not follow from that of %s", ErrUnproved, s.Day, before.Day)
	case s.Size < before.Size || s.Rows != s.Size-before.Size || s.Minimum < before.Minimum:
		return fmt.Errorf("%w: the seal of %s speaks of fewer rows than that of %s", ErrUnproved, s.Day, before.Day)
	}
	return nil
}

// Seals is a run of seals that was checked, oldest first.
type Seals []Seal

// CheckSeals checks seals of consecutive days, oldest first: each signature, and that each follows from the one before. first is the key of the log's epoch 0, or nil when
// it is not at hand: then the authentication codes are not checked.
func CheckSeals(texts [][]byte, vkey string, first *SealKey) (Seals, error) {
	var out Seals
	key := first
	epoch := uint64(0)
	for i, text := range texts {
		if key != nil {
			s, err := OpenSeal(text, vkey, nil)
			if err != nil {
				return out, err
			}
			if s.Epoch > mostEpochs {
				return out, fmt.Errorf("%w: epoch %d is beyond all time", ErrUnproved, s.Epoch)
			}
			for ; epoch < s.Epoch; epoch++ {
				next := key.Next()
				key = &next
			}
		}
		s, err := OpenSeal(text, vkey, key)
		if err != nil {
			return out, err
		}
		if i > 0 {
			if err := s.Follows(&out[i-1], texts[i-1]); err != nil {
				return out, err
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// mostEpochs bounds how often a key is ratcheted on: a thousand years.
const mostEpochs = 365_250
