// Command netaudit-verify checks that rows are in a log, with nothing but the rows, their proof and the log's public key. It is small, opens no
// network and no store, and shares its check with netaudit (package ledger/proof).
package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"netaudit/ledger/proof"
)

const usage = `Usage: netaudit-verify --key KEY [--seal-key KEY] BUNDLE
       netaudit-verify --key KEY PROOF ROW

Checks that rows, byte for byte, are in the log that the key belongs to.

  BUNDLE      a run of rows with their proof: netaudit export bundle, or "Export" on the page Verify & Export
  PROOF       the inclusion proof of one row (C2SP tlog-proof): "Export the inclusion proof", or GET /api/v1/events/N/proof
  ROW         the row exactly as it is hashed: "Export the row"

  --key       the log's public key, or @FILE: keys/checkpoint.pub of the state directory, or keys.txt from somebody you trust. May be
              given more than once; the seals have a key of their own (keys/seal.pub)
  --seal-key  nsk1-…, or @FILE: the secret key that the log's owner keeps elsewhere; then the seals' authentication codes are checked too

Exit status: 0 sound, 1 tampered, 2 cannot tell.

Examples:
  netaudit-verify --key @checkpoint.pub --key @seal.pub november.zip
  netaudit-verify --key @checkpoint.pub row-42.tlog-proof row-42.json
`

// Exit statuses.
const (
	sound      = 0
	tampered   = 1
	cannotTell = 2
)

// mostBytes bounds each file.
const mostBytes = 64 << 20

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("netaudit-verify", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage) }
	var keys []string
	flags.Func("key", "", func(text string) error { return addKeys(&keys, text) })
	var sealKey *proof.SealKey
	flags.Func("seal-key", "", func(text string) (err error) {
		sealKey, err = parseSealKey(text)
		return err
	})
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return sound
	} else if err != nil {
		return cannotTell
	}
	switch {
	case flags.NArg() == 1:
		return runBundle(flags.Arg(0), keys, sealKey, stdout)
	case flags.NArg() == 2 && len(keys) == 1:
		return runProof(keys[0], flags.Arg(0), flags.Arg(1), stdout)
	}
	fmt.Fprint(stderr, usage)
	return cannotTell
}

// addKeys takes a key, or those that stand in a file, one a line.
func addKeys(keys *[]string, text string) error {
	if path, ok := strings.CutPrefix(text, "@"); ok {
		b, err := read(path)
		if err != nil {
			return err
		}
		text = string(b)
	}
	*keys = append(*keys, strings.Fields(text)...)
	return nil
}

func parseSealKey(text string) (*proof.SealKey, error) {
	if path, ok := strings.CutPrefix(text, "@"); ok {
		b, err := read(path)
		if err != nil {
			return nil, err
		}
		text = string(b)
	}
	k, err := proof.ParseSealKey(text)
	return &k, err
}

// runBundle checks a bundle. Without a key from elsewhere it cannot tell whose log it is.
func runBundle(path string, keys []string, sealKey *proof.SealKey, stdout io.Writer) int {
	b, err := openBundle(path, keys, sealKey)
	switch {
	case errors.Is(err, proof.ErrUnproved):
		fmt.Fprintf(stdout, "TAMPERED  %v\n", err)
		return tampered
	case err != nil:
		fmt.Fprintf(stdout, "CANNOT TELL  %v\n", err)
		return cannotTell
	}
	word, status := "SOUND", sound
	if !b.Pinned {
		word, status = "CANNOT TELL", cannotTell
	}
	fmt.Fprintf(stdout, "%s  rows %d to %d of %d in the log %s\n       root %s\n       %d daily seals", word, b.Index, b.Index+b.Count-1, b.Size, b.Origin, hex.EncodeToString(b.Root[:]), b.Seals)
	if b.Withheld > 0 {
		fmt.Fprintf(stdout, ", %d rows withheld by logged retention", b.Withheld)
	}
	fmt.Fprint(stdout, "\n\n")
	if !b.Pinned {
		fmt.Fprint(stdout, "The bundle fits together. Whose log it is can only be told with --key and the log's public key from somebody you trust.\n\n")
	}
	fmt.Fprintln(stdout, "not checked")
	for _, line := range b.NotChecked {
		fmt.Fprintf(stdout, "  · %s\n", line)
	}
	return status
}

func openBundle(path string, keys []string, sealKey *proof.SealKey) (proof.Bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return proof.Bundle{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return proof.Bundle{}, err
	}
	return proof.CheckBundle(f, info.Size(), keys, sealKey)
}

// runProof checks one row.
func runProof(key, proofPath, rowPath string, stdout io.Writer) int {
	v, err := verify(key, proofPath, rowPath)
	switch {
	case err == nil:
		fmt.Fprintf(stdout, "SOUND  row %d of %d in the log %s\n       root %s\n\n", v.Index, v.Size, v.Origin, hex.EncodeToString(v.Root[:]))
		fmt.Fprint(stdout, "not checked\n"+
			"  · Whether the key really is the log's: where did you get it?\n"+
			"  · Whether the row was true when it was written: the proof shows that the log holds it.\n"+
			"  · Whether the log shows others the same: compare checkpoints with somebody else.\n")
		return sound
	case errors.Is(err, proof.ErrUnproved):
		fmt.Fprintf(stdout, "TAMPERED  %v\n\nRow, proof and key do not belong together. Export all three again from the page of this row: if they fit then, the copies that you hold were changed.\n", err)
		return tampered
	default:
		fmt.Fprintf(stdout, "CANNOT TELL  %v\n", err)
		return cannotTell
	}
}

func verify(key, proofPath, rowPath string) (proof.Verified, error) {
	text, err := read(proofPath)
	if err != nil {
		return proof.Verified{}, err
	}
	row, err := read(rowPath)
	if err != nil {
		return proof.Verified{}, err
	}
	// Editors and pipes add a line's end. A row never ends in one, so without it is the only row that can be meant.
	return proof.Verify(bytes.TrimSuffix(row, []byte("\n")), text, key)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostBytes))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return text, nil
}
