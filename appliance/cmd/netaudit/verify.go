package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"netaudit/ledger"
)

type verifyCommand struct {
	Dir  string `arg:"" help:"State directory of the ledger." type:"path" completion-predictor:"dir"`
	JSON bool   `help:"One JSON object instead of text." name:"json"`

	SinceLast bool `help:"Only the rows that came since the last verification; says what that does not prove."`
}

// Help implements kong.HelpProvider.
func (verifyCommand) Help() string {
	return `Recomputes every hash of a ledger and compares it with the signed checkpoint and with the anchor file. Nothing is written, but with
--since-last the record of the verification (anchor/verified) where the log's key can be read.

Exit status: 0 intact, 1 tampered, 2 cannot tell (for example: in use by a running netaudit).

Example:
  netaudit verify /var/lib/netaudit
  netaudit verify --since-last /var/lib/netaudit`
}

// Run verifies and prints what was checked, and what was not.
func (c *verifyCommand) Run(s *session) error {
	var bar *progressbar.ProgressBar
	progress := func(done, total uint64) {
		if !isTerminal(s.stderr) || total == 0 {
			return
		}
		if bar == nil {
			bar = progressbar.NewOptions64(int64(total), progressbar.OptionSetWriter(s.stderr), progressbar.OptionShowIts(),
				progressbar.OptionSetItsString("rows"), progressbar.OptionSetDescription("verifying"), progressbar.OptionClearOnFinish(),
				progressbar.OptionThrottle(100*time.Millisecond))
		}
		_ = bar.Set64(int64(done))
	}
	verify := ledger.VerifyDir
	if c.SinceLast {
		verify = ledger.VerifyDirSince
	}
	v, err := verify(s.ctx, c.Dir, progress)
	if bar != nil {
		_ = bar.Finish()
	}
	if err != nil {
		return fmt.Errorf("verify %s: %w", c.Dir, err)
	}
	if c.JSON {
		if err := printVerificationJSON(s, v); err != nil {
			return err
		}
	} else {
		printVerification(s, c.Dir, v)
	}
	return statusExit(v.Status)
}

func statusExit(status ledger.Status) error {
	switch status {
	case ledger.Intact:
		return nil
	case ledger.Tampered:
		return &exitError{code: 1}
	default:
		return &exitError{code: 2}
	}
}

func printVerificationJSON(s *session, v ledger.Verification) error {
	out := struct {
		Status     string   `json:"status"`
		Origin     string   `json:"origin,omitempty"`
		Size       uint64   `json:"size"`
		From       uint64   `json:"from"`
		Root       string   `json:"root,omitempty"`
		Where      string   `json:"where,omitempty"`
		Seq        *uint64  `json:"seq,omitempty"`
		Detail     string   `json:"detail,omitempty"`
		Checked    []string `json:"checked"`
		NotChecked []string `json:"not_checked"`
	}{v.Status.String(), v.Origin, v.Size, v.From, hex.EncodeToString(v.Root[:]), "", nil, "", v.Checked, v.NotChecked}
	if d := v.Damage; d != nil {
		out.Where, out.Detail = d.Where, d.Detail
		if d.HasSeq {
			out.Seq = &d.Seq
		}
	}
	return json.NewEncoder(s.stdout).Encode(out)
}

func printVerification(s *session, dir string, v ledger.Verification) {
	c := paletteFor(s.stdout)
	word := map[ledger.Status]string{
		ledger.Intact: c.good("INTACT"), ledger.Tampered: c.bad("TAMPERED"), ledger.CannotTell: c.warn("CANNOT TELL"),
	}[v.Status]
	fmt.Fprintf(s.stdout, "%s  %s\n", word, dir)
	if v.Origin != "" {
		fmt.Fprintf(s.stdout, "\n  log     %s\n  rows    %d\n", v.Origin, v.Size)
		if v.From > 0 {
			fmt.Fprintf(s.stdout, "  read    from row %d on\n", v.From)
		}
		fmt.Fprintf(s.stdout, "  root    %s\n", hex.EncodeToString(v.Root[:]))
		if v.Elapsed > 0 && v.Size > 0 {
			fmt.Fprintf(s.stdout, "  time    %s (%.0f rows/s)\n", v.Elapsed.Round(time.Millisecond), float64(v.Size-v.From)/v.Elapsed.Seconds())
		}
	}
	if d := v.Damage; d != nil {
		place := d.Where
		if d.HasSeq {
			place = strings.TrimSpace(fmt.Sprintf("row %d %s", d.Seq, d.Where))
		}
		if v.Status == ledger.CannotTell {
			fmt.Fprintf(s.stdout, "\n  %s  %s\n", c.warn("because"), strings.TrimSpace(place+" "+d.Detail))
		} else {
			fmt.Fprintf(s.stdout, "\n  %s  %s\n          %s\n", c.bad("broken"), place, d.Detail)
		}
	}
	printList(s, "checked", v.Checked)
	printList(s, "not checked", v.NotChecked)
}

func printList(s *session, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(s.stdout, "\n  %s\n", title)
	for _, line := range lines {
		fmt.Fprintf(s.stdout, "    · %s\n", line)
	}
}
