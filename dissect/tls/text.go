package tls

import "strings"

// LongestText bounds a text that a peer chose, in bytes.
const LongestText = 512

// CleanText makes text that a peer chose printable: valid UTF-8, no control characters, at most 512 bytes.
func CleanText(raw string) string {
	if len(raw) > LongestText {
		raw = raw[:LongestText]
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(raw, "?"))
}

// CleanName makes a host name printable: lower case, at most 255 bytes, without a final dot; every byte that is neither printable ASCII nor
// valid UTF-8 becomes "?". It is also used for names from HTTP and mail greetings.
func CleanName(raw []byte) string {
	if len(raw) > longestName {
		raw = raw[:longestName]
	}
	name := strings.ToLower(strings.ToValidUTF8(string(raw), "?"))
	name = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '?'
		}
		return r
	}, name)
	return strings.TrimSuffix(name, ".")
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
