package words

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"netaudit/ledger/report"
)

// Number writes a count with thin spaces between groups of three digits, in every language (ISO 80000-1).
func (w *Words) Number(n any) string {
	switch v := n.(type) {
	case int:
		return report.Grouped(int64(v))
	case int64:
		return report.Grouped(v)
	case uint64:
		return report.Grouped(int64(v))
	}
	return fmt.Sprint(n)
}

// Bytes writes a count of bytes in decimal units: 1.5 MB or 1,5 MB.
func (w *Words) Bytes(n int64) string { return w.fraction(report.Bytes(n)) }

// Percent never rounds an incomplete share up to 100 %.
func (w *Words) Percent(p float64) string { return w.fraction(report.PercentText(p)) }

// Bits writes hundredths with one decimal.
func (w *Words) Bits(hundredths int64) string {
	return w.fraction(strconv.FormatFloat(float64(hundredths)/100, 'f', 1, 64))
}

func (w *Words) fraction(s string) string {
	return strings.Replace(s, ".", w.decimal, 1)
}

// Micros writes a duration that is given in microseconds.
func (w *Words) Micros(n int64) string {
	d := time.Duration(n) * time.Microsecond
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", n)
	case d < time.Second:
		return w.fraction(fmt.Sprintf("%.1f ms", float64(n)/1000))
	case d < time.Minute:
		return w.fraction(fmt.Sprintf("%.2f s", d.Seconds()))
	default:
		return d.Round(time.Second).String()
	}
}

// Day writes a day for people: 24 November 2026, or 24. November 2026; in UTC.
func (w *Words) Day(t time.Time) string {
	t = t.UTC()
	return strings.NewReplacer("{day}", strconv.Itoa(t.Day()), "{month}", w.months[t.Month()-1], "{year}", strconv.Itoa(t.Year())).Replace(w.layout)
}

// Ago says how long something is past.
func (w *Words) Ago(t time.Time) string {
	if t.IsZero() {
		return w.Text("never")
	}
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return w.Text("a moment ago")
	case d < time.Hour:
		return w.Text("{n} min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return w.Text("{n} h ago", int(d.Hours()))
	default:
		return w.Text("{n} days ago", int(d.Hours()/24))
	}
}
