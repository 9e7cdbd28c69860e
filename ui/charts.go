package ui

import (
	"fmt"

	"netaudit/ledger/report"
)

// The drawings are SVG whose sizes are attributes: the Content-Security-Policy forbids styles outside the stylesheet.

// bar is a destination with its share of the largest one of its panel, in percent.
type bar struct {
	report.Destination
	Percent int
	Spark   string // calls over time, as the path of a drawing
	Width   int    // of the spark's field
}

// mostBars bounds the destinations of a panel; the Audit Log has all.
const mostBars = 8

func bars(list []report.Destination, class string) (out []bar, more int) {
	var largest int64
	for _, d := range list {
		if d.Class != class {
			continue
		}
		largest = max(largest, d.Out+d.In)
		if len(out) == mostBars {
			more++
			continue
		}
		out = append(out, bar{d, percent(d.Out+d.In, largest), sparkPath(d.Series), len(d.Series)})
	}
	return out, more
}

// percent is at least 1 for anything that is not nothing: what went out must be visible.
func percent(part, whole int64) int {
	if part <= 0 || whole <= 0 {
		return 0
	}
	return max(1, int(part*100/whole))
}

// share is one arc of the donut of calls. Circumference is 100 units.
type share struct {
	Class, Label string
	Calls        int
	Length, Skip float64 // units
	Percent      string  // of all calls
}

// Dash is the arc as stroke-dasharray.
func (s share) Dash() string { return fmt.Sprintf("%.2f %.2f", s.Length, 100-s.Length) }

// Offset turns the arc to where the one before ends, beginning at twelve o'clock.
func (s share) Offset() string { return fmt.Sprintf("%.2f", 25-s.Skip) }

func shares(c report.Counts) []share {
	list := []share{
		{Class: "mit", Label: "MIT", Calls: c.MIT.Calls},
		{Class: "third", Label: "Third parties", Calls: c.ThirdParty.Calls},
		{Class: "internal", Label: "Internal", Calls: c.Internal.Calls},
	}
	skip := 0.0
	for i := range list {
		if c.Total > 0 {
			list[i].Length = 100 * float64(list[i].Calls) / float64(c.Total)
			list[i].Percent = budgetShare(int64(list[i].Calls), int64(c.Total))
		}
		list[i].Skip = skip
		skip += list[i].Length
	}
	return list
}

// volumeBar is one direction towards one class.
type volumeBar struct {
	Class, Label string
	Bytes        int64
	Percent      int
}

func volumeBars(c report.Counts) []volumeBar {
	list := []volumeBar{
		{Class: "mit", Label: "Sent to MIT", Bytes: c.MIT.Out},
		{Class: "mit soft", Label: "Received from MIT", Bytes: c.MIT.In},
		{Class: "third", Label: "Sent to third parties", Bytes: c.ThirdParty.Out},
		{Class: "third soft", Label: "Received from third parties", Bytes: c.ThirdParty.In},
	}
	var largest int64
	for _, b := range list {
		largest = max(largest, b.Bytes)
	}
	for i := range list {
		list[i].Percent = percent(list[i].Bytes, largest)
	}
	return list
}
