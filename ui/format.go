package ui

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"netaudit/ledger"
	"netaudit/ledger/report"
)

// functions are what the templates may call.
var functions = template.FuncMap{
	"bytes":    report.Bytes,
	"number":   func(n any) string { return report.Grouped(integer(n)) },
	"percent":  report.PercentText,
	"clock":    clock,
	"minute":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
	"nanos":    func(n int64) time.Time { return time.Unix(0, n).UTC() },
	"micros":   micros,
	"bits":     func(hundredths int64) string { return strconv.FormatFloat(float64(hundredths)/100, 'f', 1, 64) },
	"term":     term,
	"party":    func(class string) string { return partyLabels[class] },
	"partycss": func(class string) string { return partyClasses[class] },
	"verdict":  func(v string) string { return verdictWords[v] },
	"level":    func(v string) string { return levelClasses[v] },
	"summary":  summary,
	"result":   result,
	"join":     func(list []string) string { return strings.Join(list, ", ") },
	"first":    func(n int, list []uint64) []uint64 { return list[:min(n, len(list))] },
	"left":     func(n, count int) int { return max(0, count-n) },
	"ints":     func(list []int) string { return strings.Trim(fmt.Sprint(list), "[]") },
	"ago":      ago,
}

var (
	partyLabels  = map[string]string{"mit_bound": "MIT", "third_party": "Third party", "internal": "Internal"}
	partyClasses = map[string]string{"mit_bound": "mit", "third_party": "third", "internal": "internal"}
	verdictWords = map[string]string{report.Alarm: "Alarm", report.Attention: "Attention", report.AllClear: "All clear"}
	levelClasses = map[string]string{report.Alarm: "bad", report.Attention: "warn", report.AllClear: "good"}
)

func integer(n any) int64 {
	switch v := n.(type) {
	case int:
		return int64(v)
	case int64:
		return v
	case uint64:
		return int64(v)
	}
	return 0
}

// clock writes a moment in UTC; every page says so at its foot.
func clock(t time.Time) template.HTML {
	if t.IsZero() || t.UnixNano() == 0 {
		return "–"
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.Format(time.RFC3339Nano), t.Format("2006-01-02 15:04:05"))) // digits only
}

func micros(n int64) string {
	d := time.Duration(n) * time.Microsecond
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", n)
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(n)/1000)
	case d < time.Minute:
		return fmt.Sprintf("%.2f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return "a moment ago"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

// summary is a row in one line, for rows that are no calls.
func summary(e *ledger.Event) string {
	switch {
	case e.Message != "":
		return e.Message
	case e.Gap != nil:
		return gapSummary(e)
	case e.Heartbeat != nil:
		h := e.Heartbeat
		text := fmt.Sprintf("watched %s: %s packets, %s lost", strings.Join(h.Interfaces, ", "), report.Grouped(h.Packets), report.Grouped(h.Dropped))
		if len(h.InterfacesDown) > 0 {
			text += "; down: " + strings.Join(h.InterfacesDown, ", ")
		}
		if h.Malformed > 0 {
			text += fmt.Sprintf("; %s could not be read (since start: %s)", report.Grouped(h.Malformed), strings.Join(h.MalformedWhy, ", "))
		}
		return text
	default:
		return e.Kind
	}
}

var gapReasons = map[string]string{
	"interface_down": "the interface was away", "kernel_drop": "packets were lost", "ring_freeze": "the capture buffer was full", "downtime": "netaudit was not running",
	"queue_overflow": "a queue was full", "clock_step": "the clock was set", "disk_full": "the disk was full",
}

func gapSummary(e *ledger.Event) string {
	text := "not watched"
	if reason, ok := gapReasons[e.Gap.Reason]; ok {
		text = reason
	}
	if e.Gap.Iface != "" {
		text += " on " + e.Gap.Iface
	}
	if e.Gap.Count > 0 {
		text += ", " + report.Grouped(e.Gap.Count) + " lost"
	}
	if e.DurationUS > 0 {
		text += ", " + micros(e.DurationUS)
	}
	return text
}

// result is how a call ended, in a word.
func result(e *ledger.Event) string {
	switch {
	case e.HTTP != nil && e.HTTP.Status > 0:
		return fmt.Sprint(e.HTTP.Status)
	case e.DNS != nil:
		return e.DNS.RCode
	case e.TCPState != "":
		return e.TCPState
	default:
		return e.State
	}
}
