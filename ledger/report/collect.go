package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"netaudit/ledger"
)

// timelineBuckets is how many steps a timeline has.
const timelineBuckets = 60

// collector adds up hours. One goroutine owns it.
type collector struct {
	rules        Rules
	from, to     time.Time
	report       Report
	findings     map[string]*Finding
	destinations map[string]*Destination
	modules      map[string]*moduleOf
	uses         map[useKey]*LicenseUse
	budget       budget
	reasons      map[string]*Reason
	called       func(dest string) bool // before the window; nil: no baseline yet
	ongoing      map[counted]uint64     // a row that goes on with an earlier call
	begun        map[counted]bool       // a call began
	coverage     coverageCollector
	broken       string // what the first row says of a damaged log before this one; "" when there was none, or it was acknowledged
}

func newCollector(from, to time.Time, r Rules) *collector {
	return &collector{
		report: Report{Gaps: []Gap{}, Attribution: Attribution{Confidence: map[string]int{}, Reasons: []Reason{}}},
		rules:  r, from: from, to: to, findings: map[string]*Finding{}, destinations: map[string]*Destination{}, modules: map[string]*moduleOf{},
		uses: map[useKey]*LicenseUse{}, budget: budget{days: map[string]int64{}}, reasons: map[string]*Reason{}, ongoing: map[counted]uint64{}, begun: map[counted]bool{},
		coverage: coverageCollector{from: from, to: earlier(to, r.Now)},
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// begin looks whether the window has rows, and whether the log began within it. first is the first row of the window.
func (c *collector) begin(src Source, first uint64) error {
	c.coverage.rows = first < src.Since(c.to)
	if first > 0 || !c.coverage.rows {
		return nil
	}
	row, err := src.Row(0)
	if err != nil {
		return fmt.Errorf("read the first row: %w", err)
	}
	e, err := ledger.ParseEvent(row.JSON)
	if err != nil { // a row that cannot be read was changed: that is an answer
		c.fire("A1", 1, row.Seq)
		return nil
	}
	c.coverage.first = e.Logged
	return nil
}

// baseline learns which destinations are old, once the log is old enough to say. first is the first row of the window.
func (c *collector) baseline(ctx context.Context, src Source, first uint64) error {
	called, oldest, err := src.CalledBefore(ctx, first)
	if err == nil && !oldest.IsZero() && oldest.Before(c.from.AddDate(0, 0, -c.rules.BaselineDays)) {
		c.called = called
	}
	return err
}

// add takes the next hour.
func (c *collector) add(h *ledger.Hour) {
	if h.Awake != nil {
		c.coverage.add(h.Awake)
	}
	for i := range h.Sums {
		c.sum(&h.Sums[i])
	}
	for i := range h.Minutes {
		c.timeline(h.Hour, &h.Minutes[i])
	}
	for i := range h.Facts {
		c.fact(h.Hour, &h.Facts[i])
	}
	c.closeHour(h.Hour)
}

// sum takes the calls of an hour that have everything in common.
func (c *collector) sum(r *ledger.Rollup) {
	v := Volume{int(r.Calls), r.Out, r.In}
	c.report.Calls.Total += v.Calls
	c.classOf(r.Class).add(v)
	c.destination(r, v)
	c.module(r, v)
	if r.Direction == "outbound" && r.Class != "internal" && r.Calls > 0 && c.called != nil && !c.called(r.Dest) {
		c.fire("T3", v.Calls, r.First)
	}
}

func (v *Volume) add(o Volume) {
	v.Calls += o.Calls
	v.Out += o.Out
	v.In += o.In
}

func (c *collector) classOf(class string) *Volume { return c.report.Calls.of(class) }

func (c *Counts) of(class string) *Volume {
	switch class {
	case "mit_bound":
		return &c.MIT
	case "internal":
		return &c.Internal
	default:
		return &c.ThirdParty
	}
}

func (c *collector) timeline(hour int64, m *ledger.Minutes) {
	if c.report.Timeline == nil {
		c.report.Timeline = make([]Bucket, timelineBuckets)
		for i := range c.report.Timeline {
			c.report.Timeline[i].Start = c.bucketStart(i)
		}
	}
	for minute, calls := range m.Calls {
		if calls == 0 {
			continue
		}
		b := &c.report.Timeline[c.step(time.Unix(hour*3600+int64(minute)*60, 0), timelineBuckets)]
		switch m.Class {
		case "mit_bound":
			b.MIT += int(calls)
		case "internal":
			b.Internal += int(calls)
		default:
			b.ThirdParty += int(calls)
		}
	}
}

// step is in which of so many equal steps of the window a time lies.
func (c *collector) step(at time.Time, steps int) int {
	span := c.to.Sub(c.from)
	if span <= 0 {
		return 0
	}
	return max(0, min(steps-1, int(float64(at.Sub(c.from))/float64(span)*float64(steps))))
}

func (c *collector) bucketStart(i int) time.Time {
	return c.from.Add(c.to.Sub(c.from) / timelineBuckets * time.Duration(i)).UTC()
}

// mostListed bounds the names that are kept of one destination or module.
const mostListed = 32

func (c *collector) destination(r *ledger.Rollup, v Volume) {
	key := r.Class + "\x00" + r.Dest
	d := c.destinations[key]
	if d == nil {
		d = &Destination{Class: r.Class, Party: r.Party, Host: r.Dest, First: time.Unix(0, r.FirstAt).UTC(), Series: make([]int64, destinationSteps)}
		c.destinations[key] = d
	}
	if first := time.Unix(0, r.FirstAt).UTC(); first.Before(d.First) {
		d.First = first
	}
	if last := time.Unix(0, r.LoggedAt).UTC(); last.After(d.Last) {
		d.Last = last
	}
	d.add(v)
	d.Series[c.step(time.Unix(r.Hour*3600, 0), destinationSteps)] += r.Calls
	d.Addons = keep(d.Addons, r.Addon)
}

// destinationSteps is how many steps a destination's series has.
const destinationSteps = 24

func keep(list []string, name string) []string {
	if name == "" || slices.Contains(list, name) || len(list) >= mostListed {
		return list
	}
	return append(list, name)
}

// moduleOf is a module and the newest of its rows that begins an hour.
type moduleOf struct {
	Module
	row uint64
}

func (c *collector) module(r *ledger.Rollup, v Volume) {
	if r.Addon == "" || r.Direction == "inbound" {
		return
	}
	m := c.modules[r.Addon]
	if m == nil {
		m = &moduleOf{Module: Module{Name: r.Addon, Addon: !strings.HasPrefix(r.Addon, "(")}}
		c.modules[r.Addon] = m
	}
	m.row = r.First
	m.add(v)
	if r.Class == "mit_bound" {
		m.MIT += v.Calls
	}
	m.Hosts = keep(m.Hosts, r.Dest)
}

// mostManifests bounds the rows that are read for versions and authors.
const mostManifests = 256

// manifests reads version and author of the addons, each out of one of its rows.
func (c *collector) manifests(src Source) error {
	read := 0
	for _, m := range c.modules {
		if !m.Addon || read == mostManifests {
			continue
		}
		read++
		row, err := src.Row(m.row)
		if errors.Is(err, ledger.ErrWithheld) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the row of an addon: %w", err)
		}
		e, err := ledger.ParseEvent(row.JSON)
		if err != nil { // see begin
			c.fire("A1", 1, row.Seq)
			continue
		}
		if e.Addon != nil {
			m.Version, m.Author = e.Addon.Version, e.Addon.Author
		}
	}
	return nil
}

func (c *collector) finish() Report {
	r := c.report
	r.From, r.To, r.Generated, r.Install = c.from.UTC(), c.to.UTC(), c.rules.Now.UTC(), c.rules.Install
	r.Coverage = c.coverage.finish()
	for i := range r.Timeline {
		r.Timeline[i].Covered = r.Coverage.coversAt(r.Timeline[i].Start, c.to.Sub(c.from)/timelineBuckets)
	}
	c.fireOngoing()
	for _, reason := range c.reasons {
		r.Attribution.Reasons = append(r.Attribution.Reasons, *reason)
	}
	for _, d := range c.destinations {
		slices.Sort(d.Addons)
		r.Destinations = append(r.Destinations, *d)
	}
	slices.SortFunc(r.Destinations, func(a, b Destination) int {
		return cmp.Or(cmp.Compare(b.Out+b.In, a.Out+a.In), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Class, b.Class))
	})
	for _, m := range c.modules {
		slices.Sort(m.Hosts)
		r.Modules = append(r.Modules, m.Module)
	}
	slices.SortFunc(r.Modules, func(a, b Module) int {
		return cmp.Or(cmp.Compare(b.MIT, a.MIT), cmp.Compare(b.Out+b.In, a.Out+a.In), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(r.Attribution.Reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Why, b.Why))
	})
	r.License.Use = c.licenseUses()
	c.verdict(&r)
	return r
}
