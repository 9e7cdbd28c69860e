package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"netaudit/ledger/report"
)

// mostTableRows keeps the report on a few screens; the pages and --json have everything.
const mostTableRows = 15

// printReport writes the Trust Report for people.
func printReport(w io.Writer, r report.Report) error {
	c := paletteFor(w)
	var b strings.Builder
	word := map[string]string{report.AllClear: c.good("ALL CLEAR"), report.Attention: c.warn("ATTENTION"), report.Alarm: c.bad("ALARM")}[r.Verdict]
	fmt.Fprintf(&b, "%s  %s\n\n", word, r.Sentence)
	for _, f := range r.Findings {
		paint := c.warn
		if f.Level == report.Alarm {
			paint = c.bad
		}
		fmt.Fprintf(&b, "  %s  %s%s\n", paint(f.Rule), f.Sentence, c.dim(rowsBehind(f)))
	}
	if len(r.Findings) > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "  window       %s – %s\n", clock(r.From), clock(r.To))
	fmt.Fprintf(&b, "  log          %s, %s rows\n", r.Origin, grouped(int64(r.Size)))
	if r.Held != nil {
		fmt.Fprintf(&b, "  held outside  up to row %d, by %s since %s\n", r.Held.Rows, printable(r.Held.Witness), r.Held.Time.Format(time.DateTime))
	}
	if r.LastSeal != "" {
		fmt.Fprintf(&b, "  last seal    %s\n", r.LastSeal)
	}
	fmt.Fprintf(&b, "  coverage     %s\n", coverageWords(r.Coverage))
	if r.Attribution.Outbound > 0 && r.Install != "replay" && r.Install != "mirror" {
		fmt.Fprintf(&b, "  attribution  %d of %d calls out have a name\n", r.Attribution.Named, r.Attribution.Outbound)
	}
	b.WriteByte('\n')
	b.WriteString(volumes(r))
	b.WriteString(destinations(r))
	b.WriteString(modules(r))
	_, err := io.WriteString(w, b.String())
	return err
}

func rowsBehind(f report.Finding) string {
	if len(f.Seqs) == 0 {
		return ""
	}
	shown := f.Seqs[:min(len(f.Seqs), 5)]
	list := make([]string, len(shown))
	for i, seq := range shown {
		list[i] = strconv.FormatUint(seq, 10)
	}
	more := ""
	if f.Count > len(shown) {
		more = " …"
	}
	return "  rows " + strings.Join(list, ", ") + more
}

func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

func coverageWords(c report.Coverage) string {
	if !c.Known {
		return "unknown: the rows come from capture files"
	}
	return fmt.Sprintf("%s of the time since %s, %s packets lost", report.PercentText(c.Percent), clock(c.Begin), grouped(c.Dropped))
}

func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "  ", ""
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.AppendHeader(header)
	var columns []table.ColumnConfig
	for i, h := range header {
		if h == "calls" || h == "sent" || h == "received" || h == "MIT calls" {
			columns = append(columns, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
		}
	}
	t.SetColumnConfigs(columns)
	return t
}

func volumes(r report.Report) string {
	t := newTable("where", "calls", "sent", "received")
	row := func(name string, v report.Volume) {
		t.AppendRow(table.Row{name, grouped(int64(v.Calls)), report.Bytes(v.Out), report.Bytes(v.In)})
	}
	row("MIT", r.Calls.MIT)
	row("third parties", r.Calls.ThirdParty)
	row("internal", r.Calls.Internal)
	return t.Render() + "\n\n"
}

func destinations(r report.Report) string {
	t := newTable("destination", "party", "class", "addons", "calls", "sent", "received")
	n := 0
	for _, d := range r.Destinations {
		if d.Class == "internal" {
			continue
		}
		if n++; n > mostTableRows {
			continue
		}
		t.AppendRow(table.Row{printable(d.Host), printable(d.Party), className(d.Class), printable(shorten(d.Addons)), grouped(int64(d.Calls)), report.Bytes(d.Out), report.Bytes(d.In)})
	}
	return render(t, n)
}

func modules(r report.Report) string {
	t := newTable("addon", "version", "MIT calls", "calls", "sent", "received")
	for i, m := range r.Modules {
		if i < mostTableRows {
			t.AppendRow(table.Row{printable(m.Name), printable(m.Version), grouped(int64(m.MIT)), grouped(int64(m.Calls)), report.Bytes(m.Out), report.Bytes(m.In)})
		}
	}
	return render(t, len(r.Modules))
}

func render(t table.Writer, n int) string {
	if n == 0 {
		return ""
	}
	more := ""
	if n > mostTableRows {
		more = fmt.Sprintf("  … and %d more\n", n-mostTableRows)
	}
	return t.Render() + "\n" + more + "\n"
}

func className(class string) string {
	return map[string]string{"mit_bound": "MIT", "third_party": "third party"}[class]
}

func shorten(list []string) string {
	if len(list) > 3 {
		return strings.Join(list[:3], ", ") + ", …"
	}
	return strings.Join(list, ", ")
}

// printable keeps what the wire said from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r <= 0x9f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '·'
		}
		return r
	}, s)
}

func grouped(n int64) string { return report.Grouped(n) }
