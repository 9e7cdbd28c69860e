package ui

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

// column is one column of the Audit Log that readers may choose. The row's number always stands first.
type column struct {
	Key, Label string
	Term       string // of the glossary, "" for none
	Number     bool   // aligned to the right
	owner      bool   // says who called: a mirror port cannot know
	usual      bool   // shown unless the reader chose
	Chosen     bool
}

var columns = []column{
	{Key: "time", Label: "Time", usual: true},
	{Key: "direction", Label: "Direction", usual: true},
	{Key: "channel", Label: "Channel", Term: "channel", usual: true},
	{Key: "dest", Label: "Destination", usual: true},
	{Key: "party", Label: "Party", usual: true},
	{Key: "addon", Label: "Addon or program", Term: "addon", owner: true, usual: true},
	{Key: "process", Label: "Process", owner: true},
	{Key: "confidence", Label: "Confidence", Term: "confidence", owner: true},
	{Key: "source", Label: "From|address"},
	{Key: "sent", Label: "Sent", Number: true, usual: true},
	{Key: "received", Label: "Received", Number: true, usual: true},
	{Key: "lasted", Label: "Lasted", Number: true},
	{Key: "result", Label: "Result", Term: "tcp-state", usual: true},
}

// columnsCookie keeps the columns that a reader chose; it holds nothing else.
const columnsCookie = "netaudit_columns"

const columnsLife = 365 * 24 * 3600 // seconds

// columnsOf are the columns that an installation can fill, with those marked that the address, else the cookie, else nobody chose.
func (p *pages) columnsOf(c *gin.Context) []column {
	keys := c.Query("cols")
	if keys == "" {
		if cookie, err := c.Request.Cookie(columnsCookie); err == nil {
			keys = cookie.Value
		}
	}
	wanted := strings.Split(keys, ".")
	var list []column
	any := false
	for _, col := range columns {
		if col.owner && p.packetsOnly() {
			continue
		}
		col.Chosen = slices.Contains(wanted, col.Key)
		any = any || col.Chosen
		list = append(list, col)
	}
	if !any { // also when all that is named is not known
		for i := range list {
			list[i].Chosen = list[i].usual
		}
	}
	return list
}

// packetsOnly says whether the rows know packets only: no process can be seen.
func (p *pages) packetsOnly() bool {
	return p.o.Rules.Install == "mirror" || p.o.Rules.Install == "replay"
}

// keepColumns answers the form in which columns are chosen: the choice goes into the address, so that it can be shared, and into the cookie, so that it stays.
func keepColumns(c *gin.Context, query url.Values) {
	chosen := strings.Join(query["col"], ".")
	query.Del("col")
	http.SetCookie(c.Writer, &http.Cookie{
		Name: columnsCookie, Value: chosen, Path: "/", MaxAge: columnsLife, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.Request.TLS != nil,
	})
	c.Redirect(http.StatusSeeOther, "/log?"+with(query, "cols", chosen))
}

func chosenColumns(list []column) (out []column) {
	for _, col := range list {
		if col.Chosen {
			out = append(out, col)
		}
	}
	return out
}
