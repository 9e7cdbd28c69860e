package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// cost measures what watching costs Odoo: the same requests from another host without and with netaudit, in turns on one running Odoo, so that slow changes of the machine meet both.
func cost(ctx context.Context, dir string, rounds int, each time.Duration) (err error) {
	s := setting{"threaded", 0, 0}
	work, box, log, err := workplace(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.Close(), os.RemoveAll(work)) }()
	if err := startOdoo(ctx, box, dir, s, "--http-interface=0.0.0.0"); err != nil {
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
	var without, with []map[string]measured
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d …\n", round+1, rounds)
		m, err := load()
		if err != nil {
			return err
		}
		without = append(without, m)
		c := watching(box, filepath.Join(work, fmt.Sprintf("state%d", round)), sandbox.OdooInterface)
		running, finish := context.WithCancel(ctx)
		var loadErr error
		err = appliance.Run(running, c, log, func(appliance.Access) {
			go func() {
				defer finish()
				m, loadErr = load()
			}()
		})
		finish()
		if err := errors.Join(loadErr, err); err != nil {
			return err
		}
		with = append(with, m)
	}
	renderCost(os.Stdout, without, with)
	return nil
}

// renderCost prints medians of the rounds side by side, and how far the rounds without netaudit differ among themselves: less than that cannot be measured.
func renderCost(w io.Writer, without, with []map[string]measured) {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = 0
	t.AppendHeader(table.Row{"request", "measured", "without netaudit", "with netaudit", "difference", "spread without"})
	for _, kind := range kinds {
		for _, what := range []struct {
			name string
			of   func(measured) float64
		}{
			{"latency p50, µs", func(m measured) float64 { return m.P50 }},
			{"requests a second", func(m measured) float64 { return m.PerSec }},
		} {
			values := func(rounds []map[string]measured) []float64 {
				var list []float64
				for _, r := range rounds {
					list = append(list, what.of(r[kind]))
				}
				slices.Sort(list)
				return list
			}
			a, b := values(without), values(with)
			middle, other := a[len(a)/2], b[len(b)/2]
			t.AppendRow(table.Row{
				kind, what.name, fmt.Sprintf("%.0f", middle), fmt.Sprintf("%.0f", other), fmt.Sprintf("%+.1f %%", 100*(other-middle)/middle),
				fmt.Sprintf("%.1f %%", 100*(a[len(a)-1]-a[0])/middle),
			})
		}
	}
	t.Render()
}
