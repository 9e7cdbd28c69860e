package main

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"netaudit/appliance"
	"netaudit/attribution"
	"netaudit/attribution/party"
)

type whoCommand struct {
	NetNS   string   `help:"Look into this network namespace (path) instead of the host's." name:"netns" placeholder:"PATH"`
	All     bool     `help:"Also connections to this host itself."`
	Parties []string `help:"Catalogue file that extends or overrides the built-in one (repeatable)." placeholder:"FILE" type:"existingfile"`
	JSON    bool     `help:"One JSON object a line, as rows of the log are, instead of a table." name:"json"`
}

// Help implements kong.HelpProvider.
func (whoCommand) Help() string {
	return `Lists the TCP connections that are open now: process, thread, Odoo addon, destination, and how sure that is. Changes nothing and keeps nothing.
An addon can be named while its thread waits on the connection; one that is kept for later belongs to nobody at the moment.

Examples:
  sudo netaudit who
  sudo netaudit who --netns /proc/$(pgrep -f odoo-bin | head -1)/ns/net
  sudo netaudit who --json | jq 'select(.addon != null) | {addon: .addon.name, dst}'`
}

// Run prints the connections.
func (c *whoCommand) Run(s *session) error {
	parties, err := party.Load(c.Parties...)
	if err != nil {
		return err
	}
	list, err := appliance.Who(s.ctx, c.NetNS, parties, c.All)
	if err != nil {
		return err
	}
	if c.JSON {
		for i := range list {
			e := list[i].Event()
			if _, err := s.stdout.Write(append(e.AppendJSON(nil), '\n')); err != nil {
				return fmt.Errorf("write the connections: %w", err)
			}
		}
		return nil
	}
	if len(list) == 0 {
		fmt.Fprintln(s.stderr, "no connection is open to another host (--all shows those to this one)")
		return nil
	}
	t := table.NewWriter()
	t.SetOutputMirror(s.stdout)
	t.SetStyle(table.StyleLight)
	t.Style().Options.DrawBorder, t.Style().Options.SeparateColumns = false, false
	t.SetColumnConfigs([]table.ColumnConfig{
		{Name: "evidence", WidthMax: 42, WidthMaxEnforcer: text.WrapSoft}, {Name: "addon", WidthMax: 36, WidthMaxEnforcer: text.WrapSoft},
	})
	t.AppendHeader(table.Row{"other end", "party", "addon", "process", "evidence"})
	p := paletteFor(s.stdout)
	for _, one := range list {
		t.AppendRow(table.Row{one.Remote, partyText(p, one.Party), addonText(p, one.Owner), processText(one.Owner.Process), evidenceText(p, one)})
	}
	t.Render()
	return nil
}

func partyText(p palette, who attribution.Party) string {
	if who.Class == attribution.MITBound {
		return p.bad(who.Name)
	}
	return who.Name
}

func addonText(p palette, o attribution.Owner) string {
	if o.Addon == nil {
		return p.dim("–")
	}
	line := p.bold(o.Addon.Name)
	if o.Addon.OnBehalfOf != "" {
		line += " for " + o.Addon.OnBehalfOf
	}
	if o.Addon.Method != "" {
		line += p.dim(" " + o.Addon.Method)
	}
	return line
}

func processText(who *attribution.Process) string {
	if who == nil {
		return "unknown"
	}
	line := fmt.Sprintf("%s %d", who.Name, who.PID)
	if who.Role != "" && who.Role != "other" {
		line += " " + who.Role
	}
	return line
}

func evidenceText(p palette, c appliance.Connection) string {
	e := c.Owner.Evidence
	line := c.State + ", " + e.Confidence
	if c.Inbound {
		line = "inbound, " + line
	}
	if e.TID != 0 {
		line += fmt.Sprintf(", thread %d", e.TID)
	}
	if e.Reason != "" {
		line += "\n" + p.dim(e.Reason)
	}
	if len(e.Candidates) > 0 {
		line += "\n" + p.dim("candidates: "+strings.Join(e.Candidates, ", "))
	}
	if len(e.Conflicts) > 0 {
		line += "\n" + p.bad(strings.Join(e.Conflicts, "\n"))
	}
	return line
}
