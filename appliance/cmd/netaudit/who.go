package main

import (
	"fmt"
	"io"
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
An addon can be named while its thread waits on the connection; one that is kept for later belongs to nobody at the moment. What was closed meanwhile is left out.

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
		if c.All {
			fmt.Fprintln(s.stderr, "no TCP connection is open")
		} else {
			fmt.Fprintln(s.stderr, "no TCP connection is open to another host (--all shows those to this one)")
		}
		return nil
	}
	if width := widthOf(s.stdout); width > 0 && width < narrow {
		writeCards(s.stdout, list, width)
		return nil
	}
	writeTable(s.stdout, list)
	return nil
}

// narrow is the width below which a table would break its lines, in columns.
const narrow = 120

func writeTable(w io.Writer, list []appliance.Connection) {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Options.DrawBorder, t.Style().Options.SeparateColumns = false, false
	t.AppendHeader(table.Row{"other end", "party", "addon", "process", "evidence"})
	p := paletteFor(w)
	for _, one := range list {
		t.AppendRow(table.Row{
			one.Remote, partyText(p, one), wrapped(36, addonText(p, one.Owner)), wrapped(30, processLines(one.Owner.Process)...), wrapped(42, evidenceLines(p, one)...),
		})
	}
	t.Render()
}

// writeCards writes some lines for each connection, for a narrow terminal.
func writeCards(w io.Writer, list []appliance.Connection, width int) {
	p := paletteFor(w)
	for i, one := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		head := one.Remote.String()
		if party := partyText(p, one); party != "" {
			head += "  " + party
		}
		lines := append([]string{addonText(p, one.Owner)}, processLines(one.Owner.Process)...)
		fmt.Fprintln(w, head)
		for _, line := range append(lines, evidenceLines(p, one)...) {
			fmt.Fprintln(w, "  "+strings.ReplaceAll(wrapped(width-2, line), "\n", "\n  "))
		}
	}
}

// wrapped breaks each line where it is wider than so many columns.
func wrapped(width int, lines ...string) string {
	for i, line := range lines {
		lines[i] = text.WrapSoft(line, width)
	}
	return strings.Join(lines, "\n")
}

// partyText is "" when the party is called by nothing but its address.
func partyText(p palette, c appliance.Connection) string {
	switch {
	case c.Party.Class == attribution.MITBound:
		return p.bad(c.Party.Name)
	case c.Party.Name == c.Remote.Addr().String():
		return ""
	default:
		return c.Party.Name
	}
}

func addonText(p palette, o attribution.Owner) string {
	if o.Addon == nil {
		return p.dim("no addon")
	}
	line := p.bold(o.Addon.Name)
	if o.Addon.OnBehalfOf != "" {
		line += " for " + o.Addon.OnBehalfOf
	}
	if o.Addon.Method != "" {
		line += p.dim(", in " + o.Addon.Method)
	}
	return line
}

// processLines name the process: a part of Odoo by what it does and for whom, all else by its program.
func processLines(who *attribution.Process) []string {
	if who == nil {
		return []string{"unknown process"}
	}
	if !strings.HasPrefix(who.Role, "odoo_") || who.Role == "odoo_child" {
		line := fmt.Sprintf("%s %d", who.Name, who.PID)
		if who.Role != "other" {
			line += ", " + who.Role
		}
		return []string{line}
	}
	line := fmt.Sprintf("%s %d", who.Role, who.PID)
	if who.Database != "" {
		line += ", " + who.Database
	}
	if who.Job != "" {
		return []string{line, who.Job}
	}
	return []string{line}
}

func evidenceLines(p palette, c appliance.Connection) []string {
	e := c.Owner.Evidence
	line := c.State + ", " + e.Confidence
	if c.Inbound {
		line = "inbound, " + line
	}
	if e.TID != 0 {
		line += fmt.Sprintf(", thread %d", e.TID)
	}
	lines := []string{line}
	if e.Reason != "" {
		lines = append(lines, p.dim(e.Reason))
	}
	if len(e.Candidates) > 0 {
		lines = append(lines, p.dim("candidates: "+strings.Join(e.Candidates, ", ")))
	}
	for _, conflict := range e.Conflicts {
		lines = append(lines, p.bad(conflict))
	}
	return lines
}
