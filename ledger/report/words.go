package report

import (
	"fmt"
	"math"
	"strconv"
)

// Bytes writes a count of bytes for people, in decimal units (ISO 80000-13): "1.5 MB".
func Bytes(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	units := []string{"kB", "MB", "GB", "TB", "PB", "EB"}
	v := float64(n) / 1000
	for i, unit := range units {
		if v < 999.5 || i == len(units)-1 {
			if v < 9.95 {
				return fmt.Sprintf("%.1f %s", v, unit)
			}
			return fmt.Sprintf("%.0f %s", v, unit)
		}
		v /= 1000
	}
	return ""
}

// Grouped writes a number with thin spaces between groups of three digits, as ISO 80000-1 does.
func Grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	out := ""
	for len(digits) > 3 {
		out = "\u202f" + digits[len(digits)-3:] + out
		digits = digits[:len(digits)-3]
	}
	return sign + digits + out
}

// PercentText never rounds an incomplete share up to "100 %".
func PercentText(p float64) string {
	if p >= 100 {
		return "100 %"
	}
	return strconv.FormatFloat(math.Floor(p*10)/10, 'f', 1, 64) + " %"
}
