package odoo

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// parseStrings reads a Python file whose only expression is a dict and returns the entries whose key and value are strings. Everything else is
// skipped by its brackets. It understands comments, all quotes, string prefixes and implicit concatenation.
func parseStrings(text string) (map[string]string, error) {
	s := &scanner{text: text}
	for {
		t, ok, err := s.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, errors.New("there is no dict in it")
		}
		if t.kind == '{' {
			return s.entries()
		}
	}
}

type token struct {
	kind byte   // 's' string, 'o' anything else that is no bracket, else the character itself
	text string // of a string
}

type scanner struct {
	text string
	at   int
}

// entries reads the dict after its opening bracket.
func (s *scanner) entries() (map[string]string, error) {
	values := map[string]string{}
	for {
		key, ok, err := s.next()
		if err != nil {
			return nil, err
		}
		if !ok || key.kind == '}' {
			return values, nil
		}
		if key.kind != 's' {
			continue
		}
		key, after, err := s.joined(key)
		if err != nil || after.kind != ':' {
			return values, err
		}
		value, ok, err := s.next()
		if err != nil || !ok {
			return values, err
		}
		end := value
		if value.kind == 's' {
			if value, end, err = s.joined(value); err != nil {
				return values, err
			}
			if end.kind == ',' || end.kind == '}' {
				values[key.text] = value.text
			}
		}
		if closed, err := s.skipValue(end); err != nil || closed {
			return values, err
		}
	}
}

// joined puts strings that follow each other together and returns the token after them.
func (s *scanner) joined(first token) (token, token, error) {
	for {
		t, ok, err := s.next()
		if err != nil || !ok {
			return first, token{}, err
		}
		if t.kind != 's' {
			return first, t, nil
		}
		first.text += t.text
	}
}

// skipValue reads on to the comma that ends the entry; closed says that the dict ended instead.
func (s *scanner) skipValue(t token) (closed bool, err error) {
	depth := 0
	for {
		switch t.kind {
		case '{', '[', '(':
			depth++
		case '}', ']', ')':
			if depth == 0 {
				return true, nil
			}
			depth--
		case ',':
			if depth == 0 {
				return false, nil
			}
		}
		var ok bool
		if t, ok, err = s.next(); err != nil || !ok {
			return true, err
		}
	}
}

// next returns the next token; ok is false at the end.
func (s *scanner) next() (t token, ok bool, err error) {
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case c == '#':
			i := strings.IndexByte(s.text[s.at:], '\n')
			if i < 0 {
				s.at = len(s.text)
				return t, false, nil
			}
			s.at += i
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\\':
			s.at++
		case c == '"' || c == '\'':
			text, err := s.quoted(false)
			return token{'s', text}, err == nil, err
		case strings.IndexByte("{}[](),:", c) >= 0:
			s.at++
			return token{kind: c}, true, nil
		default:
			begin := s.at
			for s.at < len(s.text) && strings.IndexByte("{}[](),:#\"' \t\r\n", s.text[s.at]) < 0 {
				s.at++
			}
			if word := strings.ToLower(s.text[begin:s.at]); s.at < len(s.text) && (s.text[s.at] == '"' || s.text[s.at] == '\'') && len(word) <= 2 && strings.Trim(word, "rub") == "" {
				text, err := s.quoted(strings.Contains(word, "r"))
				return token{'s', text}, err == nil, err
			}
			return token{kind: 'o'}, true, nil
		}
	}
	return t, false, nil
}

// quoted reads a string literal that begins here.
func (s *scanner) quoted(raw bool) (string, error) {
	quote := s.text[s.at : s.at+1]
	if strings.HasPrefix(s.text[s.at:], strings.Repeat(quote, 3)) {
		quote = strings.Repeat(quote, 3)
	}
	s.at += len(quote)
	var b strings.Builder
	for s.at < len(s.text) {
		if strings.HasPrefix(s.text[s.at:], quote) {
			s.at += len(quote)
			return strings.ToValidUTF8(b.String(), "?"), nil
		}
		c := s.text[s.at]
		if c == '\n' && len(quote) == 1 {
			return "", fmt.Errorf("a string does not end on its line (byte %d)", s.at)
		}
		if c != '\\' || raw || s.at+1 >= len(s.text) {
			b.WriteByte(c)
			s.at++
			continue
		}
		s.escape(&b)
	}
	return "", errors.New("a string does not end")
}

// escape reads a backslash sequence; one that is unknown stands for itself, as in Python.
func (s *scanner) escape(b *strings.Builder) {
	c := s.text[s.at+1]
	s.at += 2
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	if digits > 0 && s.at+digits <= len(s.text) {
		if n, err := strconv.ParseUint(s.text[s.at:s.at+digits], 16, 32); err == nil && n <= 0x10ffff {
			b.WriteRune(rune(n))
			s.at += digits
			return
		}
	}
	switch c {
	case '\n':
	case 'n':
		b.WriteByte('\n')
	case 't':
		b.WriteByte('\t')
	case 'r':
		b.WriteByte('\r')
	case '\\', '\'', '"':
		b.WriteByte(c)
	default:
		b.WriteByte('\\')
		b.WriteByte(c)
	}
}
