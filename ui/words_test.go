package ui

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template/parse"

	"netaudit/ui/words"
)

// walk visits every node of a template.
func walk(n parse.Node, visit func(parse.Node)) {
	if n == nil {
		return
	}
	visit(n)
	switch v := n.(type) {
	case *parse.ListNode:
		if v != nil {
			for _, c := range v.Nodes {
				walk(c, visit)
			}
		}
	case *parse.ActionNode:
		walk(v.Pipe, visit)
	case *parse.TemplateNode:
		if v.Pipe != nil {
			walk(v.Pipe, visit)
		}
	case *parse.IfNode:
		walkBranch(&v.BranchNode, visit)
	case *parse.RangeNode:
		walkBranch(&v.BranchNode, visit)
	case *parse.WithNode:
		walkBranch(&v.BranchNode, visit)
	case *parse.PipeNode:
		for _, c := range v.Cmds {
			walk(c, visit)
		}
	case *parse.CommandNode:
		for _, a := range v.Args {
			walk(a, visit)
		}
	}
}

func walkBranch(b *parse.BranchNode, visit func(parse.Node)) {
	walk(b.Pipe, visit)
	walk(b.List, visit)
	if b.ElseList != nil {
		walk(b.ElseList, visit)
	}
}

// saidByTemplates are the English texts of {{t "…"}}, {{plural n "…" "…"}} and {{term id "…"}}.
func saidByTemplates(t *testing.T, p *pages) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range pageNames {
		for _, tmpl := range p.templates[pageKey{name, "en"}].Templates() {
			if tmpl.Tree == nil {
				continue
			}
			walk(tmpl.Tree.Root, func(n parse.Node) {
				c, ok := n.(*parse.CommandNode)
				if !ok || len(c.Args) < 2 {
					return
				}
				id, ok := c.Args[0].(*parse.IdentifierNode)
				if !ok {
					return
				}
				var texts []parse.Node
				switch id.Ident {
				case "t":
					texts = c.Args[1:2]
				case "plural":
					texts = c.Args[2:4]
				case "term":
					texts = c.Args[2:3]
				}
				for _, a := range texts {
					if s, ok := a.(*parse.StringNode); ok {
						found[s.Text] = name
					}
				}
			})
		}
	}
	return found
}

// shownFields are fields of tables in the code whose texts a template says.
var shownFields = []string{"Label", "Meaning", "Title", "Word", "Lead"}

// saidByCode are the English texts in the code: arguments of the functions that say them, and fields of shownFields.
func saidByCode(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("words/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, more...) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		literal := func(e ast.Expr) {
			if b, ok := e.(*ast.BasicLit); ok && b.Kind == token.STRING {
				if text, err := strconv.Unquote(b.Value); err == nil && text != "" {
					found[text] = file
				}
			}
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch v := n.(type) {
			case *ast.CallExpr:
				name := ""
				switch f := v.Fun.(type) {
				case *ast.SelectorExpr:
					name = f.Sel.Name
				case *ast.Ident:
					name = f.Name
				}
				switch name {
				case "Text", "HTML", "Plural", "block":
					for _, a := range v.Args {
						literal(a)
					}
				case "problem":
					literal(v.Args[2])
					literal(v.Args[3])
				case "failed":
					literal(v.Args[1])
				case "show":
					literal(v.Args[3])
				case "groups":
					literal(v.Args[1])
					literal(v.Args[2])
				case "enter":
					literal(v.Args[len(v.Args)-1])
				}
			case *ast.KeyValueExpr:
				if id, ok := v.Key.(*ast.Ident); ok && slices.Contains(shownFields, id.Name) {
					literal(v.Value)
				}
			case *ast.AssignStmt:
				for i, left := range v.Lhs {
					if f, ok := left.(*ast.SelectorExpr); ok && slices.Contains(shownFields, f.Sel.Name) && i < len(v.Rhs) {
						literal(v.Rhs[i])
					}
				}
			case *ast.ValueSpec:
				// tables from an id to its text, and lists of texts
				if slices.ContainsFunc(v.Names, func(id *ast.Ident) bool { return slices.Contains(tablesOfTexts, id.Name) }) {
					ast.Inspect(v, func(n ast.Node) bool {
						switch x := n.(type) {
						case *ast.KeyValueExpr:
							literal(x.Value)
							return false
						case *ast.BasicLit:
							literal(x)
						}
						return true
					})
				}
			}
			return true
		})
	}
	return found
}

// tablesOfTexts are variables whose values are all texts.
var tablesOfTexts = []string{"partyLabels", "verdictWords", "gapReasons", "filterLabels", "confidences", "settingMeanings", "accessWords", "roleWords", "ruleAdvice", "nameSources", "evidenceSources", "partyRules"}

func newTestPages(t *testing.T) *pages {
	t.Helper()
	p, err := newPages(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEveryTextIsInTheCatalogueOnceInEveryLanguage(t *testing.T) {
	p := newTestPages(t)
	used := saidByTemplates(t, p)
	for text, file := range saidByCode(t) {
		used[text] = file
	}
	if len(used) < 200 {
		t.Fatalf("only %d texts were found", len(used))
	}
	for _, w := range p.catalogue.Languages[1:] {
		have := w.Pages()
		for text, file := range used {
			if _, ok := have[text]; !ok {
				t.Errorf("%s: no text for %q (%s)", w.Tag, text, file)
			}
		}
		for text := range have {
			if _, ok := used[text]; !ok {
				t.Errorf("%s: nobody says %q", w.Tag, text)
			}
		}
	}
}

// literalText is what a template shows without asking the catalogue: two letters in a row outside tags and attributes that name or address.
var (
	tags        = regexp.MustCompile(`(?s)<[^>]*>`)
	shownInTags = regexp.MustCompile(`\b(title|aria-label|alt|placeholder)="([^"{]*[A-Za-z]{2}[^"{]*)"`)
	letters     = regexp.MustCompile(`\p{L}{2}`)
	properNames = regexp.MustCompile(`UTC|MIT Network Audit|netaudit|Community ID|HTTP|nsk1|0-99|Odoo|ALPN|Enter|Esc|\{\{.*?\}\}`)
)

func TestTemplatesSayNothingPastTheCatalogue(t *testing.T) {
	files, err := filepath.Glob("templates/*.html")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	actions := regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bare := actions.ReplaceAllString(string(text), "")
		for _, m := range shownInTags.FindAllStringSubmatch(bare, -1) {
			if !properNames.MatchString(m[2]) {
				t.Errorf("%s: %s", file, m[0])
			}
		}
		for line := range strings.Lines(tags.ReplaceAllString(bare, "\n")) {
			if rest := properNames.ReplaceAllString(line, ""); letters.MatchString(rest) {
				t.Errorf("%s says %q", file, strings.TrimSpace(line))
			}
		}
	}
}

func TestGlossariesHaveTheSameEntries(t *testing.T) {
	c, err := words.New()
	if err != nil {
		t.Fatal(err)
	}
	ids := func(w *words.Words) (list []string) {
		for _, e := range w.Glossary {
			if e.Word == "" || e.Text == "" || slices.Contains(list, e.ID) {
				t.Errorf("%s: %+v", w.Tag, e)
			}
			list = append(list, e.ID)
		}
		slices.Sort(list)
		return list
	}
	for _, w := range c.Languages[1:] {
		if want, got := ids(c.Languages[0]), ids(w); !slices.Equal(want, got) {
			t.Errorf("%s has %v, want %v", w.Tag, got, want)
		}
	}
}
