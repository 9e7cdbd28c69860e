// Package ui serves the web pages: the Trust Report, the Audit Log with a page for every row, the verification and the glossary. Pages are
// rendered from embedded templates out of sealed rows, in the reader's language; nothing is fetched from elsewhere and nothing is stored.
package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"

	"netaudit/api"
	"netaudit/ledger"
	"netaudit/ledger/proof"
	"netaudit/ledger/report"
	"netaudit/ui/words"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// Options says what the pages show.
type Options struct {
	Ledger   *ledger.Ledger // required
	Rules    report.Rules
	Tokens   *api.Tokens    // required
	Verifier *api.Verifier  // nil: one that verifies on demand only
	Access   *api.AccessLog // nil: who logs in is not written down
	Settings []Setting      // the configuration in effect; read-only
	Version  string
	Host     string // name of the watched host
	Logger   *slog.Logger
}

// pages holds what the handlers share; all of it is read-only or safe for concurrent use.
type pages struct {
	o         Options
	catalogue *words.Catalogue
	templates map[pageKey]*template.Template
}

// pageKey is a page in a language.
type pageKey struct{ name, language string }

// pageNames are the templates that are pages.
var pageNames = []string{"report", "log", "record", "groups", "traffic", "coverage", "verify", "glossary", "settings", "access", "login", "denied", "problem"}

// pageScripts are the modules of single pages; every page has app.js.
var pageScripts = map[string][]string{"log": {"log.js"}, "record": {"verify.js"}, "verify": {"verify.js"}}

// frame is what every page has around its content.
type frame struct {
	Title, Active, Host, Version string
	Language                     string
	Languages                    []languageLink
	LoggedIn                     bool
	Auditor, Admin               bool // of the reader
	Scripts                      []string
	Content                      any
}

// Mount adds the pages to the API's engine.
func Mount(r *gin.Engine, o Options) error {
	_, err := mount(r, o)
	return err
}

func mount(r *gin.Engine, o Options) (*pages, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Verifier == nil {
		o.Verifier = api.NewVerifier(o.Ledger)
	}
	p, err := newPages(o)
	if err != nil {
		return nil, err
	}
	static, err := fs.Sub(staticFiles, "static")
	if err != nil {
		return nil, fmt.Errorf("find the stylesheet: %w", err)
	}
	tags, err := tagsOf(static)
	if err != nil {
		return nil, err
	}
	p.routes(r, static, tags)
	return p, nil
}

// newPages reads catalogue and templates: every page in every language.
func newPages(o Options) (*pages, error) {
	catalogue, err := words.New()
	if err != nil {
		return nil, err
	}
	p := &pages{o: o, catalogue: catalogue, templates: map[pageKey]*template.Template{}}
	for _, w := range catalogue.Languages {
		for _, name := range pageNames {
			t, err := template.New("layout.html").Funcs(functions(w)).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/keys.html", "templates/"+name+".html")
			if err != nil {
				return nil, fmt.Errorf("read the page %s: %w", name, err)
			}
			p.templates[pageKey{name, w.Tag}] = t
		}
	}
	return p, nil
}

// tagsOf names the content of each file (RFC 9110, section 8.8.3): browsers ask whether theirs is still right, and fetch it again only after an upgrade.
func tagsOf(static fs.FS) (map[string]string, error) {
	tags := map[string]string{}
	err := fs.WalkDir(static, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(static, name)
		tags["/"+name] = fmt.Sprintf(`"%x"`, sha256.Sum256(text))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the files of the pages: %w", err)
	}
	return tags, nil
}

func (p *pages) routes(r *gin.Engine, static fs.FS, tags map[string]string) {
	files := http.StripPrefix("/static/", http.FileServerFS(static))
	r.GET("/static/*file", func(c *gin.Context) {
		c.Header("Cache-Control", "no-cache")
		if tag := tags[c.Param("file")]; tag != "" {
			c.Header("ETag", tag)
		}
		files.ServeHTTP(c.Writer, c.Request)
	})
	r.GET("/words/:file", p.browserWords)
	open := r.Group("/", p.language)
	open.GET("/login", p.login)
	open.POST("/login", p.loginWithToken)
	open.POST("/logout", p.logout)
	anybody := open.Group("/", p.session)
	anybody.GET("/glossary", func(c *gin.Context) {
		p.show(c, http.StatusOK, "glossary", "Glossary", "glossary", p.words(c).Glossary)
	})
	anybody.GET("/access", p.need(api.Roles...), p.access)
	anybody.GET("/settings", p.need(api.RoleAdmin), p.settings)
	inside := anybody.Group("/", p.need(api.RoleAuditor))
	inside.GET("/", p.report)
	inside.GET("/log", p.log)
	inside.GET("/log/news", p.news)
	inside.GET("/log/export.csv", p.exportCSV)
	inside.GET("/log/export.ndjson", p.exportLines)
	inside.GET("/log/:seq", p.record)
	inside.GET("/log/:seq/row", p.rowBytes)
	inside.GET("/modules", p.groups(report.ByModule, "Modules", "every addon and program that made a call, the most bytes first"))
	inside.GET("/destinations", p.groups(report.ByDestination, "Destinations", "every place that was called, the most bytes first"))
	inside.GET("/traffic", p.traffic)
	inside.GET("/coverage", p.coverage)
	inside.GET("/verify", p.verify)
	inside.GET("/verify/verify_bundle.py", func(c *gin.Context) { c.Data(http.StatusOK, "text/x-python; charset=utf-8", proof.PythonProgram) })
	r.NoRoute(p.language, func(c *gin.Context) {
		p.problem(c, http.StatusNotFound, "There is no such page", "The address may be mistyped, or the page is of another version.")
	})
}

// show renders into memory first: a page that fails half-way is an error page, not half a page. The title is an English text with its values.
func (p *pages) show(c *gin.Context, status int, name, title, active string, content any, values ...any) {
	var page bytes.Buffer
	w := p.words(c)
	reader, known := p.o.Tokens.Reader(c.Request)
	err := p.templates[pageKey{name, w.Tag}].Execute(&page, frame{
		Title: w.Text(title, values...), Active: active, Host: p.o.Host, Version: p.o.Version, Language: w.Tag, Languages: p.languageLinks(c),
		LoggedIn: known, Auditor: reader.Has(api.RoleAuditor), Admin: reader.Has(api.RoleAdmin), Scripts: pageScripts[name], Content: content,
	})
	if err != nil {
		p.o.Logger.Error("a page could not be rendered", "page", name, "error", err)
		c.String(http.StatusInternalServerError, w.Text("This page could not be rendered; the log of netaudit says why."))
		return
	}
	c.Data(status, "text/html; charset=utf-8", page.Bytes())
}

type problemContent struct {
	Title, Detail string
	Missing       bool // what was asked for is not there; else something went wrong
}

// problem explains a mistake. Title and detail are English texts; the values are the detail's.
func (p *pages) problem(c *gin.Context, status int, title, detail string, values ...any) {
	w := p.words(c)
	p.show(c, status, "problem", title, "", problemContent{w.Text(title), w.Text(detail, values...), status == http.StatusNotFound})
}

// failed tells the reader that something could not be read, and the log why.
func (p *pages) failed(c *gin.Context, doing string, err error) {
	p.o.Logger.Error("a page failed", "doing", doing, "error", err)
	w := p.words(c)
	p.problem(c, http.StatusInternalServerError, "This could not be shown", "netaudit could not {do}: {why}.", w.Text(doing), w.Said(err.Error()))
}
