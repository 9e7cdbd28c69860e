package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"golang.org/x/sys/unix"

	"netaudit/appliance"
	"netaudit/appliance/sandbox"
)

// measured is what load.py prints for one kind of request.
type measured struct {
	P50    float64 `json:"p50_us"`
	PerSec float64 `json:"per_s"`
	Odoo   float64 `json:"odoo_us"` // processor time of Odoo for a request
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
	odoo, err := startOdoo(ctx, box, dir, s, "--http-interface=0.0.0.0", "--database="+database, "--db-filter=")
	if err != nil {
		return err
	}
	nice := appliance.DefaultConfig().Nice
	if err := appliance.Yield(nice); err != nil { // as netaudit run does
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	load := func() (m map[string]measured, err error) {
		cmd := box.Outside(ctx, "nice", "-n", strconv.Itoa(-nice), box.Python(), "appliance/lab/load.py", sandbox.OdooAddr4.String()+":8069", strconv.FormatFloat(each.Seconds(), 'f', -1, 64), strconv.Itoa(odoo))
		cmd.Dir, cmd.Stderr = here, os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("the load: %w", err)
		}
		return m, json.Unmarshal(out, &m)
	}
	figures, own := make([][]map[string]measured, len(ways)), make([][]float64, len(ways))
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d …\n", round+1, rounds)
		for turn := range ways {
			n := turn
			if round%2 > 0 { // what gets slower or faster meanwhile is nobody's favour
				n = len(ways) - 1 - turn
			}
			way := ways[n]
			var m map[string]measured
			if way.watched {
				c := watching(box, filepath.Join(work, fmt.Sprintf("state%d-%d", round, n)), sandbox.OdooInterface)
				c.KernelHook = way.hook
				var share float64
				m, share, err = watched(ctx, c, log, load)
				own[n] = append(own[n], share)
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
	for n, way := range ways[1:] {
		slices.Sort(own[n+1])
		fmt.Printf("netaudit itself used %.1f %% of a processor: %s\n", 100*own[n+1][len(own[n+1])/2], way.name)
	}
	return inside(ctx, watching(box, filepath.Join(work, "inside"), sandbox.OdooInterface), log, each, load)
}

// inside prints what netaudit's programs in the kernel take of Odoo's processor time, when whatever they run in is counted as Odoo. It is a turn of its own: to measure them costs as well.
func inside(ctx context.Context, c appliance.Config, log *slog.Logger, each time.Duration, load func() (map[string]measured, error)) error {
	var ran time.Duration
	var times uint64
	c.KernelHook = true
	m, _, err := watched(ctx, c, log, func() (m map[string]measured, err error) {
		ran, times, err = programsDuring(func() (err error) { m, err = load(); return err })
		return m, err
	})
	if err != nil {
		return err
	}
	fmt.Printf("the kernel's records took %.2f %% of Odoo's processor time: %d times %d ns\n", 100*ran.Seconds()/odooUsed(m, each).Seconds(), times, ran.Nanoseconds()/int64(max(1, times)))
	return nil
}

// odooUsed is how much processor time Odoo used for the requests of one load.
func odooUsed(m map[string]measured, each time.Duration) (all time.Duration) {
	for _, kind := range m {
		all += time.Duration(kind.Odoo * kind.PerSec * each.Seconds() * float64(time.Microsecond))
	}
	return all
}

// settling is how long an appliance is left alone after it began: what it does once is no cost of watching.
const settling = 3 * time.Second

// watched runs the load under an appliance; own is the share of one processor that this process, which is the appliance, used meanwhile.
func watched(ctx context.Context, c appliance.Config, log *slog.Logger, load func() (map[string]measured, error)) (m map[string]measured, own float64, err error) {
	running, finish := context.WithCancel(ctx)
	defer finish()
	var loadErr error
	err = appliance.Run(running, c, log, func(appliance.Access) {
		go func() {
			defer finish()
			time.Sleep(settling)
			begun, used := time.Now(), processorTime()
			m, loadErr = load()
			own = (processorTime() - used).Seconds() / time.Since(begun).Seconds()
		}()
	})
	return m, own, errors.Join(loadErr, err)
}

// processorTime is what this process has used so far.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// renderCost prints the medians of the rounds, and by how much a way differs from its neighbour without netaudit in the same round: the median of those differences, and within what it lies with 95 %.
func renderCost(w io.Writer, figures [][]map[string]measured) {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = 0
	head := table.Row{"request", "measured", ways[0].name}
	for _, way := range ways[1:] {
		head = append(head, way.name, "95 %")
	}
	t.AppendHeader(head)
	for _, kind := range kinds {
		for _, what := range []struct {
			name string
			of   func(measured) float64
		}{
			{"latency p50, µs", func(m measured) float64 { return m.P50 }},
			{"processor time of Odoo, µs", func(m measured) float64 { return m.Odoo }},
			{"requests a second", func(m measured) float64 { return m.PerSec }},
		} {
			var without []float64
			for _, round := range figures[0] {
				without = append(without, what.of(round[kind]))
			}
			usual, _, _ := medianWithin(slices.Clone(without))
			row := table.Row{kind, what.name, fmt.Sprintf("%.0f", usual)}
			for n := range ways[1:] {
				var differences []float64
				for i, round := range figures[n+1] {
					differences = append(differences, 100*(what.of(round[kind])/without[i]-1))
				}
				middle, from, to := medianWithin(differences)
				row = append(row, fmt.Sprintf("%+.1f %%", middle), fmt.Sprintf("%+.1f to %+.1f", from, to))
			}
			t.AppendRow(row)
		}
	}
	t.Render()
}

// medianWithin sorts values and returns their median and the values between which that of all possible ones lies with some 95 %: how many of n fall below it is binomial, so the ranks n/2 ± √n (W. J. Conover, Practical Nonparametric
// Statistics, 3rd ed., §3.2). Below six values that is all of them, and less than 95 %.
func medianWithin(values []float64) (middle, from, to float64) {
	slices.Sort(values)
	n := len(values)
	away := int(math.Sqrt(float64(n)))
	return (values[(n-1)/2] + values[n/2]) / 2, values[max(0, n/2-away)], values[min(n-1, n/2+away)]
}
