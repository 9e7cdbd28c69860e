package ui

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// proofPicture draws an inclusion proof: the way from a row's leaf on the left to the signed tree head on the right. At every step the hash so far and its neighbour, which the proof names, become the next hash (RFC 9162
// section 2.1.3.2). The browser computes the same hashes anew and marks those that it finds right.
type proofPicture struct {
	Steps []proofStep
	Leaf  string // hex
	Root  string // hex, as the checkpoint says it
	Size  uint64 // rows that the checkpoint speaks of
	Width int
}

// proofStep joins the hash so far with its neighbour.
type proofStep struct {
	Number       int
	Left         bool   // the neighbour stands to the left of the hash so far
	Sibling      string // the neighbour, hex
	Hash         string // what both become, hex
	X, Next      int    // where the step begins and ends
	SiblingY     int
	SiblingShort string
}

// Sizes of the drawing in units.
const (
	proofMargin = 70
	proofStepX  = 92
	proofLineY  = 70 // of the way itself; neighbours stand above and below
	proofAside  = 44
)

// drawProof reads a C2SP tlog-proof of the log's own making.
func drawProof(text []byte, leaf tlog.Hash) (*proofPicture, error) {
	head, checkpoint, ok := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !ok || len(lines) < 2 {
		return nil, errors.New("the proof has no checkpoint")
	}
	var index, size uint64
	if _, err := fmt.Sscanf(lines[1], "index %d", &index); err != nil {
		return nil, fmt.Errorf("read the proof's index: %w", err)
	}
	signed := strings.SplitN(string(checkpoint), "\n", 4)
	if len(signed) < 4 {
		return nil, errors.New("the proof's checkpoint is cut off")
	}
	if _, err := fmt.Sscanf(signed[1], "%d", &size); err != nil {
		return nil, fmt.Errorf("read the checkpoint's size: %w", err)
	}
	root, err := base64.StdEncoding.DecodeString(signed[2])
	if err != nil || index >= size {
		return nil, fmt.Errorf("read the checkpoint of %d rows for row %d: %w", size, index, err)
	}
	pic := &proofPicture{Leaf: hex.EncodeToString(leaf[:]), Root: hex.EncodeToString(root), Size: size}
	if err := pic.climb(lines[2:], leaf, index, size-1); err != nil {
		return nil, err
	}
	pic.Width = 2*proofMargin + len(pic.Steps)*proofStepX
	return pic, nil
}

// climb takes the steps; at is the place of the hash so far among those of its level, last that of the last one.
func (p *proofPicture) climb(lines []string, hash tlog.Hash, at, last uint64) error {
	for i, line := range lines {
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != tlog.HashSize || last == 0 {
			return fmt.Errorf("read hash %d of the proof: %w", i, err)
		}
		sibling := tlog.Hash(raw)
		step := proofStep{Number: i + 1, Left: at&1 == 1 || at == last, Sibling: hex.EncodeToString(raw), X: proofMargin + i*proofStepX, Next: proofMargin + (i+1)*proofStepX, SiblingY: proofLineY + proofAside}
		if step.Left {
			hash = tlog.NodeHash(sibling, hash)
			for step.SiblingY = proofLineY - proofAside; at&1 == 0 && at > 0; {
				at, last = at>>1, last>>1
			}
		} else {
			hash = tlog.NodeHash(hash, sibling)
		}
		step.Hash, step.SiblingShort = hex.EncodeToString(hash[:]), step.Sibling[:6]
		at, last = at>>1, last>>1
		p.Steps = append(p.Steps, step)
	}
	return nil
}

// RootX is where the way ends.
func (p *proofPicture) RootX() int { return p.Width - proofMargin }

// Fits says whether the way leads to the checkpoint's tree head.
func (p *proofPicture) Fits() bool {
	if len(p.Steps) == 0 {
		return p.Leaf == p.Root
	}
	return p.Steps[len(p.Steps)-1].Hash == p.Root
}
