package ui

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"netaudit/ledger"
	"netaudit/ledger/report"
	"netaudit/ui/words"
)

// functions are what the templates may call, in one language: t says a text of the catalogue, plural one of two, said what a row or the ledger says.
func functions(w *words.Words) template.FuncMap {
	return template.FuncMap{
		"t": w.HTML,
		"plural": func(n any, one, other string, values ...any) template.HTML {
			return w.Plural(integer(n), one, other, values...)
		},
		"said":     w.Said,
		"term":     func(id, word string) (template.HTML, error) { return term(w, id, word) },
		"bytes":    w.Bytes,
		"number":   w.Number,
		"percent":  w.Percent,
		"micros":   w.Micros,
		"bits":     w.Bits,
		"ago":      w.Ago,
		"day":      w.Day,
		"clock":    clock,
		"minute":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
		"nanos":    func(n int64) time.Time { return time.Unix(0, n).UTC() },
		"party":    func(class string) string { return partyLabel(w, class) },
		"partycss": func(class string) string { return partyClasses[class] },
		"verdict":  func(v string) string { return w.Text(verdictWords[v]) },
		"level":    func(v string) string { return levelClasses[v] },
		"summary":  func(e *ledger.Event) string { return summary(w, e) },
		"result":   result,
		"gap":      func(reason string) string { return gapReason(w, reason) },
		"where":    where,
		"host":     hostOf,
		"brief":    brief,
		"caller":   func(name string) string { return callerName(w, name) },
		"about":    func(id string) (template.HTML, error) { return about(w, id) },
		"namedBy":  func(source string) template.HTML { return meaning(w, nameSources, source) },
		"foundBy":  func(source string) template.HTML { return meaning(w, evidenceSources, source) },
		"decided":  func(rule string) template.HTML { return partyReason(w, rule) },
		"certain":  func(name string) string { return confidenceMeaning(w, name) },
		"ids":      func(n any) template.HTML { return template.HTML(strconv.FormatInt(integer(n), 10)) }, // digits only: numbers that name something are not grouped
		"join":     func(list []string) string { return strings.Join(list, ", ") },
		"share":    func(part, whole int) string { return w.Percent(100 * float64(part) / float64(max(1, whole))) },
		"last":     func(rows uint64) uint64 { return rows - min(rows, 1) },
		"first":    first,
		"left":     func(n, count int) int { return max(0, count-n) },
		"ints":     func(list []int) string { return strings.Trim(fmt.Sprint(list), "[]") },
	}
}

var (
	partyLabels  = map[string]string{"mit_bound": "MIT", "third_party": "Third party", "internal": "Internal"}
	partyClasses = map[string]string{"mit_bound": "mit", "third_party": "third", "internal": "internal"}
	verdictWords = map[string]string{report.Alarm: "Alarm", report.Attention: "Attention", report.AllClear: "All clear"}
	levelClasses = map[string]string{report.Alarm: "bad", report.Attention: "warn", report.AllClear: "good"}
)

// first is the beginning of a list of rows or names.
func first(n int, list any) any {
	switch v := list.(type) {
	case []uint64:
		return v[:min(n, len(v))]
	case []string:
		return v[:min(n, len(v))]
	}
	return list
}

func partyLabel(w *words.Words, class string) string {
	if label, ok := partyLabels[class]; ok {
		return w.Text(label)
	}
	return ""
}

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

// summary is a row in one line, for rows that are no calls.
func summary(w *words.Words, e *ledger.Event) string {
	switch {
	case e.Message != "":
		return w.Said(e.Message)
	case e.Gap != nil:
		return gapSummary(w, e)
	case e.Heartbeat != nil:
		h := e.Heartbeat
		text := w.Text("watched {interfaces}: {packets} packets, {lost} lost", strings.Join(h.Interfaces, ", "), h.Packets, h.Dropped)
		if len(h.InterfacesDown) > 0 {
			text += w.Text("; down: {interfaces}", strings.Join(h.InterfacesDown, ", "))
		}
		if h.Malformed > 0 {
			text += w.Text("; {n} could not be read (since start: {why})", h.Malformed, strings.Join(h.MalformedWhy, ", "))
		}
		return text
	default:
		return e.Kind
	}
}

var gapReasons = map[string]string{
	"interface_down": "the interface was away", "kernel_drop": "packets were lost", "ring_freeze": "the capture buffer was full", "downtime": "netaudit was not running",
	"queue_overflow": "a queue was full", "callers_lost": "more calls than callers could be found for", "clock_step": "the clock was set", "disk_full": "the disk was full",
}

func gapSummary(w *words.Words, e *ledger.Event) string {
	text := gapReason(w, e.Gap.Reason)
	if e.Gap.Iface != "" {
		text += w.Text(" on {interface}", e.Gap.Iface)
	}
	if e.Gap.Count > 0 {
		text += w.Text(", {n} lost", e.Gap.Count)
	}
	if e.DurationUS > 0 {
		text += ", " + w.Micros(e.DurationUS)
	}
	return text
}

// gapReason says why nothing was seen. A reason that is not known is none of this version's.
func gapReason(w *words.Words, reason string) string {
	if text, ok := gapReasons[reason]; ok {
		return w.Text(text)
	}
	return w.Text("not watched")
}

// briefly is how many characters of a text a line of a table shows; the row's own page has the whole.
const briefly = 120

func brief(text string) string {
	if len(text) <= briefly {
		return text
	}
	if r := []rune(text); len(r) > briefly {
		return string(r[:briefly-1]) + "…"
	}
	return text
}

// callerName is a module's name for people.
func callerName(w *words.Words, name string) string {
	switch name {
	case "":
		return w.Text("nobody known")
	case "(unknown)":
		return w.Text("(unknown)")
	case ledger.Others:
		return w.Text("(others)")
	}
	return name
}

// where is the destination of a call, as links and tables show it.
func where(e *ledger.Event) template.HTML {
	switch {
	case e.Dst == nil:
		return ""
	case e.Dst.Host != "":
		return template.HTML(`<span class="hostname">` + template.HTMLEscapeString(e.Dst.Host) + `</span>`)
	default:
		return template.HTML(`<span class="hostname bare">` + template.HTMLEscapeString(e.Dst.IP) + `</span>`)
	}
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
