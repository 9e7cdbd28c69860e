package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"netaudit/appliance"
	"netaudit/attribution/party"
	"netaudit/ledger"
	"netaudit/ledger/report"
)

type reportCommand struct {
	State   string        `help:"State directory of the ledger (default: that of netaudit run)." placeholder:"DIR" type:"path"`
	Last    time.Duration `help:"Length of the window, ending now." default:"24h"`
	Since   instant       `help:"Begin of the window, as 2026-01-31T00:00:00Z or 2026-01-31; wins over --last." placeholder:"TIME"`
	Until   instant       `help:"End of the window (default: now)." placeholder:"TIME"`
	JSON    bool          `help:"One JSON object instead of text." name:"json"`
	Known   []string      `help:"Name of a damaged log before this one, or where it is kept, that is no alarm any more (repeatable)." name:"acknowledged" placeholder:"LOG"`
	Parties []string      `help:"Catalogue file that declares license traffic (repeatable)." placeholder:"FILE" type:"existingfile"`
}

// Help implements kong.HelpProvider.
func (reportCommand) Help() string {
	return `Reads the ledger, or asks the netaudit that is running on it, and says in one word whether data left to MIT.

Exit status: 0 all-clear, 1 attention, 3 alarm, 2 could not tell.

Examples:
  netaudit report
  netaudit report --last 168h --state ./case-17
  netaudit report --json | jq .findings`
}

// Run prints the report and exits with its verdict.
func (c *reportCommand) Run(s *session) error {
	state := c.State
	if state == "" {
		state = appliance.DefaultConfig().State
	}
	to := c.Until.Time
	if to.IsZero() {
		to = time.Now()
	}
	from := c.Since.Time
	if from.IsZero() {
		from = to.Add(-c.Last)
	}
	if !from.Before(to) {
		return errors.New("the window is empty: --since must lie before --until")
	}
	r, err := c.read(s.ctx, state, from, to)
	if err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(s.stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(r); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	} else if err := printReport(s.stdout, r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	switch r.Verdict {
	case report.AllClear:
		return nil
	case report.Attention:
		return &exitError{code: 1}
	default:
		return &exitError{code: 3}
	}
}

// read builds the report from the ledger's files, or lets the appliance build it that has them open.
func (c *reportCommand) read(ctx context.Context, state string, from, to time.Time) (report.Report, error) {
	l, err := ledger.Open(state, ledger.Options{ReadOnly: true})
	var locked *ledger.LockedError
	if errors.As(err, &locked) {
		running, readErr := appliance.ReadRunning(state)
		if readErr != nil {
			return report.Report{}, errors.Join(err, readErr)
		}
		return ask(ctx, running, from, to)
	}
	if err != nil {
		return report.Report{}, err
	}
	catalogue, err := party.Load(c.Parties...)
	if err != nil {
		return report.Report{}, errors.Join(err, l.Close())
	}
	install, err := appliance.InstallOf(ctx, l)
	if err != nil {
		return report.Report{}, errors.Join(err, l.Close())
	}
	rules := appliance.RulesFor(catalogue, install)
	rules.Acknowledged = c.Known
	r, err := report.Build(ctx, l, from, to, rules)
	return r, errors.Join(err, l.Close())
}

// mostReport bounds the answer that is read, in bytes.
const mostReport = 64 << 20

func ask(ctx context.Context, running appliance.Running, from, to time.Time) (r report.Report, err error) {
	query := url.Values{"since": {from.UTC().Format(time.RFC3339Nano)}, "until": {to.UTC().Format(time.RFC3339Nano)}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, running.URL+"api/v1/report?"+query.Encode(), nil)
	if err != nil {
		return r, fmt.Errorf("ask the running netaudit: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+running.Token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return r, fmt.Errorf("ask the running netaudit: %w", err)
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode != http.StatusOK {
		return r, fmt.Errorf("ask the running netaudit (process %d): it answered %s", running.PID, answer.Status)
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, mostReport)).Decode(&r); err != nil {
		return r, fmt.Errorf("read the answer of the running netaudit: %w", err)
	}
	return r, nil
}
