package ledger

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strconv"
)

// What reads a member's value returns how long the value is, or one of these.
const (
	unread = 0  // nothing was read
	leave  = -2 // nothing was read, and the members that follow are not wanted either: the canonical form sorts them
	enough = -3 // nothing else is wanted, not of what is around it either
)

// members reads the object at the beginning of b from front to back, once. It calls read with each key and with what begins at its value, and returns the object's length, -1 when b begins with none or it does not end.
func members(b []byte, read func(key, rest []byte) int) int {
	if len(b) < 2 || b[0] != '{' {
		return -1
	}
	if b[1] == '}' {
		return 2
	}
	for at := 1; ; at++ { // behind a brace or a comma
		if at >= len(b) || b[at] != '"' {
			return -1
		}
		n := keyEnd(b[at:])
		if n < 0 || at+n >= len(b) || b[at+n] != ':' {
			return -1
		}
		key := b[at+1 : at+n-1]
		at += n + 1
		if n = read(key, b[at:]); n == unread {
			n = valueEnd(b[at:])
		} else if n == leave {
			if n = nestedEnd(b[at:], 1); n < 0 {
				return -1
			}
			return at + n
		}
		if at += n; n < 0 || at >= len(b) {
			return -1
		}
		if b[at] != ',' {
			return at + 1
		}
	}
}

// keyEnd is the length of the member's name at the beginning of b with its quotes, -1 when it does not end. Names are short, and need no backslashes: eight bytes at a time are faster than bytes.IndexByte.
func keyEnd(b []byte) int {
	i := 1
	for ; i+8 <= len(b); i += 8 {
		quotes := binary.LittleEndian.Uint64(b[i:]) ^ '"'*eachByte // what is looked for becomes zero
		if zeros := (quotes - eachByte) &^ quotes & eachTop; zeros != 0 {
			return i + bits.TrailingZeros64(zeros)/8 + 1 // the lowest bit is that of the first zero
		}
	}
	for ; i < len(b); i++ {
		if b[i] == '"' {
			return i + 1
		}
	}
	return -1
}

// stringEnd is the length of the string at the beginning of b with its quotes, -1 when it does not end.
func stringEnd(b []byte) int {
	i := 1
	for i+8 <= len(b) {
		word := binary.LittleEndian.Uint64(b[i:])
		quotes, backslashes := word^'"'*eachByte, word^'\\'*eachByte
		zeros := ((quotes-eachByte)&^quotes | (backslashes-eachByte)&^backslashes) & eachTop
		if zeros == 0 {
			i += 8
			continue
		}
		if i += bits.TrailingZeros64(zeros) / 8; b[i] == '"' {
			return i + 1
		}
		i += 2 // what follows a backslash does not end the string
	}
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return -1
}

// valueEnd is the length of the value at the beginning of b, -1 when it does not end.
func valueEnd(b []byte) int {
	if len(b) == 0 {
		return -1
	}
	switch b[0] {
	case '"':
		return stringEnd(b)
	case '{', '[':
		return nestedEnd(b, 0)
	}
	for i, c := range b { // integers and flags are short
		if c == ',' || c == '}' || c == ']' {
			return i
		}
	}
	return -1
}

// nestedEnd is how far it is to the end of what is open: of the object or array at the beginning of b with a depth of 0, of that around it with 1; -1 when it does not end. Eight bytes are looked at together: which of them are quotes tells which stand in strings, and brackets there do not count.
func nestedEnd(b []byte, depth int) int {
	i := 0
	inside := uint64(0) // all bits set: a string began before
	for ; i+8 <= len(b); i += 8 {
		word := binary.LittleEndian.Uint64(b[i:])
		if backslashes := word ^ '\\'*eachByte; (backslashes-eachByte)&^backslashes&eachTop != 0 {
			return slowEnd(b, i, depth, inside != 0)
		}
		counts := bytesEqual(word, '"') >> 7 * eachByte // in each byte: how many quotes stand up to there
		within := counts&eachByte*0x80 ^ inside
		inside ^= -(counts >> 56 & 1)
		brackets := word | 0x20*eachByte // square ones become curly ones
		begin, end := bytesEqual(brackets, '{')&^within, bytesEqual(brackets, '}')&^within
		if end == 0 {
			depth += bits.OnesCount64(begin)
			continue
		}
		for all := begin | end; all != 0; all &= all - 1 {
			if all&-all&begin != 0 {
				depth++
			} else if depth--; depth == 0 {
				return i + bits.TrailingZeros64(all)/8 + 1
			}
		}
	}
	return slowEnd(b, i, depth, inside != 0)
}

// slowEnd goes on byte by byte where nestedEnd stopped.
func slowEnd(b []byte, i, depth int, inside bool) int {
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case inside && c == '\\':
			i++ // what follows does not end the string
		case c == '"':
			inside = !inside
		case inside:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// flatEnd is the length of the array or object at the beginning of b that has none of its kind inside, if its end is plain to see, else 0. It is found as fast as memory is read: a bracket before a comma, a quote and a letter
// is none of a text, because such a quote begins one; inside a text it would have a backslash.
func flatEnd(b []byte, bracket byte) int {
	i := bytes.IndexByte(b, bracket)
	if i < 0 || len(b) < i+4 || b[i+1] != ',' || b[i+2] != '"' || b[i+3] < 'a' || b[i+3] > 'z' {
		return 0
	}
	return i + 1
}

// Each byte of a word, and the top bit of each.
const eachByte, eachTop = 0x0101010101010101, 0x8080808080808080

// bytesEqual sets the top bit of the bytes of a word that are c, and no other.
func bytesEqual(word uint64, c byte) uint64 {
	x := word ^ uint64(c)*eachByte
	return ^((x&^eachTop + ^uint64(eachTop)) | x) & eachTop
}

// readInteger reads the integer at the beginning of b, 0 when it is none, and returns the value's length.
func readInteger(b []byte, to *int64) int {
	n, i := int64(0), 0
	for i < len(b) && i < 18 && '0' <= b[i] && b[i] <= '9' {
		n = 10*n + int64(b[i]-'0')
		i++
	}
	if i > 0 && i < len(b) && (b[i] == ',' || b[i] == '}') {
		*to = n
		return i
	}
	end := valueEnd(b)
	if end > 0 {
		if n, err := strconv.ParseInt(string(b[:end]), 10, 64); err == nil {
			*to = n
		}
	}
	return end
}
