package tls

import (
	"strings"
	"unicode"
)

// LongestText bounds a text that a peer chose, in bytes.
const LongestText = 512

// printable replaces what commands a terminal (also the controls behind ASCII, U+0080 to U+009F) or changes the direction of the text around it.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '?'
}

// CleanText makes text that a peer chose printable: valid UTF-8, no control characters, at most 512 bytes.
func CleanText(raw string) string {
	if len(raw) > LongestText {
		raw = raw[:LongestText]
	}
	return strings.Map(printable, strings.ToValidUTF8(raw, "?"))
}

// CleanName makes a host name printable: lower case, at most 255 bytes, without a final dot; whatever is not printable becomes "?". It is also used for names from HTTP and mail greetings.
func CleanName(raw []byte) string {
	if len(raw) > longestName {
		raw = raw[:longestName]
	}
	name := strings.ToLower(strings.ToValidUTF8(string(raw), "?"))
	return strings.TrimSuffix(strings.Map(printable, name), ".")
}

// IsCleanName says that CleanName would change nothing.
func IsCleanName(raw []byte) bool {
	if len(raw) > longestName || len(raw) > 0 && raw[len(raw)-1] == '.' {
		return false
	}
	for _, c := range raw {
		if c <= ' ' || c > '~' || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}
