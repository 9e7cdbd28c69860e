package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"netaudit/appliance"
	"netaudit/appliance/sandbox"
)

// measured is what load.py prints for one kind of request.
type measured struct {
	P50    float64 `json:"p50_us"`
	PerSec float64 `json:"per_s"`
}

// kinds are the requests that load.py makes.
var kinds = []string{"login", "xmlrpc"}

// ways are how Odoo is watched in turns.
var ways = []struct {
	name          string
	watched, hook bool
}{
	{"without netaudit", false, false},
	{"recorded by the kernel", true, true},
	{"threads searched for", true, false},
}

// cost measures what watching costs Odoo: the same requests from another host in each way, in turns on one running Odoo, so that slow changes of the machine meet all.
func cost(ctx context.Context, dir string, rounds int, each time.Duration) (err error) {
	s := setting{"threaded", 0, 0}
	work, box, log, err := workplace(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.Close(), os.RemoveAll(work)) }()
	if err := startOdoo(ctx, box, dir, s, "--http-interface=0.0.0.0", "--database="+database); err != nil {
		return err
	}
	if err := appliance.Yield(appliance.DefaultConfig().Nice); err != nil { // as netaudit run does
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	load := func() (m map[string]measured, err error) {
		cmd := box.Outside(ctx, box.Python(), "appliance/lab/load.py", sandbox.OdooAddr4.String()+":8069", strconv.FormatFloat(each.Seconds(), 'f', -1, 64))
		cmd.Dir, cmd.Stderr = here, os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("the load: %w", err)
		}
		return m, json.Unmarshal(out, &m)
	}
	figures := make([][]map[string]measured, len(ways))
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d …\n", round+1, rounds)
		for n, way := range ways {
			var m map[string]measured
			if way.watched {
				c := watching(box, filepath.Join(work, fmt.Sprintf("state%d-%d", round, n)), sandbox.OdooInterface)
				c.KernelHook = way.hook
				m, err = watched(ctx, c, log, load)
			} else {
				m, err = load()
			}
			if err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			figures[n] = append(figures[n], m)
		}
	}
	renderCost(os.Stdout, figures)
	return nil
}

// watched runs the load under an appliance.
func watched(ctx context.Context, c appliance.Config, log *slog.Logger, load func() (map[string]measured, error)) (m map[string]measured, err error) {
	running, finish := context.WithCancel(ctx)
	defer finish()
	var loadErr error
	err = appliance.Run(running, c, log, func(appliance.Access) {
		go func() {
			defer finish()
			m, loadErr = load()
		}()
	})
	return m, errors.Join(loadErr, err)
}

// renderCost prints medians of the rounds side by side, and how far the rounds without netaudit differ among themselves: less than that cannot be measured.
func renderCost(w io.Writer, figures [][]map[string]measured) {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = 0
	head := table.Row{"request", "measured"}
	for _, way := range ways {
		head = append(head, way.name)
	}
	t.AppendHeader(append(head, "spread without"))
	for _, kind := range kinds {
		for _, what := range []struct {
			name string
			of   func(measured) float64
		}{
			{"latency p50, µs", func(m measured) float64 { return m.P50 }},
			{"requests a second", func(m measured) float64 { return m.PerSec }},
		} {
			row := table.Row{kind, what.name}
			base, spread := 0.0, 0.0
			for n := range ways {
				var values []float64
				for _, round := range figures[n] {
					values = append(values, what.of(round[kind]))
				}
				slices.Sort(values)
				middle := values[len(values)/2]
				if n == 0 {
					base, spread = middle, 100*(values[len(values)-1]-values[0])/middle
					row = append(row, fmt.Sprintf("%.0f", middle))
					continue
				}
				row = append(row, fmt.Sprintf("%.0f (%+.1f %%)", middle, 100*(middle-base)/base))
			}
			t.AppendRow(append(row, fmt.Sprintf("%.1f %%", spread)))
		}
	}
	t.Render()
}
