// Package report computes the Trust Report: one word, and the rows behind it. It is a pure function of sealed rows over a window of time, of the
// declared license traffic, and of the last verification; it asks nobody and stores nothing.
package report

import (
	"context"
	"errors"
	"fmt"
	"time"

	"netaudit/ledger"
	"netaudit/ledger/proof"
)

// Source is what the report reads; *ledger.Ledger is one.
type Source interface {
	Size() uint64
	Origin() string
	Checkpoint() ledger.Checkpoint
	Rows(ctx context.Context, from uint64, yield func(ledger.Row) bool) error
	Since(t time.Time) uint64
	Row(seq uint64) (ledger.Row, error)
	Hours
	AfterRow(ctx context.Context, seq uint64) (*ledger.Hour, error)
	CalledBefore(ctx context.Context, seq uint64) (called func(dest string) bool, oldest time.Time, err error)
	Predecessor(ctx context.Context) (p *ledger.Predecessor, seq uint64, err error)
	LastSeal() *proof.Seal
	SealVerifierKey() string
	Witnessed() []ledger.Witnessed
}

// Rules is what a verdict needs to know besides the rows.
type Rules struct {
	LicenseAddons []string // the declared license components
	LicenseHosts  []string // the endpoints that they are declared to need
	DailyBudget   int64    // bytes a day that they may send, 0 = none declared
	Install       string   // host, mirror, replay, demo
	BaselineDays  int      // age of the log from which on a new destination is worth a word; default 7
	Acknowledged  []string // damaged logs before this one (origin, or where it is kept) that are no alarm any more
	Damage        string   // what the last verification found wrong, "" for nothing
	SeenUpTo      uint64   // how many rows the reader has seen already; 0: not known
	Now           time.Time
}

// Verdicts, worst first.
const (
	Alarm     = "alarm"
	Attention = "attention"
	AllClear  = "all-clear"
)

// Report is the answer over a window.
type Report struct {
	From         time.Time     `json:"from"`
	To           time.Time     `json:"to"`
	Generated    time.Time     `json:"generated"`
	Origin       string        `json:"origin"`
	Size         uint64        `json:"size"` // rows of the log
	Install      string        `json:"install"`
	Verdict      string        `json:"verdict"`
	Sentence     string        `json:"sentence"`
	Findings     []Finding     `json:"findings"`
	Calls        Counts        `json:"calls"`
	SelfEgress   int           `json:"self_egress"`
	Coverage     Coverage      `json:"coverage"`
	Gaps         []Gap         `json:"gaps"`
	Attribution  Attribution   `json:"attribution"`
	License      License       `json:"license"`
	LastSeal     string        `json:"last_seal,omitempty"` // UTC day, 2026-11-23
	Held         *Held         `json:"held_outside,omitempty"`
	Destinations []Destination `json:"destinations"`
	Modules      []Module      `json:"modules"`
	Timeline     []Bucket      `json:"timeline"`
	Fresh        *Fresh        `json:"fresh,omitempty"`  // since the rows that the reader has seen
	Before       *Counts       `json:"before,omitempty"` // the period of the same length before; absent unless the log is old enough and the window a day or longer
}

// Fresh is what came after the rows that a reader has seen, within the window.
type Fresh struct {
	Calls        int      `json:"calls"`
	MIT          int      `json:"mit_bound"`
	Destinations []string `json:"destinations"` // without a call in the window before; at most mostListed
}

// Held says how far the log's history is held outside, by whom and since when: a witness cosigned it.
type Held struct {
	Rows    uint64    `json:"rows"`
	Witness string    `json:"witness"`
	Time    time.Time `json:"time"`
}

// Finding is a rule that fired.
type Finding struct {
	Rule     string   `json:"rule"`  // stable id, A1 … T9
	Level    string   `json:"level"` // alarm or attention
	Title    string   `json:"title"`
	Sentence string   `json:"sentence"`
	Count    int      `json:"count"`
	Seqs     []uint64 `json:"seqs"` // the first rows behind it, at most 50
}

// Counts are calls and bytes by the class of the far end.
type Counts struct {
	Total      int    `json:"total"`
	MIT        Volume `json:"mit_bound"`
	ThirdParty Volume `json:"third_party"`
	Internal   Volume `json:"internal"`
}

