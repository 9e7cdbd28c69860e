// Command bench prints every performance figure beside its rival, measured in the same run: reading captures beside tcpdump,
// durable rows beside Tessera and a plain file with fsync, and how long it takes from the first packet of a call to its owner.
// Machines are noisy: the ratios count, not the absolute figures. Nothing here is a test that time could fail.
//
//	go run ./appliance/bench -netaudit bin/netaudit [-only replay,live,ledger,owner] [-json FILE]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// figure is one line of the table.
type figure struct {
	What  string  `json:"what"`
	Ours  float64 `json:"ours"`
	Rival float64 `json:"rival,omitempty"`
	Who   string  `json:"rival_name,omitempty"`
	Unit  string  `json:"unit"`
	Goal  string  `json:"goal,omitempty"` // as a ratio ours/rival, or a value
}

type suite struct {
	name string
	run  func(context.Context, options) ([]figure, error)
}

type options struct {
	netaudit string  // path of the binary
	scale    float64 // of the generated captures, against captureSizes
	rounds   int
	rows     int    // of the log that readers' questions are measured with
	ledger   string // its directory, "" for a temporary one
	witness  string // of callers: kernel, thread, or both
	sleepers int    // processes that do nothing, for one more case about owners
}

// witnesses says whether the kernel records callers, in each of the runs.
func (o options) witnesses() []bool {
	switch o.witness {
	case "kernel":
		return []bool{true}
	case "thread":
		return []bool{false}
	default:
		return []bool{false, true}
	}
}

func main() {
	maybeAsk()
	maybeWatch()
	maybeSend()
	var o options
	only := flag.String("only", "replay,live,ledger,owner", "suites to run")
	jsonFile := flag.String("json", "", "also write the figures to this file")
	flag.StringVar(&o.netaudit, "netaudit", "bin/netaudit", "the binary to measure")
	flag.IntVar(&o.rows, "rows", 200_000, "about how many rows the log has that readers' questions are measured with")
	flag.StringVar(&o.ledger, "ledger", "", "directory of that log; it is generated there unless it exists")
	flag.Float64Var(&o.scale, "scale", 1, "size of the generated captures: 1 is 1,200 MiB of bulk and of flows, 116 MiB of dns")
	flag.StringVar(&o.witness, "witness", "both", "how callers are found: kernel, thread, or both in turn")
	flag.IntVar(&o.sleepers, "sleepers", 10000, "processes that do nothing, for one more case about owners; 0: none")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each command runs, alternating with its rival")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := runSuites(ctx, o, *only, *jsonFile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func runSuites(ctx context.Context, o options, only, jsonFile string) error {
	var all []figure
	for _, s := range []suite{{"replay", benchReplay}, {"live", benchLive}, {"ledger", benchLedger}, {"owner", benchOwner}} {
		if !strings.Contains(","+only+",", ","+s.name+",") {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s …\n", s.name)
		figures, err := s.run(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		all = append(all, figures...)
	}
	render(all)
	if jsonFile == "" {
		return nil
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(jsonFile, append(text, '\n'), 0o644)
}

func render(all []figure) {
	t := table.NewWriter()
	t.SetOutputMirror(os.Stdout)
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"what", "netaudit", "rival", "", "ratio", "unit", "goal"})
	for _, f := range all {
		rival, ratio := "", ""
		if f.Who != "" {
			rival, ratio = number(f.Rival), fmt.Sprintf("%.2f", f.Ours/f.Rival)
		}
		t.AppendRow(table.Row{f.What, number(f.Ours), rival, f.Who, ratio, f.Unit, f.Goal})
	}
	t.Render()
}

func number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
