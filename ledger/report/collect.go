package report

import (
	"cmp"
	"context"
	"slices"
	"time"

	"netaudit/ledger"
)

// timelineBuckets is how many steps a timeline has.
const timelineBuckets = 60

// collector adds up rows. One goroutine owns it.
type collector struct {
	rules        Rules
	from, to     time.Time
	report       Report
	findings     map[string]*Finding
	flows        map[string]bool // flow ids that were counted as a call
	destinations map[string]*Destination
	modules      map[string]*Module
	budget       map[string]int64 // bytes of declared license traffic by UTC day
	use          map[[2]string]*LicenseUse
	known        map[string]bool // destinations before the window; nil: no baseline yet
	coverage     coverageCollector
	broken       string // what the first row says of a damaged log before this one; "" when there was none, or it was acknowledged
}

func newCollector(from, to time.Time, r Rules) *collector {
	c := &collector{
		report: Report{Gaps: []Gap{}, Attribution: Attribution{Confidence: map[string]int{}, Reasons: []Reason{}}},
		rules:  r, from: from, to: to, findings: map[string]*Finding{}, flows: map[string]bool{},
		destinations: map[string]*Destination{}, modules: map[string]*Module{}, budget: map[string]int64{}, use: map[[2]string]*LicenseUse{},
		coverage: coverageCollector{from: from, to: earlier(to, r.Now)},
	}
	if r.SeenUpTo > 0 {
		c.report.Fresh = &Fresh{Destinations: []string{}}
	}
	return c
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// baseline learns which destinations are old, once the log is old enough to say: from the hourly sums, and row by row within the hour in which the window begins.
func (c *collector) baseline(ctx context.Context, src Source, first uint64) error {
	limit, begin := c.from.AddDate(0, 0, -c.rules.BaselineDays), c.from.Truncate(time.Hour)
	known, old := map[string]bool{}, false
	err := src.Rollups(ctx, time.Unix(0, 0), begin, func(r ledger.Rollup) bool {
		if !old && !time.Unix(r.Hour*3600, 0).Before(limit) {
			return false // the oldest call is too young
		}
		old = true
		if r.Direction != "inbound" {
			known[r.Dest] = true
		}
		return true
	})
	if err != nil || !old {
		return err
	}
	err = src.Rows(ctx, src.Since(begin), func(row ledger.Row) bool {
		if row.Seq >= first {
			return false
		}
		if e, err := ledger.ParseEvent(row.JSON); err == nil && e.Kind == "flow" && e.Dst != nil { // the window's own reading reports damage
			known[hostOf(&e)] = true
		}
		return true
	})
	c.known = known
	return err
}

func hostOf(e *ledger.Event) string {
	if e.Dst.Host != "" {
		return e.Dst.Host
	}
	return e.Dst.IP
}

// add takes one row.
func (c *collector) add(e *ledger.Event) {
	c.coverage.add(e)
	switch e.Kind {
	case "flow":
		if e.Src != nil && e.Dst != nil {
			c.flow(e)
		}
	case "dns":
		if e.DNS != nil {
			c.lookup(e)
		}
	case "gap":
		c.gapRow(e)
	case "finding":
		if e.Rule == "A1" { // the self-check found damage
			c.fire("A1", e.Seq)
		}
	case "lifecycle":
		if e.Rule == "recovered" {
			c.fire("T8", e.Seq)
		}
	}
}

// flow counts a call once, however many rows it has, and its bytes as they grow.
func (c *collector) flow(e *ledger.Event) {
	out, in := e.SrcBytes, e.DstBytes
	if e.HasNew {
		out, in = e.NewSrcBytes, e.NewDstBytes
	}
	if e.Direction == "inbound" {
		out, in = in, out
	}
	fresh := e.FlowID == "" || !c.flows[e.FlowID]
	if e.FlowID != "" {
		c.flows[e.FlowID] = true
	}
	calls := 0
	if fresh {
		calls = 1
	}
	v := Volume{calls, out, in}
	class := ""
	if e.Party != nil {
		class = e.Party.Class
	}
	c.report.Calls.Total += calls
	c.classOf(class).add(v)
	c.timeline(e, class, calls)
	c.destination(e, class, v)
	c.module(e, class, v)
	if fresh {
		c.judge(e, class)
	}
	c.license(e, class, out)
	if class == "mit_bound" {
		c.licenseUse(e, v)
	}
}

func (v *Volume) add(o Volume) {
	v.Calls += o.Calls
	v.Out += o.Out
	v.In += o.In
}

func (c *collector) classOf(class string) *Volume {
	switch class {
	case "mit_bound":
		return &c.report.Calls.MIT
	case "internal":
		return &c.report.Calls.Internal
	default:
		return &c.report.Calls.ThirdParty
	}
}

func (c *collector) timeline(e *ledger.Event, class string, calls int) {
	if c.report.Timeline == nil {
		c.report.Timeline = make([]Bucket, timelineBuckets)
		for i := range c.report.Timeline {
			c.report.Timeline[i].Start = c.bucketStart(i)
		}
	}
	b := &c.report.Timeline[c.step(e, timelineBuckets)]
	switch class {
	case "mit_bound":
		b.MIT += calls
	case "internal":
		b.Internal += calls
	default:
		b.ThirdParty += calls
	}
}

// step is in which of so many equal steps of the window a row was logged.
func (c *collector) step(e *ledger.Event, steps int) int {
	span := c.to.Sub(c.from)
	if span <= 0 {
		return 0
	}
	at := time.Unix(0, e.Logged).Sub(c.from)
	return max(0, min(steps-1, int(float64(at)/float64(span)*float64(steps))))
}

func (c *collector) bucketStart(i int) time.Time {
	return c.from.Add(c.to.Sub(c.from) / timelineBuckets * time.Duration(i)).UTC()
}

// mostListed bounds the names that are kept of one destination or module.
const mostListed = 32

func (c *collector) destination(e *ledger.Event, class string, v Volume) {
	host := hostOf(e)
	if e.Direction == "inbound" {
		host = e.Src.IP
	}
	key := class + "\x00" + host
	d := c.destinations[key]
	at := time.Unix(0, e.Logged).UTC()
	if d == nil {
		d = &Destination{Class: class, Host: host, First: at, Series: make([]int64, destinationSteps)}
		c.freshDestination(e, host)
		if e.Party != nil {
			d.Party = e.Party.Name
		}
		c.destinations[key] = d
	}
	d.Last = at
	d.add(v)
	d.Series[c.step(e, destinationSteps)] += int64(v.Calls)
	if c.report.Fresh != nil && e.Seq >= c.rules.SeenUpTo {
		c.report.Fresh.Calls += v.Calls
		if class == "mit_bound" {
			c.report.Fresh.MIT += v.Calls
		}
	}
	d.Addons = keep(d.Addons, ledger.ModuleName(e))
}

// destinationSteps is how many steps a destination's series has.
const destinationSteps = 24

func (c *collector) freshDestination(e *ledger.Event, host string) {
	if c.report.Fresh != nil && e.Seq >= c.rules.SeenUpTo && e.Direction != "inbound" {
		c.report.Fresh.Destinations = keep(c.report.Fresh.Destinations, host)
	}
}

func keep(list []string, name string) []string {
	if name == "" || slices.Contains(list, name) || len(list) >= mostListed {
		return list
	}
	return append(list, name)
}

func (c *collector) module(e *ledger.Event, class string, v Volume) {
	name := ledger.ModuleName(e)
	if name == "" || e.Direction == "inbound" {
		return
	}
	m := c.modules[name]
	if m == nil {
		m = &Module{Name: name, Addon: e.Addon != nil}
		c.modules[name] = m
	}
	if e.Addon != nil && m.Version == "" {
		m.Version, m.Author = e.Addon.Version, e.Addon.Author
	}
	m.add(v)
	if class == "mit_bound" {
		m.MIT += v.Calls
	}
	m.Hosts = keep(m.Hosts, hostOf(e))
}

func (c *collector) finish() Report {
	r := c.report
	r.From, r.To, r.Generated, r.Install = c.from.UTC(), c.to.UTC(), c.rules.Now.UTC(), c.rules.Install
	r.Coverage = c.coverage.finish()
	for i := range r.Timeline {
		r.Timeline[i].Covered = r.Coverage.coversAt(r.Timeline[i].Start, c.to.Sub(c.from)/timelineBuckets)
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
		r.Modules = append(r.Modules, *m)
	}
	slices.SortFunc(r.Modules, func(a, b Module) int {
		return cmp.Or(cmp.Compare(b.MIT, a.MIT), cmp.Compare(b.Out+b.In, a.Out+a.In), cmp.Compare(a.Name, b.Name))
	})
	slices.SortStableFunc(r.Attribution.Reasons, func(a, b Reason) int { return cmp.Compare(b.Count, a.Count) })
	r.License.Use = c.licenseUses()
	c.verdict(&r)
	return r
}