// Volume is calls and payload bytes: out is what the observed side sent.
type Volume struct {
	Calls int   `json:"calls"`
	Out   int64 `json:"bytes_out"`
	In    int64 `json:"bytes_in"`
}

// Attribution is how many outbound calls have a name.
type Attribution struct {
	Outbound int `json:"outbound"` // calls that left, to anywhere but the internal network
	Named    int `json:"named"`    // … whose process is known

	Confidence map[string]int `json:"confidence"` // of all of them: exact high low unknown
	Reasons    []Reason       `json:"reasons"`    // why an addon or a process could not be named, the most frequent first
}

// Reason is why something is not known.
type Reason struct {
	Why   string `json:"why"`
	Count int    `json:"count"`
	Seq   uint64 `json:"seq"` // a row for which it holds
}

// Gap is a row that says what could not be seen.
type Gap struct {
	Seq    uint64    `json:"seq"`
	Reason string    `json:"reason"`
	Iface  string    `json:"iface,omitempty"`
	Count  int64     `json:"count"` // packets or rows lost, 0 when not known
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"` // zero: it lasted, or its end has a row of its own
}

// License is what MIT received from the declared components, against what was declared.
type License struct {
	Budget  int64        `json:"daily_budget"`
	Largest int64        `json:"largest_day"` // bytes on the day with the most
	Day     string       `json:"day,omitempty"`
	Use     []LicenseUse `json:"use"` // the newest day first, then the most bytes
}

// LicenseUse is what one component exchanged with MIT on one UTC day of the window.
type LicenseUse struct {
	Day      string `json:"day"`
	Module   string `json:"module"`   // see ledger.ModuleName
	Declared bool   `json:"declared"` // every call was one that the license check is declared to make
	Volume
}

// Destination is one far end.
type Destination struct {
	Class  string    `json:"class"`
	Party  string    `json:"party"`
	Host   string    `json:"host"` // name, or address when there is none
	Addons []string  `json:"addons"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Series []int64   `json:"series"` // calls by step of the window
	Volume
}

// Module is one addon, or a process that is none.
type Module struct {
	Name    string   `json:"name"`
	Version string   `json:"version,omitempty"`
	Author  string   `json:"author,omitempty"`
	Addon   bool     `json:"addon"` // false: a program without an addon
	MIT     int      `json:"mit_calls"`
	Hosts   []string `json:"hosts"`
	Volume
}

// Bucket is one step of the timeline.
type Bucket struct {
	Start      time.Time `json:"start"`
	MIT        int       `json:"mit_bound"`
	ThirdParty int       `json:"third_party"`
	Internal   int       `json:"internal"`
	Covered    bool      `json:"covered"`
}

// Build computes the report over [from, to) of ingest time.
func Build(ctx context.Context, src Source, from, to time.Time, r Rules) (Report, error) {
	if r.Now.IsZero() {
		r.Now = time.Now()
	}
	if r.BaselineDays == 0 {
		r.BaselineDays = 7
	}
	c := newCollector(from, to, r)
	first := src.Since(from)
	if err := c.begin(src, first); err != nil {
		return Report{}, err
	}
	if err := c.baseline(ctx, src, first); err != nil {
		return Report{}, err
	}
	fresh, err := newFresh(ctx, src, r.SeenUpTo, first)
	if err != nil {
		return Report{}, err
	}
	err = src.Hours(ctx, from, to, func(h *ledger.Hour) bool {
		c.add(h)
		if fresh != nil {
			fresh.add(h)
		}
		return true
	})
	if err != nil {
		return Report{}, fmt.Errorf("read the hours: %w", err)
	}
	if fresh != nil {
		c.report.Fresh = fresh.finish()
	}
	if err := errors.Join(c.manifests(src), c.gaps(src)); err != nil {
		return Report{}, err
	}
	c.report.Origin, c.report.Size = src.Origin(), src.Size()
	if held := src.Witnessed(); len(held) > 0 {
		c.report.Held = &Held{held[0].Size, held[0].Name, held[0].Time.UTC()}
	}
	if err := c.predecessor(ctx, src); err != nil {
		return Report{}, fmt.Errorf("look for a log before this one: %w", err)
	}
	if err := c.seals(ctx, src); err != nil {
		return Report{}, err
	}
	if c.report.Before, err = before(ctx, src, from, to); err != nil {
		return Report{}, err
	}
	return c.finish(), nil
}
