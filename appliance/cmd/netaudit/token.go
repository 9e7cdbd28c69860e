package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"netaudit/api"
	"netaudit/appliance"
)

type tokenCommand struct {
	Add    tokenAddCommand    `cmd:"" help:"Make a token and print its secret, once."`
	List   tokenListCommand   `cmd:"" help:"List the tokens, without their secrets."`
	Remove tokenRemoveCommand `cmd:"" help:"Take a token away."`
}

// tokenFlags find the installation. A netaudit that runs on it takes changes up by itself.
type tokenFlags struct {
	State string `help:"State directory of the ledger (default: that of netaudit run)." placeholder:"DIR" type:"path"`
}

func (f *tokenFlags) open() (*api.Tokens, error) {
	if f.State == "" {
		f.State = appliance.DefaultConfig().State
	}
	if _, err := os.Stat(f.State); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no state directory %s: start netaudit once, or name another with --state", f.State)
	}
	return api.OpenTokens(appliance.TokensPath(f.State))
}

type tokenAddCommand struct {
	tokenFlags
	Name string `arg:"" help:"Whose token it is; rows that say who read have this name."`
	Role string `help:"auditor (reads metadata), officer (forensic) or admin (configuration)." enum:"auditor,officer,admin" default:"auditor"`
}

// Help implements kong.HelpProvider.
func (tokenAddCommand) Help() string {
	return `A role never implies another: make a token for each. The secret is printed once and kept by nobody.

Examples:
  netaudit token add siem
  netaudit token add --role admin "Jane, IT"`
}

// Run prints the secret on standard output.
func (c *tokenAddCommand) Run(s *session) error {
	tokens, err := c.open()
	if err != nil {
		return err
	}
	secret, err := tokens.Create(c.Role, c.Name)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.stderr, "%s may read as %s; this is shown once:\n", c.Name, c.Role)
	_, err = fmt.Fprintln(s.stdout, secret)
	return err
}

type tokenListCommand struct{ tokenFlags }

// Help implements kong.HelpProvider.
func (tokenListCommand) Help() string {
	return `Example:
  netaudit token list`
}

// Run lists the tokens, the oldest first.
func (c *tokenListCommand) Run(s *session) error {
	tokens, err := c.open()
	if err != nil {
		return err
	}
	list, err := tokens.List()
	if err != nil {
		return err
	}
	t := newTable("id", "role", "made", "name")
	for _, one := range list {
		t.AppendRow(table.Row{one.ID, one.Role, one.Created.UTC().Format(time.DateTime), printable(one.Name)})
	}
	_, err = fmt.Fprintln(s.stdout, t.Render())
	return err
}

type tokenRemoveCommand struct {
	tokenFlags
	ID string `arg:"" help:"Its id, as netaudit token list shows it."`
}

// Help implements kong.HelpProvider.
func (tokenRemoveCommand) Help() string {
	return `Sessions of the pages that the token opened last until they end, twelve hours at most.

Example:
  netaudit token remove 3f2a9c01`
}

// Run takes the token away.
func (c *tokenRemoveCommand) Run(s *session) error {
	tokens, err := c.open()
	if err != nil {
		return err
	}
	return tokens.Remove(c.ID)
}
