package ledger

import (
	"archive/zip"
	"bufio"
	"context"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger/proof"
)

// bundleReadme explains to an outsider what a bundle is and how to check it by hand.
//
//go:embed bundle.txt
var bundleReadme string

// WriteBundle writes a proof bundle of count rows from first on: a zip file that an outsider can check with nothing else (package proof, netaudit-verify, the Verify page, or the Python
// program in docs). The rows are the stored bytes. ErrNoRow when the log does not have them all.
func (l *Ledger) WriteBundle(ctx context.Context, w io.Writer, first, count uint64) error {
	c := l.Checkpoint()
	if last := first + count; count > 0 && last > first && l.minimum() <= first { // seals behind a cosigned checkpoint, which say what retention took, would be missing
		c = l.checkpointFor(last)
	}
	if count == 0 || first+count > c.Size || first+count < first {
		return fmt.Errorf("rows %d to %d of %d: %w", first, first+count-1, c.Size, ErrNoRow)
	}
	seals, err := l.sealsUpTo(c.Size)
	if err != nil {
		return err
	}
	return l.db.View(func(txn *badger.Txn) error {
		run, err := l.rangeOf(txn, c, first, count)
		if err != nil {
			return err
		}
		z := zip.NewWriter(w)
		small := []part{
			{proof.BundleReadme, []byte(bundleReadme)},
			{proof.BundleGenesis, l.id.genesis},
			{proof.BundleKeys, proof.Keys(l.id.vkey, l.id.sealKey)},
			{proof.BundlePolicy, []byte(proof.Policy(l.id.vkey))},
			{proof.BundleCheckpoint, c.Note},
			{proof.BundleRange, run.Text()},
		}
		for _, p := range append(small, seals...) {
			if err := writePart(z, p, l.options.Clock()); err != nil {
				return err
			}
		}
		f, err := z.CreateHeader(&zip.FileHeader{Name: proof.BundleRows, Method: zip.Deflate, Modified: l.options.Clock()})
		if err != nil {
			return fmt.Errorf("write the bundle: %w", err)
		}
		if err := l.writeRows(ctx, txn, f, first, count); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return fmt.Errorf("write the bundle: %w", err)
		}
		return nil
	})
}

// part is one small file of a bundle.
type part struct {
	name string
	text []byte
}

func writePart(z *zip.Writer, p part, now time.Time) error {
	f, err := z.CreateHeader(&zip.FileHeader{Name: p.name, Method: zip.Deflate, Modified: now})
	if err == nil {
		_, err = f.Write(p.text)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", p.name, err)
	}
	return nil
}

// sealsUpTo are the seals that speak of no more rows than a checkpoint.
func (l *Ledger) sealsUpTo(size uint64) ([]part, error) {
	if l.id.sealKey == "" {
		return nil, nil
	}
	texts, err := l.Seals()
	if err != nil {
		return nil, err
	}
	var list []part
	for _, text := range texts {
		s, err := proof.OpenSeal(text, l.id.sealKey, nil)
		if err != nil {
			return nil, fmt.Errorf("read the seals: %w", err)
		}
		if s.Size <= size {
			list = append(list, part{proof.BundleSeals + s.Day, text})
		}
	}
	return list, nil
}

// rangeOf computes the hashes that lead from the rows to the checkpoint.
func (l *Ledger) rangeOf(txn *badger.Txn, c Checkpoint, first, count uint64) (run proof.Range, err error) {
	run = proof.Range{First: first, Count: count}
	if run.Chain, err = l.chainBefore(txn, first); err != nil {
		return run, err
	}
	reader := l.id.layout.tileReader(txn)
	if run.Left, err = leftHashes(reader, first); err != nil {
		return run, err
	}
	if end := first + count; end < c.Size {
		p, err := tlog.ProveTree(int64(c.Size), int64(end), reader)
		if err != nil {
			return run, fmt.Errorf("prove the rows: %w", err)
		}
		run.Right = p
	}
	return run, nil
}

// leftHashes are the roots of the perfect subtrees that cover the first rows, the largest to the left first.
func leftHashes(reader tlog.HashReader, size uint64) (list []tlog.Hash, err error) {
	at := uint64(0)
	for level := 63 - bits.LeadingZeros64(size|1); size > 0 && level >= 0; level-- {
		if size&(1<<level) == 0 {
			continue
		}
		hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(level, int64(at>>level))})
		if err != nil {
			return nil, err
		}
		list = append(list, hashes[0])
		at += 1 << level
	}
	return list, nil
}

// writeRows writes rows as they are stored, one a line, and the hashes of those that retention took away.
func (l *Ledger) writeRows(ctx context.Context, txn *badger.Txn, w io.Writer, first, count uint64) error {
	out := bufio.NewWriterSize(w, 64<<10)
	dropped := l.state.Load().dropped
	reader := l.id.layout.tileReader(txn)
	rows := l.id.layout.reader(txn)
	defer rows.close()
	for seq := first; seq < first+count; seq++ {
		if seq%rowsBetweenChecks == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var line []byte
		if _, withheld := withheldBy(dropped, seq); withheld {
			hashes, err := reader([]int64{tlog.StoredHashIndex(0, int64(seq))})
			if err != nil {
				return err
			}
			line = append([]byte("withheld "), base64.StdEncoding.EncodeToString(hashes[0][:])...)
		} else {
			row, err := l.rowFrom(rows, seq)
			if err != nil {
				return err
			}
			line = row.JSON
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("write row %d: %w", seq, err)
		}
	}
	return out.Flush()
}

// ParseRows reads which rows somebody wants: N or N-M, both included.
func ParseRows(text string) (first, count uint64, err error) {
	from, to, several := strings.Cut(text, "-")
	if !several {
		to = from
	}
	first, err1 := strconv.ParseUint(from, 10, 63)
	last, err2 := strconv.ParseUint(to, 10, 63)
	if err1 != nil || err2 != nil || last < first {
		return 0, 0, fmt.Errorf("rows %q: write N or N-M", text)
	}
	return first, last - first + 1, nil
}

// DayRows says which rows were logged on a UTC day; ErrNoRow when there are none.
func (l *Ledger) DayRows(day time.Time) (first, count uint64, err error) {
	for _, d := range l.state.Load().days {
		if d.day == dayAt(day.UnixNano()) {
			return d.first, d.last - d.first + 1, nil
		}
	}
	return 0, 0, fmt.Errorf("rows of %s: %w", day.UTC().Format(time.DateOnly), ErrNoRow)
}

// Consistency proves that the tree of `to` rows extends that of `from` rows (RFC 6962 §2.1.2): nothing before was changed. Both must be anchored, and from must not be 0.
func (l *Ledger) Consistency(from, to uint64) ([][32]byte, error) {
	if from == 0 || from > to || to > l.Size() {
		return nil, fmt.Errorf("from %d to %d rows of %d: %w", from, to, l.Size(), ErrNoRow)
	}
	var out [][32]byte
	err := l.db.View(func(txn *badger.Txn) error {
		p, err := tlog.ProveTree(int64(to), int64(from), l.id.layout.tileReader(txn))
		for _, h := range p {
			out = append(out, h)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(errors.New("prove that the log was only extended"), err)
	}
	return out, nil
}
