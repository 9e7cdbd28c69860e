package ledger

import (
	"math/bits"
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

// appendTime writes a time as RFC 3339 with nine digits, in UTC: what time.Format does, without reading a layout each time.
func appendTime(b []byte, nanos int64) []byte {
	t := time.Unix(0, nanos).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(appendDigits(b, year, 4), '-')
	b = append(appendDigits(b, int(month), 2), '-')
	b = append(appendDigits(b, day, 2), 'T')
	b = append(appendDigits(b, hour, 2), ':')
	b = append(appendDigits(b, minute, 2), ':')
	b = append(appendDigits(b, second, 2), '.')
	return append(appendDigits(b, t.Nanosecond(), 9), 'Z')
}

// appendDigits writes the last n digits of v, which is not negative.
func appendDigits(b []byte, v, n int) []byte {
	b = append(b, "000000000"[:n]...)
	for i := len(b) - 1; n > 0; i, n = i-1, n-1 {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return b
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

// integers writes an array of integers, empty or not.
func integers[T int | int64](e *encoder, k string, list []T) {
	e.key(k)
	e.b = append(e.b, '[')
	for i, v := range list {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = strconv.AppendInt(e.b, int64(v), 10)
	}
	e.b = append(e.b, ']')
}

// appendString writes a JSON string as RFC 8785 §3.2.2.2 demands. Bytes that are no UTF-8 are percent-escaped: a hostile file name stays
// readable and cannot break the form.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for {
		n := plainLength(s)
		b = append(b, s[:n]...)
		if s = s[n:]; s == "" {
			return append(b, '"')
		}
		b, n = appendSpecial(b, s)
		s = s[n:]
	}
}

// plainLength is how many bytes stand at the beginning of s as they stand in a JSON string: ASCII without control characters, quote and backslash. Nearly all text is, so eight bytes are looked at together.
func plainLength(s string) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		c := s[i : i+8]
		// One load; of what is looked for, quotes and backslashes become zero.
		word := uint64(c[0]) | uint64(c[1])<<8 | uint64(c[2])<<16 | uint64(c[3])<<24 | uint64(c[4])<<32 | uint64(c[5])<<40 | uint64(c[6])<<48 | uint64(c[7])<<56
		quotes, backslashes := word^'"'*eachByte, word^'\\'*eachByte
		special := (word - ' '*eachByte) | (quotes - eachByte) | (backslashes - eachByte) | word
		if special &= eachTop; special != 0 { // the lowest bit is that of the first one: only what stands above it may be borrowed
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

// appendSpecial writes the character at the beginning of s, which is not plain, and returns how many bytes of s it has.
func appendSpecial(b []byte, s string) ([]byte, int) {
	const hex = "0123456789abcdef"
	c := s[0]
	if c < utf8.RuneSelf {
		switch c {
		case '"', '\\':
			return append(b, '\\', c), 1
		case '\b':
			return append(b, '\\', 'b'), 1
		case '\t':
			return append(b, '\\', 't'), 1
		case '\n':
			return append(b, '\\', 'n'), 1
		case '\f':
			return append(b, '\\', 'f'), 1
		case '\r':
			return append(b, '\\', 'r'), 1
		}
		return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15]), 1
	}
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 {
		return append(b, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15]), 1
	}
	return append(b, s[:n]...), n
}
