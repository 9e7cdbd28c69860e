package ui

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"netaudit/api"
	"netaudit/ledger"
)

// accessWords say what an access was, in a word or two.
var accessWords = map[string]string{
	api.AccessOpened:  "Login",
	api.AccessEnded:   "Logout",
	api.AccessRefused: "Refused",
	api.AccessToken:   "API",
	api.AccessExport:  "Export",
	api.AccessSetting: "Settings",
}

type accessRow struct {
	Seq     uint64
	At      time.Time
	Rule    string
	Word    string
	Refused bool
	Message string
}

type accessContent struct {
	Rows  []accessRow
	Older string
}

// mostAccesses bounds the rows of a page.
const mostAccesses = 100

// access lists who was let in and what left, newest first.
func (p *pages) access(c *gin.Context) {
	before := p.o.Ledger.Size()
	if n, err := strconv.ParseUint(c.Query("before"), 10, 63); err == nil {
		before = min(before, n)
	}
	w := p.words(c)
	var content accessContent
	full := false
	reached, err := p.o.Ledger.Search(c.Request.Context(), ledger.Query{Kind: "access", To: before, Backward: true}, func(row ledger.Row, e *ledger.Event) bool {
		if full = len(content.Rows) == mostAccesses; full {
			before = row.Seq + 1 // this row is on the next page
			return false
		}
		word := e.Rule
		if text, ok := accessWords[e.Rule]; ok {
			word = w.Text(text)
		}
		content.Rows = append(content.Rows, accessRow{row.Seq, time.Unix(0, e.Start).UTC(), e.Rule, word, e.Rule == api.AccessRefused, e.Message})
		return true
	})
	if err != nil {
		p.failed(c, "read the log", err)
		return
	}
	if !full {
		before = reached
	}
	if before > 0 {
		content.Older = "/access?before=" + strconv.FormatUint(before, 10)
	}
	p.show(c, http.StatusOK, "access", "Access", "access", content)
}
