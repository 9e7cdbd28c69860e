// Package words is the catalogue of everything the pages say, in every language they speak. English stands where it is said, in the templates and
// handlers, and is the key: German is de.yaml, one entry for every English text. Glossaries stand beside it, by the ids of their entries. A text may have
// places for values, {name}, filled in the order in which the English text names them, links, [word](target), **strong** words and `code`; what stands
// after a bar, "To|destination", tells two meanings of a text apart and is never shown.
//
// Texts that a row or the ledger says are English for ever, since rows are sealed: Said finds their translation by what they look like.
//
// A Words is read-only after New and safe for concurrent use.
package words

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
	"golang.org/x/text/language"
)

//go:embed *.yaml
var files embed.FS

// Words is one language.
type Words struct {
	Tag  string // BCP 47: en, de
	Name string // in the language itself

	Glossary []Entry // in the order of its page

	texts    map[string]string // of pages and rows by the English text; nil: this is English
	pages    map[string]string
	sayings  []saying          // texts of rows with places for values
	browser  map[string]string // what scripts say, by the English text
	decimal  string            // between a number and its fraction
	layout   string            // of a day, with time.Format's month by number as a place: see Day
	months   []string
	parsed   sync.Map // English text → phrase
	mu       sync.Mutex
	unworded []string // English texts that were asked for and are not in the catalogue; at most mostUnworded
}

// Entry explains a word that the pages use. ID is stable; Text may have links.
type Entry struct {
	ID   string `yaml:"id"`
	Word string `yaml:"word"`
	Text string `yaml:"text"`
}

// mostUnworded bounds the texts that a language remembers for want of a translation.
const mostUnworded = 100

// Catalogue is every language.
type Catalogue struct {
	Languages []*Words // English first

	matcher language.Matcher
}

// New reads the catalogue. Its errors are mistakes in the catalogue's files.
func New() (*Catalogue, error) {
	english := &Words{
		Tag: "en", Name: "English", decimal: ".", layout: "{day} {month} {year}",
		months: []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
	}
	german := &Words{
		Tag: "de", Name: "Deutsch", decimal: ",", layout: "{day}. {month} {year}",
		months: []string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"},
	}
	if err := german.load(); err != nil {
		return nil, err
	}
	list := []*Words{english, german}
	tags := make([]language.Tag, len(list))
	for i, w := range list {
		if err := read("glossary."+w.Tag+".yaml", &w.Glossary); err != nil {
			return nil, err
		}
		tags[i] = language.MustParse(w.Tag)
	}
	return &Catalogue{Languages: list, matcher: language.NewMatcher(tags)}, nil
}

// load reads a language that is not English.
func (w *Words) load() error {
	var file struct {
		Pages   map[string]string `yaml:"pages"`
		Browser map[string]string `yaml:"browser"`
		Rows    map[string]string `yaml:"rows"`
	}
	if err := read(w.Tag+".yaml", &file); err != nil {
		return err
	}
	w.pages, w.browser, w.texts = file.Pages, file.Browser, maps.Clone(file.Pages)
	for english, text := range file.Rows {
		if want, got := names(english), names(text); !sameNames(want, got) {
			return fmt.Errorf("words: %q has places for %v, its translation for %v", english, want, got)
		}
		w.texts[english] = text
		if strings.Contains(english, "{") {
			w.sayings = append(w.sayings, newSaying(english, text))
		}
	}
	// The longest first: "row {n} is missing: {why}" before "{what} is missing".
	slices.SortFunc(w.sayings, func(a, b saying) int { return b.fixed - a.fixed })
	for english, text := range file.Pages {
		if want, got := names(english), names(text); !sameNames(want, got) {
			return fmt.Errorf("words: %q has places for %v, its translation for %v", english, want, got)
		}
	}
	return nil
}

func read(name string, into any) error {
	text, err := files.ReadFile(name)
	if err != nil {
		return fmt.Errorf("words: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(text, into, yaml.Strict()); err != nil {
		return fmt.Errorf("words: %s: %w", name, err)
	}
	return nil
}

// sameNames compares places whatever their order: a translation may also use one twice.
func sameNames(a, b []string) bool {
	for _, n := range a {
		if !slices.Contains(b, n) {
			return false
		}
	}
	for _, n := range b {
		if !slices.Contains(a, n) {
			return false
		}
	}
	return true
}

// English says whether texts are shown as they are.
func (w *Words) English() bool { return w.texts == nil }

// Choose is the language of a reader: the first of the tags that is one of the catalogue's, else what the header Accept-Language asks for, else English.
func (c *Catalogue) Choose(accept string, tags ...string) *Words {
	for _, tag := range tags {
		for _, w := range c.Languages {
			if w.Tag == tag {
				return w
			}
		}
	}
	if len(accept) > mostAccept {
		accept = ""
	}
	wanted, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(wanted) == 0 {
		return c.Languages[0]
	}
	_, i, _ := c.matcher.Match(wanted...)
	return c.Languages[i]
}

// mostAccept bounds the header that is read, in bytes.
const mostAccept = 1000

// Browser is what scripts say in this language, by the English text.
func (w *Words) Browser() map[string]string { return w.browser }

// Pages is what templates and handlers say in this language, by the English text; nil for English.
func (w *Words) Pages() map[string]string { return w.pages }

// Unworded lists English texts that were asked for and have no translation, for tests.
func (w *Words) Unworded() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.unworded)
}

func (w *Words) miss(english string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.unworded) < mostUnworded && !slices.Contains(w.unworded, english) {
		w.unworded = append(w.unworded, english)
	}
}
