// Package proof checks that a row is in a log, with nothing but the row, its proof and the log's public key. It opens no store and no
// network: an outsider can read it in one sitting.
//
// A proof is a C2SP tlog-proof (c2sp.org/tlog-proof@v1):
//
//	c2sp.org/tlog-proof@v1
//	index 17
//	<base64 hash>         the leaf's sibling first, then upwards
//	…
//
//	<origin>              the signed checkpoint, verbatim
//	<size>
//	<base64 root>
//
//	— <origin> <base64 signature>
package proof

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	header = "c2sp.org/tlog-proof@v1\n"

	largestProof = 64 << 10 // bytes; a real one has less than 4 kB
	mostHashes   = 63       // of a tree with 2^63 rows
)

// Marshal writes a proof for the row at index under a signed checkpoint.
func Marshal(index uint64, hashes []tlog.Hash, checkpoint []byte) []byte {
	b := append([]byte(header), "index "...)
	b = strconv.AppendUint(b, index, 10)
	b = append(b, '\n')
	for _, h := range hashes {
		b = append(b, base64.StdEncoding.EncodeToString(h[:])...)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	return append(b, checkpoint...)
}

// ErrUnproved says that everything could be read and does not fit: the row, the proof, the checkpoint or its signature was changed, or they do not
// belong together. Other errors mean that something could not be read.
var ErrUnproved = errors.New("not proved")

// Verified is what a proof shows.
type Verified struct {
	Origin string
	Index  uint64
	Size   uint64 // of the tree that the checkpoint speaks of
	Root   [32]byte
}

// Verify checks that row, byte for byte, is in the log with the given C2SP verifier key. It returns an error that wraps ErrUnproved when it is not.
func Verify(row, text []byte, vkey string) (Verified, error) {
	if len(text) > largestProof {
		return Verified{}, fmt.Errorf("the proof has %d bytes; %d is the most", len(text), largestProof)
	}
	index, hashes, signed, err := parse(text)
	if err != nil {
		return Verified{}, fmt.Errorf("read the proof: %w", err)
	}
	v, err := openCheckpoint(signed, vkey)
	if err != nil {
		return Verified{}, err
	}
	if index >= v.Size {
		return Verified{}, fmt.Errorf("%w: row %d is not among the checkpoint's %d rows", ErrUnproved, index, v.Size)
	}
	err = tlog.CheckRecord(hashes, int64(v.Size), tlog.Hash(v.Root), int64(index), tlog.RecordHash(row))
	if err != nil {
		return Verified{}, fmt.Errorf("%w: this is not what the log holds as row %d: %w", ErrUnproved, index, err)
	}
	v.Index = index
	return v, nil
}

// openCheckpoint checks a checkpoint's signature and reads it.
func openCheckpoint(signed []byte, vkey string) (Verified, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return Verified{}, fmt.Errorf("read the log's key: %w", err)
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return Verified{}, fmt.Errorf("%w: the checkpoint is not signed by this key: %w", ErrUnproved, err)
	}
	if err := strictSignatures(n); err != nil {
		return Verified{}, err
	}
	v, err := parseCheckpoint(n.Text)
	if err != nil {
		return Verified{}, fmt.Errorf("read the checkpoint: %w", err)
	}
	if v.Origin != verifier.Name() {
		return Verified{}, fmt.Errorf("%w: the checkpoint is of log %q, the key of %q", ErrUnproved, v.Origin, verifier.Name())
	}
	return v, nil
}

func parse(text []byte) (index uint64, hashes tlog.RecordProof, checkpoint []byte, err error) {
	rest, ok := bytes.CutPrefix(text, []byte(header))
	if !ok {
		return 0, nil, nil, errors.New("it does not begin with c2sp.org/tlog-proof@v1")
	}
	line, rest, ok := bytes.Cut(rest, []byte("\n"))
	if bytes.HasPrefix(line, []byte("extra ")) { // unauthenticated, and not for us
		line, rest, ok = bytes.Cut(rest, []byte("\n"))
	}
	number, isIndex := bytes.CutPrefix(line, []byte("index "))
	if !ok || !isIndex {
		return 0, nil, nil, errors.New("there is no index line")
	}
	if index, err = decimal(string(number)); err != nil {
		return 0, nil, nil, err
	}
	for {
		line, rest, ok = bytes.Cut(rest, []byte("\n"))
		if !ok {
			return 0, nil, nil, errors.New("it ends before the checkpoint")
		}
		if len(line) == 0 {
			return index, hashes, rest, nil
		}
		h, err := base64.StdEncoding.Strict().DecodeString(string(line))
		if err != nil || len(h) != tlog.HashSize || len(hashes) >= mostHashes {
			return 0, nil, nil, fmt.Errorf("line %d is no hash", len(hashes)+3)
		}
		hashes = append(hashes, tlog.Hash(h))
	}
}

// parseCheckpoint reads the first three lines of a checkpoint; extension lines are allowed and ignored.
func parseCheckpoint(text string) (Verified, error) {
	lines := bytes.SplitN([]byte(text), []byte("\n"), 4)
	if len(lines) < 4 || len(lines[0]) == 0 {
		return Verified{}, errors.New("it has fewer than three lines")
	}
	size, err := decimal(string(lines[1]))
	if err != nil {
		return Verified{}, err
	}
	root, err := base64.StdEncoding.Strict().DecodeString(string(lines[2]))
	if err != nil || len(root) != tlog.HashSize {
		return Verified{}, errors.New("its third line is no hash")
	}
	return Verified{Origin: string(lines[0]), Size: size, Root: [32]byte(root)}, nil
}

// decimal reads a number as the formats demand it: no sign, no leading zero, below 2^63.
func decimal(text string) (uint64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != text {
		return 0, fmt.Errorf("%q is not a decimal number", text)
	}
	return uint64(n), nil
}
