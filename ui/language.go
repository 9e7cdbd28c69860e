package ui

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"netaudit/ui/words"
)

// languageCookie keeps the language that a reader chose; it holds nothing else.
const languageCookie = "netaudit_lang"

// languageLife is how long a choice is kept, in seconds.
const languageLife = 365 * 24 * 3600

// language chooses what the answer speaks: ?lang=, which is then kept in a cookie, the cookie, the browser's wish, English.
func (p *pages) language(c *gin.Context) {
	query := c.Request.URL.Query()
	asked := query.Get("lang")
	kept := ""
	if cookie, err := c.Request.Cookie(languageCookie); err == nil {
		kept = cookie.Value
	}
	w := p.catalogue.Choose(c.GetHeader("Accept-Language"), asked, kept)
	if asked == w.Tag && asked != kept {
		http.SetCookie(c.Writer, &http.Cookie{
			Name: languageCookie, Value: asked, Path: "/", MaxAge: languageLife, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.Request.TLS != nil,
		})
	}
	if query.Has("lang") { // links of the page repeat its query, and must not repeat the choice
		query.Del("lang")
		c.Request.URL.RawQuery = query.Encode()
	}
	c.Header("Content-Language", w.Tag)
	c.Header("Vary", "Accept-Language, Cookie")
	c.Set(wordsKey, w)
	c.Next()
}

const wordsKey = "words"

// words is the language of an answer; every handler of the pages runs behind language.
func (p *pages) words(c *gin.Context) *words.Words {
	if w, ok := c.Value(wordsKey).(*words.Words); ok {
		return w
	}
	return p.catalogue.Languages[0]
}

// languageLink leads to the same page in another language.
type languageLink struct {
	Tag, Name, Link string
	Chosen          bool
}

func (p *pages) languageLinks(c *gin.Context) []languageLink {
	current := p.words(c)
	links := make([]languageLink, 0, len(p.catalogue.Languages))
	for _, w := range p.catalogue.Languages {
		query := url.Values{"lang": {w.Tag}}
		path := "/"
		if c.Request.Method == http.MethodGet {
			path = c.Request.URL.Path
			for k, v := range c.Request.URL.Query() {
				if k != "code" { // of a login that works once
					query[k] = v
				}
			}
		}
		links = append(links, languageLink{w.Tag, w.Name, path + "?" + query.Encode(), w == current})
	}
	return links
}

// browserWords serves what scripts say, as an object from the English text to that of the language. It holds nothing of the log.
func (p *pages) browserWords(c *gin.Context) {
	tag := strings.TrimSuffix(c.Param("file"), ".json")
	for _, w := range p.catalogue.Languages {
		if w.Tag == tag && !w.English() {
			c.JSON(http.StatusOK, w.Browser())
			return
		}
	}
	c.Status(http.StatusNotFound)
}
