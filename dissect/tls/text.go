package tls

import "strings"

// longestText bounds a text that a peer chose, in bytes.
const longestText = 512

// CleanText makes text that a peer chose printable: valid UTF-8, no control characters, at most 512 bytes.
func CleanText(raw string) string {
	if len(raw) > longestText {
		raw = raw[:longestText]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(raw, "?"))
}
