package ledger

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
)

// canonicalReader reads rows in the form that AppendJSON writes: known members, sorted, without white space, integers, no null. It sets what encoding/json would set, in a third of the time; that was two fifths of what a page of rows costs. A row in
// another form, of a newer version or of a hostile hand, is left to encoding/json. One goroutine owns it.
type canonicalReader struct {
	rest []byte
}

// readCanonical reads a row into w; when it says false, w may be half filled.
func readCanonical(row []byte, w *wireEvent) bool {
	r := canonicalReader{row}
	return r.object(reflect.ValueOf(w).Elem(), eventShape) && len(r.rest) == 0
}

// shape is a type, as far as reading needs it.
type shape struct {
	kind    reflect.Kind
	time    bool // nanos
	members map[string]member
	elem    reflect.Type // of a pointer
	of      *shape       // what a pointer points to or a slice is made of
}

type member struct {
	field int
	shape *shape
}

var eventShape = shapeOf(reflect.TypeFor[wireEvent]())

func shapeOf(t reflect.Type) *shape {
	s := &shape{kind: t.Kind(), time: t == reflect.TypeFor[nanos]()}
	switch s.kind {
	case reflect.Pointer:
		s.elem, s.of = t.Elem(), shapeOf(t.Elem())
	case reflect.Slice:
		s.of = shapeOf(t.Elem())
	case reflect.Struct:
		s.members = map[string]member{}
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				name = strings.ToLower(f.Name)
			}
			s.members[name] = member{i, shapeOf(f.Type)}
		}
	}
	return s
}

// value reads what stands next into v.
func (r *canonicalReader) value(v reflect.Value, s *shape) bool {
	switch {
	case s.time:
		return r.nanos(v)
	case s.kind == reflect.Pointer:
		v.Set(reflect.New(s.elem))
		return r.value(v.Elem(), s.of)
	case s.kind == reflect.Struct:
		return r.object(v, s)
	case s.kind == reflect.Slice:
		return r.array(v, s)
	case s.kind == reflect.String:
		text, ok := r.text()
		v.SetString(text)
		return ok
	case s.kind == reflect.Bool:
		rest, ok := bytes.CutPrefix(r.rest, []byte("true"))
		r.rest = rest
		v.SetBool(ok)
		return ok
	default:
		return r.integer(v)
	}
}

// skip passes one byte if it stands next.
func (r *canonicalReader) skip(c byte) bool {
	if len(r.rest) == 0 || r.rest[0] != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

func (r *canonicalReader) object(v reflect.Value, s *shape) bool {
	if !r.skip('{') {
		return false
	}
	if r.skip('}') {
		return true
	}
	var before []byte
	for {
		key := r.literal()
		if key == nil || bytes.Compare(key, before) <= 0 { // a literal begins with a quote: it is not empty
			return false
		}
		m, known := s.members[string(key[1:len(key)-1])]
		if !known || !r.skip(':') || !r.value(v.Field(m.field), m.shape) {
			return false
		}
		if r.skip('}') {
			return true
		}
		if !r.skip(',') {
			return false
		}
		before = key
	}
}

// array reads an array that is not empty: the canonical form leaves nearly all of those out.
func (r *canonicalReader) array(v reflect.Value, s *shape) bool {
	if !r.skip('[') {
		return false
	}
	for n := 0; ; n++ {
		if n == v.Cap() {
			v.Grow(1)
		}
		v.SetLen(n + 1)
		if !r.value(v.Index(n), s.of) {
			return false
		}
		if r.skip(']') {
			return true
		}
		if !r.skip(',') {
			return false
		}
	}
}

// literal is the string that stands next, with its quotes; nil when none does.
func (r *canonicalReader) literal() []byte {
	if len(r.rest) == 0 || r.rest[0] != '"' {
		return nil
	}
	n := stringEnd(r.rest)
	if n < 0 {
		return nil
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}

func (r *canonicalReader) text() (string, bool) {
	literal := r.literal()
	if literal == nil {
		return "", false
	}
	if text := string(literal[1 : len(literal)-1]); plainLength(text) == len(text) {
		return text, true
	}
	var text string
	err := json.Unmarshal(literal, &text)
	return text, err == nil
}

func (r *canonicalReader) nanos(v reflect.Value) bool {
	literal := r.literal()
	var n nanos
	if literal == nil || n.UnmarshalText(literal[1:len(literal)-1]) != nil { // what has escapes is no time
		return false
	}
	v.SetInt(int64(n))
	return true
}

// longestInteger is how many digits an integer has at most that is surely within 64 bits; the largest in canonical form has 16.
const longestInteger = 18

func (r *canonicalReader) integer(v reflect.Value) bool {
	negative := r.skip('-')
	var n int64
	i := 0
	for ; i < len(r.rest) && r.rest[i]-'0' < 10; i++ {
		if i == longestInteger {
			return false
		}
		n = 10*n + int64(r.rest[i]-'0')
	}
	if i == 0 || r.rest[0] == '0' && (i > 1 || negative) {
		return false
	}
	r.rest = r.rest[i:]
	if negative {
		n = -n
	}
	if !v.CanInt() {
		v.SetUint(uint64(n))
		return n >= 0
	}
	v.SetInt(n)
	return !v.OverflowInt(n)
}
