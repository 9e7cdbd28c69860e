package words

import (
	"fmt"
	"html/template"
	"regexp"
	"strings"
)

// phrase is a text cut into pieces once.
type phrase []piece

// piece is fixed text, a value's place, or pieces within a link, a strong word or code.
type piece struct {
	text   string
	value  int // of the values, -1 for none
	tag    string
	target string
	inner  phrase
}

var (
	marks  = regexp.MustCompile("\\{([a-z]+)\\}|\\[([^\\]]+)\\]\\(([^)]+)\\)|\\*\\*([^*]+)\\*\\*|`([^`]+)`")
	places = regexp.MustCompile(`\{([a-z]+)\}`)
)

// names lists the places of a text in the order in which they come first.
func names(text string) (list []string) {
	seen := map[string]bool{}
	for _, m := range places.FindAllStringSubmatch(text, -1) {
		if !seen[m[1]] {
			seen[m[1]] = true
			list = append(list, m[1])
		}
	}
	return list
}

func parse(text string, order []string) (out phrase) {
	index := func(name string) int {
		for i, n := range order {
			if n == name {
				return i
			}
		}
		return len(order) // beyond the values: shown as an ellipsis
	}
	at := 0
	for _, m := range marks.FindAllStringSubmatchIndex(text, -1) {
		if m[0] > at {
			out = append(out, piece{text: text[at:m[0]], value: -1})
		}
		part := func(n int) string { return text[m[2*n]:m[2*n+1]] }
		switch {
		case m[2] >= 0:
			out = append(out, piece{value: index(part(1))})
		case m[4] >= 0:
			out = append(out, piece{tag: "a", target: part(3), inner: parse(part(2), order), value: -1})
		case m[8] >= 0:
			out = append(out, piece{tag: "b", inner: parse(part(4), order), value: -1})
		default:
			out = append(out, piece{tag: "code", inner: parse(part(5), order), value: -1})
		}
		at = m[1]
	}
	if at < len(text) {
		out = append(out, piece{text: text[at:], value: -1})
	}
	return out
}

// phrase finds a text in the language. Keys are literals of the program, so what is remembered is bounded.
func (w *Words) phrase(english string) phrase {
	if p, ok := w.parsed.Load(english); ok {
		return p.(phrase)
	}
	shown, _, _ := strings.Cut(english, "|")
	text := shown
	if !w.English() {
		var ok bool
		if text, ok = w.texts[english]; !ok {
			w.miss(english)
			text = shown
		}
	}
	p := parse(text, names(shown))
	w.parsed.Store(english, p)
	return p
}

// HTML says an English text of the program in this language, as markup. Values are escaped and kept apart from the text around them (bdi), whatever
// direction they are written in; numbers are grouped.
func (w *Words) HTML(english string, values ...any) template.HTML {
	var b strings.Builder
	w.write(&b, w.phrase(english), values, true)
	return template.HTML(b.String()) // the catalogue's own markup; every value was escaped
}

// Text says an English text of the program in this language, without markup.
func (w *Words) Text(english string, values ...any) string {
	var b strings.Builder
	w.write(&b, w.phrase(english), values, false)
	return b.String()
}

// Plural says one of two texts. The first value, for the first place, is the number itself.
func (w *Words) Plural(n int64, one, other string, values ...any) template.HTML {
	if n == 1 {
		other = one
	}
	return w.HTML(other, append([]any{n}, values...)...)
}

func (w *Words) write(b *strings.Builder, p phrase, values []any, markup bool) {
	for _, x := range p {
		switch {
		case x.tag != "" && markup:
			b.WriteString(opening(x))
			w.write(b, x.inner, values, markup)
			b.WriteString("</" + x.tag + ">")
		case x.tag != "":
			w.write(b, x.inner, values, markup)
		case x.value >= len(values):
			b.WriteString("…")
		case x.value >= 0:
			b.WriteString(w.shown(values[x.value], markup))
		case markup:
			b.WriteString(template.HTMLEscapeString(x.text))
		default:
			b.WriteString(x.text)
		}
	}
}

// opening is a start tag. A target with a hash alone is an entry of the glossary.
func opening(x piece) string {
	if x.tag != "a" {
		return "<" + x.tag + ">"
	}
	if strings.HasPrefix(x.target, "#") {
		return `<a class="term" href="/glossary` + template.HTMLEscapeString(x.target) + `">`
	}
	return `<a href="` + template.HTMLEscapeString(x.target) + `">`
}

func (w *Words) shown(v any, markup bool) string {
	switch v := v.(type) {
	case template.HTML:
		return string(v)
	case string:
		if markup {
			return "<bdi>" + template.HTMLEscapeString(v) + "</bdi>"
		}
		return v
	case int, int64, uint64:
		return w.Number(v)
	default:
		text := fmt.Sprint(v)
		if markup {
			return template.HTMLEscapeString(text)
		}
		return text
	}
}
