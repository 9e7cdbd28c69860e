// Package ui serves the web pages: the Trust Report, the Audit Log with a page for every row, the verification and the glossary. Pages are
// rendered from embedded templates out of sealed rows; nothing is fetched from elsewhere and nothing is stored.
package ui

import (
	"bytes"
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
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// Options says what the pages show.
type Options struct {
	Ledger   *ledger.Ledger // required
	Rules    report.Rules
	Tokens   *api.Tokens   // required
	Verifier *api.Verifier // nil: one that verifies on demand only
	Version  string
	Host     string // name of the watched host
	Logger   *slog.Logger
}

// pages holds what the handlers share; all of it is read-only or safe for concurrent use.
type pages struct {
	o         Options
	templates map[string]*template.Template
}

// frame is what every page has around its content.
type frame struct {
	Title, Active, Host, Version string
	LoggedIn                     bool
	Content                      any
}

// Mount adds the pages to the API's engine.
func Mount(r *gin.Engine, o Options) error {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Verifier == nil {
		o.Verifier = api.NewVerifier(o.Ledger)
	}
	p := &pages{o: o, templates: map[string]*template.Template{}}
	for _, name := range []string{"report", "log", "record", "groups", "traffic", "coverage", "verify", "glossary", "login", "problem"} {
		t, err := template.New("layout.html").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/"+name+".html")
		if err != nil {
			return fmt.Errorf("read the page %s: %w", name, err)
		}
		p.templates[name] = t
	}
	static, err := fs.Sub(staticFiles, "static")
	if err != nil {
		return fmt.Errorf("find the stylesheet: %w", err)
	}
	files := http.StripPrefix("/static/", http.FileServerFS(static))
	r.GET("/static/*file", func(c *gin.Context) {
		c.Header("Cache-Control", "no-cache")
		files.ServeHTTP(c.Writer, c.Request)
	})
	r.GET("/login", p.login)
	r.POST("/login", p.loginWithToken)
	r.POST("/logout", p.logout)
	inside := r.Group("/", p.session)
	inside.GET("/", p.report)
	inside.GET("/log", p.log)
	inside.GET("/log/:seq", p.record)
	inside.GET("/log/:seq/row", p.rowBytes)
	inside.GET("/modules", p.groups(report.ByModule, "Modules", "every addon and program that made a call, the most bytes first"))
	inside.GET("/destinations", p.groups(report.ByDestination, "Destinations", "every place that was called, the most bytes first"))
	inside.GET("/traffic", p.traffic)
	inside.GET("/coverage", p.coverage)
	inside.GET("/verify", p.verify)
	inside.GET("/verify/verify_bundle.py", func(c *gin.Context) { c.Data(http.StatusOK, "text/x-python; charset=utf-8", proof.PythonProgram) })
	inside.GET("/glossary", func(c *gin.Context) { p.show(c, http.StatusOK, "glossary", "Glossary", "glossary", glossary) })
	r.NoRoute(func(c *gin.Context) {
		p.problem(c, http.StatusNotFound, "There is no such page", "The address may be mistyped, or the page is of another version.")
	})
	return nil
}

// show renders into memory first: a page that fails half-way is an error page, not half a page.
func (p *pages) show(c *gin.Context, status int, name, title, active string, content any) {
	var page bytes.Buffer
	err := p.templates[name].Execute(&page, frame{title, active, p.o.Host, p.o.Version, p.o.Tokens.Authorised(c.Request), content})
	if err != nil {
		p.o.Logger.Error("a page could not be rendered", "page", name, "error", err)
		c.String(http.StatusInternalServerError, "This page could not be rendered; the log of netaudit says why.")
		return
	}
	c.Data(status, "text/html; charset=utf-8", page.Bytes())
}

type problemContent struct{ Title, Detail string }

func (p *pages) problem(c *gin.Context, status int, title, detail string) {
	p.show(c, status, "problem", title, "", problemContent{title, detail})
}

// failed tells the reader that something could not be read, and the log why.
func (p *pages) failed(c *gin.Context, doing string, err error) {
	p.o.Logger.Error("a page failed", "doing", doing, "error", err)
	p.problem(c, http.StatusInternalServerError, "This could not be shown", "netaudit could not "+doing+": "+err.Error()+".")
}
