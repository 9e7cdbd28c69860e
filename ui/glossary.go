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

// about is a link to the explanation of a word that is itself a link to something else.
func about(w *words.Words, id string) (template.HTML, error) {
	for _, e := range w.Glossary {
		if e.ID == id {
			label := template.HTMLEscapeString(w.Text("What does {word} mean?", e.Word))
			return template.HTML(fmt.Sprintf(` <a class="about" href="/glossary#%s" title="%s" aria-label="%s">?</a>`, template.HTMLEscapeString(id), label, label)), nil
		}
	}
	return "", fmt.Errorf("the glossary has no entry %q", id)
}
