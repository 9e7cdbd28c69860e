package ui

import (
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"netaudit/ledger"
)

// mostNews bounds the rows that one question after newer ones looks at; the next question goes on from there.
const mostNews = 5000

// newsBody says how many of the rows from After on are chosen, and where to go on asking.
type newsBody struct {
	Count int    `json:"count"`
	After uint64 `json:"after"`
}

// news tells a page of the Audit Log how many rows came since it was made, so that it can announce them without moving what is read.
func (p *pages) news(c *gin.Context) {
	after, err := strconv.ParseUint(c.Query("after"), 10, 63)
	if err != nil {
		c.Status(http.StatusBadRequest)
		return
	}
	q, body, looked := p.queryOf(c), newsBody{After: after}, 0
	err = p.o.Ledger.Rows(c.Request.Context(), after, func(row ledger.Row) bool {
		if looked == mostNews {
			return false
		}
		looked++
		body.After = row.Seq + 1
		if _, ok := q.match(row.JSON); ok {
			body.Count++
		}
		return true
	})
	if err != nil {
		p.o.Logger.Error("newer rows could not be counted", "error", err)
		c.Status(http.StatusInternalServerError)
		return
	}
	c.JSON(http.StatusOK, body)
}
