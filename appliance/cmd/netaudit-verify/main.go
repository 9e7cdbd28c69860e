// Command netaudit-verify checks that a row is in a log, with nothing but the row, its proof and the log's public key. It is small, opens no
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

const usage = `Usage: netaudit-verify --key KEY PROOF ROW

Checks that the row, byte for byte, is in the log that the key belongs to.

  KEY    the log's public key, or @FILE: keys/checkpoint.pub of the state directory, or from the page of the row
  PROOF  the inclusion proof (C2SP tlog-proof): "Export the inclusion proof", or GET /api/v1/events/N/proof
  ROW    the row exactly as it is hashed: "Export the row"

Exit status: 0 sound, 1 tampered, 2 cannot tell.

Example:
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
	key := flags.String("key", "", "")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return sound
	} else if err != nil {
		return cannotTell
	}
	if *key == "" || flags.NArg() != 2 {
		fmt.Fprint(stderr, usage)
		return cannotTell
	}
	v, err := verify(*key, flags.Arg(0), flags.Arg(1))
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
	if path, ok := strings.CutPrefix(key, "@"); ok {
		text, err := read(path)
		if err != nil {
			return proof.Verified{}, err
		}
		key = string(text)
	}
	text, err := read(proofPath)
	if err != nil {
		return proof.Verified{}, err
	}
	row, err := read(rowPath)
	if err != nil {
		return proof.Verified{}, err
	}
	// Editors and pipes add a line's end. A row never ends in one, so without it is the only row that can be meant.
	return proof.Verify(bytes.TrimSuffix(row, []byte("\n")), text, strings.TrimSpace(key))
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
