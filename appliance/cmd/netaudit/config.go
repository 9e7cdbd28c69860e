package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"netaudit/appliance"
	"netaudit/attribution/party"
)

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Check a configuration and its catalogues of parties, and show what is in effect."`
}

type configCheckCommand struct {
	File    string   `arg:"" optional:"" help:"Configuration file (YAML); without one the defaults are shown." type:"existingfile" completion-predictor:"file"`
	Parties []string `help:"Catalogue file to check with it (repeatable)." placeholder:"FILE" type:"existingfile"`
	Match   []string `help:"Also say whose destination this host is, and by which rule (repeatable)." placeholder:"HOST"`
}

// Help implements kong.HelpProvider.
func (configCheckCommand) Help() string {
	return `Reads what netaudit run would read and starts nothing. Exit status 2 and the line when something is wrong.

Examples:
  netaudit config check /etc/netaudit.yaml
  netaudit config check --parties parties.yaml --match license.mit-odoo.de --match api.openai.com`
}

// Run prints the effective values and where each comes from.
func (c *configCheckCommand) Run(s *session) error {
	config := appliance.DefaultConfig()
	if c.File != "" {
		var err error
		if config, err = appliance.LoadConfig(c.File); err != nil {
			return err
		}
	}
	parties, err := party.Load(append(config.PartyFiles, c.Parties...)...)
	if err != nil {
		return err
	}
	t := table.NewWriter()
	t.SetOutputMirror(s.stdout)
	t.SetStyle(table.StyleLight)
	t.Style().Options.DrawBorder, t.Style().Options.SeparateColumns = false, false
	t.AppendHeader(table.Row{"key", "value", "from"})
	for _, v := range config.Settings() {
		t.AppendRow(table.Row{v.Key, orDash(v.Value), cmp.Or(v.Origin, "default")})
	}
	t.Render()
	l := parties.License()
	fmt.Fprintf(s.stdout, "\nThe license check may be made by %s, to %s, with %d bytes a day.\n", orDash(strings.Join(l.Addons, ", ")), orDash(strings.Join(l.Hosts, ", ")), l.DailyBudget)
	for _, host := range c.Match {
		p := parties.MatchText(host)
		fmt.Fprintf(s.stdout, "%s: %s, %s, by the rule %s\n", host, p.Class, p.Name, p.Rule)
	}
	return nil
}

func orDash(text string) string { return cmp.Or(text, "–") }
