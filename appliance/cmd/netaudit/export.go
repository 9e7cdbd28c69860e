package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"netaudit/appliance"
	"netaudit/ledger"
)

type exportCommand struct {
	Bundle exportBundleCommand `cmd:"" help:"Write rows with their proof into a file that anybody can check."`
}

type exportBundleCommand struct {
	Dir  string `arg:"" help:"State directory of the ledger; a running netaudit on it is asked." type:"existingdir" completion-predictor:"dir"`
	Rows string `help:"Rows N or N-M." placeholder:"N-M" xor:"which"`
	Day  string `help:"Rows that were logged on this UTC day." placeholder:"2026-11-23" xor:"which"`
	Out  string `help:"File to write; - is standard output." short:"o" default:"-" type:"path" completion-predictor:"file"`
}

// Help implements kong.HelpProvider.
func (exportBundleCommand) Help() string {
	return `A bundle is a zip file with the rows as they are hashed, the hashes that lead to the signed checkpoint, every daily seal, the public keys, and a README that explains how to check it by
hand. Without --rows and --day it holds the whole log. Check it with netaudit-verify.

Examples:
  sudo netaudit export bundle /var/lib/netaudit -o everything.zip
  sudo netaudit export bundle /var/lib/netaudit --day 2026-11-23 -o day.zip
  sudo netaudit export bundle /var/lib/netaudit --rows 4200-4300 | ssh auditor 'cat > rows.zip'`
}

// Run writes the bundle; a file appears only when it is whole.
func (c *exportBundleCommand) Run(s *session) error {
	if c.Out == "-" {
		if isTerminal(s.stdout) {
			return errors.New("a bundle is a zip file: name one with -o FILE, or send it into a pipe")
		}
		return c.write(s, s.stdout)
	}
	f, err := renameio.NewPendingFile(c.Out, renameio.WithPermissions(0o600), renameio.WithTempDir(filepath.Dir(c.Out)))
	if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	if err := c.write(s, f); err != nil {
		return errors.Join(err, f.Cleanup())
	}
	return f.CloseAtomicallyReplace()
}

func (c *exportBundleCommand) write(s *session, out io.Writer) error {
	var first, count uint64
	if c.Rows != "" {
		var err error
		if first, count, err = ledger.ParseRows(c.Rows); err != nil {
			return err
		}
	}
	l, err := ledger.Open(c.Dir, ledger.Options{ReadOnly: true, Logger: s.log})
	var locked *ledger.LockedError
	if errors.As(err, &locked) {
		return c.ask(s.ctx, out)
	}
	if err != nil {
		return err
	}
	defer l.Close()
	if c.Day != "" {
		if first, count, err = daysRows(l, c.Day); err != nil {
			return err
		}
	} else if c.Rows == "" {
		count = l.Size()
	}
	return l.WriteBundle(s.ctx, out, first, count)
}

func daysRows(l *ledger.Ledger, text string) (first, count uint64, err error) {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, 0, fmt.Errorf("--day: write it like 2026-11-23: %w", err)
	}
	return l.DayRows(day)
}

// ask lets the running netaudit write the bundle.
func (c *exportBundleCommand) ask(ctx context.Context, out io.Writer) error {
	running, err := appliance.ReadRunning(c.Dir)
	if err != nil {
		return err
	}
	query := url.Values{}
	for key, value := range map[string]string{"rows": c.Rows, "day": c.Day} {
		if value != "" {
			query.Set(key, value)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, running.URL+"api/v1/ledger/bundle?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+running.Token)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the running netaudit: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 4096)) // only for the message
		return fmt.Errorf("the running netaudit answers %s: %s", answer.Status, strings.TrimSpace(string(text)))
	}
	_, err = io.Copy(out, answer.Body)
	return err
}
