package ui

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"netaudit/ledger"
)

// everyPage are the addresses of all pages of the test's ledger.
var everyPage = []string{
	"/", "/?range=30d", "/log", "/log?kind=all", "/log?kind=dns", "/log?party=mit_bound", "/log?q=nothinghere", "/log/0", "/log/1", "/log/2", "/log/3", "/log/4", "/log/5", "/log/6", "/log/99", "/log/x",
	"/modules", "/destinations?range=7d", "/traffic", "/coverage?range=30d", "/verify", "/glossary", "/access", "/settings", "/login", "/login?code=wrong", "/nowhere",
}

func TestReadersChooseTheLanguage(t *testing.T) {
	base, client := site(t)
	ask := func(path, accept string) (string, *http.Response) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept-Language", accept)
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		_, page := get(t, client, base+path)
		return page, answer
	}
	for _, c := range []struct{ path, accept, want string }{
		{"/glossary", "", "en"},
		{"/glossary", "de-AT,de;q=0.9,en;q=0.5", "de"},
		{"/glossary", "fr, en;q=0.2", "en"},
		{"/glossary", "\x80;;;q=,", "en"},
		{"/glossary", strings.Repeat("de,", 5000), "en"},
		{"/glossary?lang=xx", "", "en"},
		{"/glossary?lang=de", "en", "de"},
		{"/glossary", "en", "de"}, // kept in the cookie
		{"/nowhere", "en", "de"},
		{"/glossary?lang=en", "de", "en"},
		{"/glossary", "de", "en"},
	} {
		if _, answer := ask(c.path, c.accept); answer.Header.Get("Content-Language") != c.want {
			t.Errorf("%s with %.20q speaks %q, want %q", c.path, c.accept, answer.Header.Get("Content-Language"), c.want)
		}
	}
	page, _ := ask("/log?party=mit_bound&lang=de", "")
	if !strings.Contains(page, `<html lang="de"`) || !strings.Contains(page, `<a href="/log?lang=en&amp;party=mit_bound"`) {
		t.Error("the page does not say its language, or its switch leads elsewhere")
	}
	if strings.Contains(page, "kind=dns&amp;lang=") {
		t.Error("links of the page repeat the choice of the language")
	}
}

// TestNothingIsLeftInEnglish looks at every page in German and asks the catalogue for what it had to leave as it is.
func TestNothingIsLeftInEnglish(t *testing.T) {
	p, base, client := siteAndPages(t)
	for _, path := range everyPage {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		if _, page := get(t, client, base+path+separator+"lang=de"); !strings.Contains(page, `<html lang="de"`) {
			t.Errorf("%s is not in German", path)
		}
	}
	for _, text := range p.catalogue.Languages[1].Unworded() {
		if !strings.Contains(text, "<script>") && text != "" {
			t.Errorf("nothing in German for %q", text)
		}
	}
}

// TestLedgerSpeaksGermanToo compares the sentences in the ledger's code with the catalogue.
func TestLedgerSpeaksGermanToo(t *testing.T) {
	w := newTestPages(t).catalogue.Languages[1]
	sentence := regexp.MustCompile(`^[A-Z%].* .*[.]$`)
	count := 0
	for _, file := range []string{"../ledger/report/verdict.go", "../ledger/verify.go"} {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			b, ok := n.(*ast.BasicLit)
			if !ok || b.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(b.Value)
			if err != nil || !sentence.MatchString(text) {
				return true
			}
			count++
			text = strings.ReplaceAll(text, "%d", "7")
			if w.Said(text) == text {
				t.Errorf("%s: nothing in German for %q", file, text)
			}
			return true
		})
	}
	if count < 20 {
		t.Errorf("only %d sentences were found", count)
	}
	if got := w.Said("The log does not verify: row 12: it is missing: the store goes on with row 14"); got != "Das Protokoll hält der Prüfung nicht stand: Eintrag 12: er fehlt: der Speicher geht mit Eintrag 14 weiter" {
		t.Errorf("said %q", got)
	}
	for english, german := range map[string]string{
		(&ledger.Predecessor{Where: "row 3", Detail: "it is missing", Kept: "damaged-1"}).Sentence():                             "Das Protokoll vor diesem ist beschädigt bei Eintrag 3: er fehlt. Es liegt aufbewahrt in damaged-1. Sein letzter guter Prüfpunkt ist nicht lesbar.",
		(&ledger.Predecessor{Origin: "a/b", Where: "row 3", Detail: "it is missing", Kept: "d", Size: 7, Root: "x="}).Sentence(): "Das Protokoll vor diesem, a/b, ist beschädigt bei Eintrag 3: er fehlt. Es liegt aufbewahrt in d. Sein letzter guter Prüfpunkt spricht von 7 Einträgen (Wurzel x=).",
		"The log is damaged at row 0: it is missing.":                                                                            "Das Protokoll ist beschädigt bei Eintrag 0: er fehlt.",
	} {
		if got := w.Said(english); got != german {
			t.Errorf("%q became %q", english, got)
		}
	}
	for _, foreign := range []string{hostile, "", strings.Repeat("x ", 5000), "row "} {
		if got := w.Said(foreign); got != foreign {
			t.Errorf("%.40q became %.40q", foreign, got)
		}
	}
}

var (
	scriptSays   = regexp.MustCompile(`\bt\("((?:[^"\\]|\\.)*)"`)
	verifierSays = regexp.MustCompile("(?:Tampered|Error|notChecked\\.push)\\((?:\"((?:[^\"\\\\]|\\\\.)*)\"|`([^`]*)`)(?:, \"((?:[^\"\\\\]|\\\\.)*)\")?")
	scriptPlace  = regexp.MustCompile(`\$?\{[^}]*\}`)
)

func TestScriptsSayNothingPastTheCatalogue(t *testing.T) {
	have := newTestPages(t).catalogue.Languages[1].Browser()
	shape := func(text string) string {
		return scriptPlace.ReplaceAllString(strings.ReplaceAll(text, `\"`, `"`), "{}")
	}
	shapes, used := map[string]bool{}, map[string]bool{}
	for text := range have {
		shapes[shape(text)] = true
	}
	files, err := filepath.Glob("static/*.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range slices.Concat(scriptSays.FindAllStringSubmatch(string(text), -1), verifierSays.FindAllStringSubmatch(string(text), -1)) {
			for _, said := range m[1:] {
				if said == "" {
					continue
				}
				used[shape(said)] = true
				if !shapes[shape(said)] {
					t.Errorf("%s says %q", file, said)
				}
			}
		}
	}
	if len(used) < 60 {
		t.Errorf("only %d texts were found", len(used))
	}
	for text := range have {
		if !used[shape(text)] {
			t.Errorf("no script says %q", text)
		}
	}
}

func TestBrowserWordsHoldNothingOfTheLog(t *testing.T) {
	base, _ := site(t)
	status, text := get(t, &http.Client{}, base+"/words/de.json")
	if status != 200 || !strings.Contains(text, "Unversehrt.") {
		t.Errorf("status %d: %.80s", status, text)
	}
	for _, other := range []string{"/words/en.json", "/words/" + url.PathEscape("../ui.go"), "/words/xx.json"} {
		if status, _ := get(t, &http.Client{}, base+other); status != 404 {
			t.Errorf("%s: status %d", other, status)
		}
	}
}
