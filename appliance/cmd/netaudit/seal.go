package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/mdp/qrterminal/v3"

	"netaudit/ledger"
	"netaudit/ledger/proof"
)

type sealCommand struct {
	List   sealListCommand   `cmd:"" help:"List the daily seals."`
	Verify sealVerifyCommand `cmd:"" help:"Check every daily seal with the key that was shown when the log began."`
	Key    sealKeyCommand    `cmd:"" help:"Show that key again, on the log's first day."`
}

type sealListCommand struct {
	Dir string `arg:"" help:"State directory of the ledger." type:"existingdir" completion-predictor:"dir"`
}

// Help implements kong.HelpProvider.
func (sealListCommand) Help() string {
	return `Example:
  netaudit seal list /var/lib/netaudit`
}

// Run lists the seals, newest first.
func (c *sealListCommand) Run(s *session) error {
	texts, vkey, err := ledger.SealFiles(c.Dir)
	if err != nil {
		return err
	}
	seals, err := proof.CheckSeals(texts, vkey, nil)
	if err != nil {
		return fmt.Errorf("the seals of %s do not fit together: %w", c.Dir, err)
	}
	if len(seals) == 0 {
		fmt.Fprintln(s.stderr, "no day is over since the log began: the first seal is made after midnight UTC")
		return nil
	}
	t := newTable("day", "epoch", "rows", "first row", "last row", "log has", "")
	for i := len(seals) - 1; i >= 0; i-- {
		one := &seals[i]
		late := ""
		if one.Late {
			late = "late"
		}
		t.AppendRow(table.Row{one.Day, one.Epoch, grouped(int64(one.Rows)), timeOfDay(one.First), timeOfDay(one.Last), grouped(int64(one.Size)), late})
	}
	_, err = fmt.Fprintln(s.stdout, t.Render())
	return err
}

// timeOfDay is the time out of an RFC 3339 text; the day stands in the row.
func timeOfDay(text string) string {
	if _, clock, ok := strings.Cut(text, "T"); ok && len(clock) >= 8 {
		return clock[:8]
	}
	return "–"
}

type sealVerifyCommand struct {
	Dir string `arg:"" help:"State directory of the ledger." type:"existingdir" completion-predictor:"dir"`
	Key string `help:"The key (nsk1-…), @FILE with it, or - to read it from standard input." placeholder:"KEY" required:""`
}

// Help implements kong.HelpProvider.
func (sealVerifyCommand) Help() string {
	return `The key of a log's first day was shown when the log began. Whoever keeps it can tell whether a seal was made on its own day: later the key of that day was gone from the host.
netaudit verify compares the seals with the rows.

Exit status: 0 all seals are right, 1 one is not, 2 cannot tell.

Examples:
  netaudit seal verify /var/lib/netaudit --key -
  netaudit seal verify /var/lib/netaudit --key @/media/stick/seal-key.txt`
}

// Run checks the seals.
func (c *sealVerifyCommand) Run(s *session) error {
	key, err := readSealKey(c.Key)
	if err != nil {
		return err
	}
	texts, vkey, err := ledger.SealFiles(c.Dir)
	if err != nil {
		return err
	}
	p := paletteFor(s.stdout)
	if vkey == "" || len(texts) == 0 {
		fmt.Fprintf(s.stdout, "%s  no day of this log is sealed yet\n", p.warn("CANNOT TELL"))
		return &exitError{code: 2}
	}
	seals, err := proof.CheckSeals(texts, vkey, &key)
	switch {
	case err == nil && seals[0].Epoch == 0:
		fmt.Fprintf(s.stdout, "%s  %d days, %s to %s, each sealed with its own key\n\nnot checked\n  · The rows: netaudit verify compares them with these seals.\n  · Today, which is not sealed yet.\n",
			p.good("SEALED"), len(seals), seals[0].Day, seals[len(seals)-1].Day)
		return nil
	case err == nil:
		fmt.Fprintf(s.stdout, "%s  the seals begin with %s (epoch %d): earlier ones are missing\n", p.bad("BROKEN"), seals[0].Day, seals[0].Epoch)
	case errors.Is(err, proof.ErrUnproved):
		fmt.Fprintf(s.stdout, "%s  %v\n", p.bad("BROKEN"), err)
		if len(seals) == 0 {
			fmt.Fprintln(s.stdout, "        Already the first seal does not fit: is this the key of this log?")
		}
	default:
		fmt.Fprintf(s.stdout, "%s  %v\n", p.warn("CANNOT TELL"), err)
		return &exitError{code: 2}
	}
	return &exitError{code: 1}
}

// mostKeyText bounds what is read in search of a key, in bytes.
const mostKeyText = 4096

func readSealKey(from string) (proof.SealKey, error) {
	path, isFile := strings.CutPrefix(from, "@")
	var in io.Reader = os.Stdin
	switch {
	case from == "-":
	case isFile:
		f, err := os.Open(path)
		if err != nil {
			return proof.SealKey{}, err
		}
		defer f.Close()
		in = f
	default:
		return proof.ParseSealKey(from)
	}
	text, err := io.ReadAll(io.LimitReader(in, mostKeyText))
	if err != nil {
		return proof.SealKey{}, fmt.Errorf("read the seal key: %w", err)
	}
	return proof.ParseSealKey(string(text))
}

type sealKeyCommand struct {
	Dir string `arg:"" help:"State directory of the ledger." type:"existingdir" completion-predictor:"dir"`
}

// Help implements kong.HelpProvider.
func (sealKeyCommand) Help() string {
	return `After the first midnight (UTC) this host has forgotten the key: that is what makes the seals worth something.

Example:
  sudo netaudit seal key /var/lib/netaudit`
}

// Run shows the key while it exists.
func (c *sealKeyCommand) Run(s *session) error {
	key, err := ledger.FirstSealKey(c.Dir)
	if err != nil {
		return err
	}
	showSealKey(s.stdout, key)
	return nil
}

// showSealKey writes the key for people; on a terminal also as a QR code.
func showSealKey(w io.Writer, key proof.SealKey) {
	p := paletteFor(w)
	groups := strings.Split(key.String(), "-")
	half := len(groups)/2 + 1
	fmt.Fprintf(w, "  %s\n\n      %s\n      %s\n\n", p.bold("Seal key: keep it somewhere else. It is shown once."), strings.Join(groups[:half], "-")+"-", strings.Join(groups[half:], "-"))
	if isTerminal(w) {
		qrterminal.GenerateWithConfig(key.String(), qrterminal.Config{
			Level: qrterminal.L, Writer: w, HalfBlocks: true, QuietZone: 2,
			BlackChar: qrterminal.BLACK_BLACK, WhiteChar: qrterminal.WHITE_WHITE, BlackWhiteChar: qrterminal.BLACK_WHITE, WhiteBlackChar: qrterminal.WHITE_BLACK,
		})
	}
	fmt.Fprintf(w, "  %s\n\n", p.dim("With it you can prove later that no finished day was rewritten:  netaudit seal verify DIR --key -"))
}
