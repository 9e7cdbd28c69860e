package ui

import (
	"fmt"
	"html/template"

	"netaudit/ui/words"
)

// term links a word to its explanation.
func term(w *words.Words, id, word string) (template.HTML, error) {
	for _, e := range w.Glossary {
		if e.ID == id {
			return template.HTML(fmt.Sprintf(`<a class="term" href="/glossary#%s">%s</a>`, template.HTMLEscapeString(id), w.HTML(word))), nil
		}
	}
	return "", fmt.Errorf("the glossary has no entry %q", id)
}
