package ledger

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/time/rate"

	"github.com/dgraph-io/badger/v4"
)

// verifiedHeader begins the text of the record of a verification. A checkpoint begins with the log's name, so that none can be read as the other.
const verifiedHeader = "netaudit/verified/v1"

// verifiedPath is where the newest verification is recorded: outside the store that it speaks of.
func verifiedPath(dir string) string { return filepath.Join(dir, "anchor", "verified") }

func (s start) text(origin string) string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s\n%s\nsize %d\nroot %s\nchain %s\n", verifiedHeader, origin, s.size, b64(s.root[:]), b64(s.chain[:]))
}

// remember records that the log was verified up to a checkpoint, signed with the log's key: rows below need not be read again by whoever trusts this host. A shorter record never replaces a longer one.
func remember(dir string, id *identity, v *Verification) error {
	if v.Status != Intact || id.signer == nil {
		return nil
	}
	s := start{v.Size, v.Root, v.chain}
	if before, err := remembered(dir, id); err == nil && before.size >= s.size {
		return nil
	}
	signed, err := note.Sign(&note.Note{Text: s.text(id.origin)}, id.signer)
	if err != nil {
		return fmt.Errorf("sign the record of the verification: %w", err)
	}
	if err := writeDurably(verifiedPath(dir), signed, 0o644); err != nil {
		return fmt.Errorf("record the verification: %w", err)
	}
	return nil
}

// remembered reads up to where the log was verified; the beginning when nothing is recorded. A record that the log's key did not sign is an error: then everything is to be verified.
func remembered(dir string, id *identity) (start, error) {
	text, err := os.ReadFile(verifiedPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return start{}, nil
	}
	if err != nil {
		return start{}, fmt.Errorf("read the record of the earlier verification: %w", err)
	}
	n, err := note.Open(text, note.VerifierList(id.verifier))
	if err != nil {
		return start{}, fmt.Errorf("the record of the earlier verification: %w", err)
	}
	var s start
	var root, chain string
	if _, err := fmt.Sscanf(n.Text, verifiedHeader+"\n"+"%s\nsize %d\nroot %s\nchain %s\n", new(string), &s.size, &root, &chain); err == nil {
		copyHash(&s.root, root)
		copyHash(&s.chain, chain)
	}
	if s.text(id.origin) != n.Text {
		return start{}, fmt.Errorf("the record of the earlier verification is not in the form of %s", verifiedHeader)
	}
	return s, nil
}

func copyHash(to *[32]byte, text string) {
	if b, err := base64.StdEncoding.DecodeString(text); err == nil && len(b) == len(to) {
		copy(to[:], b)
	}
}

// VerifySince verifies the rows that came since the newest verification, and everything when none is recorded or the record cannot be trusted. What it does not see, a change of a row that was verified before, Verify and
// VerifySlowly find.
func (l *Ledger) VerifySince(ctx context.Context, progress Progress) (Verification, error) {
	from, err := remembered(l.dir, l.id)
	if err != nil {
		l.log.Warn("everything is verified", "reason", err)
		from = start{}
	}
	return l.verifyFrom(ctx, from, progress)
}

// VerifySlowly verifies everything like Verify, on one core and at no more than so many rows a second: for a log that is in use, over hours or days. It holds no transaction open in between.
func (l *Ledger) VerifySlowly(ctx context.Context, rowsPerSecond int, progress Progress) (v Verification, err error) {
	pace := rate.NewLimiter(rate.Limit(rowsPerSecond), segmentRows)
	return l.settled(ctx, func() (Verification, error) {
		seals, sealsErr := checkSeals(l.dir, l.id, 0)
		v := newVerifier(l.id, l.Checkpoint(), start{}, progress)
		v.workers, v.pace = 1, func(ctx context.Context, rows uint64) error { return pace.WaitN(ctx, int(rows)) }
		return v.runIn(ctx, l.db.View, seals, sealsErr), nil
	})
}

// verifyFrom verifies the rows from a place on that was verified before, as one transaction sees them.
func (l *Ledger) verifyFrom(ctx context.Context, from start, progress Progress) (Verification, error) {
	return l.settled(ctx, func() (v Verification, err error) {
		seals, sealsErr := checkSeals(l.dir, l.id, 0) // before the checkpoint: no seal speaks of more rows than it
		anchor := l.Checkpoint()
		err = l.db.View(func(txn *badger.Txn) error {
			v = newVerifier(l.id, anchor, from, progress).run(ctx, txn, seals, sealsErr)
			return nil
		})
		return v, err
	})
}

// settled verifies, and records the result. Retention may take rows away meanwhile: then a damage that was found says nothing, and it verifies again.
func (l *Ledger) settled(ctx context.Context, verify func() (Verification, error)) (Verification, error) {
	begin := time.Now()
	for {
		dropped := len(l.state.Load().dropped)
		v, err := verify()
		if err = errors.Join(err, ctx.Err()); err == nil && v.Status != Intact && len(l.state.Load().dropped) != dropped {
			continue
		}
		if err == nil {
			if err := remember(l.dir, l.id, &v); err != nil {
				l.log.Warn("the verification is not recorded; the next one reads these rows again", "error", err)
			}
		}
		v.Elapsed = time.Since(begin)
		return v, err
	}
}
