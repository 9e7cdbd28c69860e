package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"netaudit/api"
)

type loginContent struct {
	Next, Problem string
}

// session lets readers with a session or a token through and sends the others to the login.
func (p *pages) session(c *gin.Context) {
	if _, ok := p.o.Tokens.Reader(c.Request); ok {
		c.Next()
		return
	}
	c.Redirect(http.StatusSeeOther, "/login?next="+url.QueryEscape(c.Request.URL.RequestURI()))
	c.Abort()
}

// roleWords say what each role is for.
var roleWords = map[string]string{
	api.RoleAuditor: "auditor: reads metadata, verifies, exports proofs",
	api.RoleOfficer: "forensic officer: may look at captured bodies, and is watched doing so",
	api.RoleAdmin:   "admin: reads the configuration and who has access",
}

type deniedContent struct {
	Needed, Have []string // roles in words
}

// need lets readers through who have one of the roles. A role never implies another.
func (p *pages) need(roles ...string) gin.HandlerFunc {
	return func(c *gin.Context) {
		reader, _ := p.o.Tokens.Reader(c.Request)
		if slices.ContainsFunc(roles, reader.Has) {
			c.Next()
			return
		}
		w := p.words(c)
		var content deniedContent
		for _, role := range roles {
			content.Needed = append(content.Needed, w.Text(roleWords[role]))
		}
		for _, role := range reader.Roles {
			content.Have = append(content.Have, w.Text(roleWords[role]))
		}
		p.show(c, http.StatusForbidden, "denied", "This page needs another role", "", content)
		c.Abort()
	}
}

// login shows the form, or redeems the one-time code that netaudit printed.
func (p *pages) login(c *gin.Context) {
	code, next := c.Query("code"), ownPath(c.Query("next"))
	if code == "" {
		p.show(c, http.StatusOK, "login", "Log in", "", loginContent{Next: next})
		return
	}
	cookie, ok, err := p.o.Tokens.Redeem(code)
	p.noteLogin(c, cookie, ok)
	p.enter(c, next, cookie, ok, err, "This login was used already or has expired. Restart netaudit for a new one, or use a token.")
}

// enter sets the session's cookie, or says why there is none.
func (p *pages) enter(c *gin.Context, next, cookie string, ok bool, err error, refusal string) {
	switch {
	case err != nil:
		p.failed(c, "open a session", err)
	case !ok:
		p.show(c, http.StatusUnauthorized, "login", "Log in", "", loginContent{next, p.words(c).Text(refusal)})
	default:
		setCookie(c, cookie)
		c.Redirect(http.StatusSeeOther, next)
	}
}

func (p *pages) loginWithToken(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, 4096)
	next := ownPath(c.PostForm("next"))
	cookie, ok, err := p.o.Tokens.Session(strings.TrimSpace(c.PostForm("token")))
	p.noteLogin(c, cookie, ok)
	p.enter(c, next, cookie, ok, err, "This token is not known.")
}

func (p *pages) logout(c *gin.Context) {
	if cookie, err := c.Request.Cookie(api.SessionCookie); err == nil {
		if reader, ok := p.o.Tokens.BySession(cookie.Value); ok {
			p.o.Access.Note(c.Request.Context(), c.Request, api.AccessEnded, fmt.Sprintf("%q logged out", reader.Name))
		}
		p.o.Tokens.EndSession(cookie.Value)
	}
	http.SetCookie(c.Writer, &http.Cookie{Name: api.SessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	c.Redirect(http.StatusSeeOther, "/login")
}

// noteLogin writes down who was let in, or that somebody was not.
func (p *pages) noteLogin(c *gin.Context, cookie string, ok bool) {
	if !ok {
		p.o.Access.Note(c.Request.Context(), c.Request, api.AccessRefused, "A login was refused")
		return
	}
	if reader, known := p.o.Tokens.BySession(cookie); known {
		p.o.Access.Opened(c.Request.Context(), c.Request, reader)
	}
}

func setCookie(c *gin.Context, value string) {
	http.SetCookie(c.Writer, &http.Cookie{
		Name: api.SessionCookie, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.Request.TLS != nil,
	})
}

// ownPath keeps a redirect on this site: one slash, then anything but another.
func ownPath(next string) string {
	if len(next) < 1 || next[0] != '/' || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n") {
		return "/"
	}
	return next
}
