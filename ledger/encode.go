package ledger

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// encoder writes RFC 8785 (JCS) JSON by hand: keys are written in sorted order by the callers, integers as decimals, strings with
// JCS's escapes. It has no reflection and no allocation besides the destination.
type encoder struct {
	b     []byte
	first bool // no member of the present object was written yet
}

func (e *encoder) open()  { e.b = append(e.b, '{'); e.first = true }
func (e *encoder) close() { e.b = append(e.b, '}'); e.first = false }

func (e *encoder) key(k string) {
	if !e.first {
		e.b = append(e.b, ',')
	}
	e.first = false
	e.b = append(e.b, '"')
	e.b = append(e.b, k...)
	e.b = append(e.b, '"', ':')
}

// object begins a nested object.
func (e *encoder) object(k string) {
	e.key(k)
	e.open()
}

// text writes a string member, unless it is empty.
func (e *encoder) text(k, v string) {
	if v != "" {
		e.key(k)
		e.b = appendString(e.b, v)
	}
}

// number writes an integer member, unless it is zero.
func (e *encoder) number(k string, v int64) {
	if v != 0 {
		e.always(k, v)
	}
}

// always writes an integer member. Values outside ±(2^53-1), which JCS cannot say exactly, become the nearest one inside.
func (e *encoder) always(k string, v int64) {
	e.key(k)
	e.b = strconv.AppendInt(e.b, max(-largestInteger, min(largestInteger, v)), 10)
}

const largestInteger = 1<<53 - 1

// flag writes a true member, unless it is false.
func (e *encoder) flag(k string, v bool) {
	if v {
		e.key(k)
		e.b = append(e.b, "true"...)
	}
}

// time writes a time member in RFC 3339 UTC with nine digits, unless it is zero.
func (e *encoder) time(k string, nanos int64) {
	if nanos != 0 {
		e.key(k)
		e.b = append(e.b, '"')
		e.b = appendTime(e.b, nanos)
		e.b = append(e.b, '"')
	}
}

func appendTime(b []byte, nanos int64) []byte {
	return time.Unix(0, nanos).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000000Z07:00")
}

// texts writes an array of strings, unless it is empty.
func (e *encoder) texts(k string, list []string) {
	if len(list) == 0 {
		return
	}
	e.key(k)
	e.b = append(e.b, '[')
	for i, v := range list {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = appendString(e.b, v)
	}
	e.b = append(e.b, ']')
}

// appendString writes a JSON string as RFC 8785 §3.2.2.2 demands. Bytes that are no UTF-8 are percent-escaped: a hostile file name stays
// readable and cannot break the form.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c == '\b':
				b = append(b, '\\', 'b')
			case c == '\t':
				b = append(b, '\\', 't')
			case c == '\n':
				b = append(b, '\\', 'n')
			case c == '\f':
				b = append(b, '\\', 'f')
			case c == '\r':
				b = append(b, '\\', 'r')
			case c < 0x20:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
			i++
			continue
		}
		b = append(b, s[i:i+n]...)
		i += n
	}
	return append(b, '"')
}

func appendInt(b []byte, v int) []byte { return strconv.AppendInt(b, int64(v), 10) }
