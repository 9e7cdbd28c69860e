package words

import (
	"regexp"
	"strings"
)

// saying is what rows and the ledger say in English, with places where they put values.
type saying struct {
	shape  *regexp.Regexp
	prefix string // what every such text begins with: most texts are told apart by it
	fixed  int    // bytes that are no place
	text   string
	names  []string
}

func newSaying(english, text string) saying {
	at, fixed := 0, 0
	var shape strings.Builder
	shape.WriteString(`(?s)^`)
	for _, m := range places.FindAllStringIndex(english, -1) {
		shape.WriteString(regexp.QuoteMeta(english[at:m[0]]) + `(.+?)`)
		fixed += m[0] - at
		at = m[1]
	}
	shape.WriteString(regexp.QuoteMeta(english[at:]) + `$`)
	prefix, _, _ := strings.Cut(english, "{")
	var list []string
	for _, m := range places.FindAllStringSubmatch(english, -1) {
		list = append(list, m[1])
	}
	return saying{regexp.MustCompile(shape.String()), prefix, fixed + len(english) - at, text, list}
}

const (
	mostSaid = 2000 // bytes of a text that is looked at
	deepest  = 3    // texts within texts: "The log does not verify: row 3: it is missing"
)

// Said translates what a row or the ledger says. A text that is not in the catalogue is shown as it was written: whoever reads a row reads what was sealed.
func (w *Words) Said(english string) string {
	if english == "" || w.English() {
		return english
	}
	text, ok := w.said(english, 0)
	if !ok {
		w.miss(english)
	}
	return text
}

func (w *Words) said(english string, depth int) (string, bool) {
	if text, ok := w.texts[english]; ok && !strings.Contains(english, "{") {
		return text, true
	}
	if len(english) > mostSaid || depth == deepest {
		return english, false
	}
	for i := range w.sayings {
		s := &w.sayings[i]
		if !strings.HasPrefix(english, s.prefix) {
			continue
		}
		m := s.shape.FindStringSubmatch(english)
		if m == nil {
			continue
		}
		pairs := make([]string, 0, 2*len(s.names))
		for j, name := range s.names {
			value, _ := w.said(m[j+1], depth+1) // a number or a name stays as it is
			pairs = append(pairs, "{"+name+"}", value)
		}
		return strings.NewReplacer(pairs...).Replace(s.text), true
	}
	return english, false
}
