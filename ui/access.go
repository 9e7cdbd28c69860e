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

// access lists who was let in and what left, newest first. It looks at as many rows as a page of the Audit Log does.
func (p *pages) access(c *gin.Context) {
	before := p.o.Ledger.Size()
	if n, err := strconv.ParseUint(c.Query("before"), 10, 63); err == nil {
		before = min(before, n)
	}
	w := p.words(c)
	var content accessContent
	scanned, lowest, more := 0, before, false
	err := p.o.Ledger.RowsBackward(c.Request.Context(), before, func(row ledger.Row) bool {
		if len(content.Rows) == mostAccesses || scanned == mostScanned {
			more = true
			return false
		}
		scanned++
		lowest = row.Seq
		e, err := ledger.ParseEvent(row.JSON)
		if err != nil || e.Kind != "access" {
			return true
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
	if more {
		content.Older = "/access?before=" + strconv.FormatUint(lowest, 10)
	}
	p.show(c, http.StatusOK, "access", "Access", "access", content)
}
