package ui

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"netaudit/api"
	"netaudit/ledger"
)

// exportLines writes the rows that the Audit Log shows with this address, all of them and not only a page, exactly as they are hashed, one a line, the newest first.
func (p *pages) exportLines(c *gin.Context) {
	nothing := func() error { return nil }
	p.export(c, "application/x-ndjson", "ndjson", nothing, func(row ledger.Row, _ *ledger.Event) error {
		_, err := c.Writer.Write(append(row.JSON, '\n'))
		return err
	}, nothing)
}

// exportCSV writes the same rows with the columns that are shown, as RFC 4180 has it. Times are RFC 3339, sizes are bytes, durations microseconds.
func (p *pages) exportCSV(c *gin.Context) {
	shown := chosenColumns(p.columnsOf(c))
	w := csv.NewWriter(c.Writer)
	record := []string{"row", "kind"}
	for _, col := range shown {
		record = append(record, col.Key)
	}
	header := append(record, "message")
	p.export(c, "text/csv; charset=utf-8", "csv", func() error { return w.Write(header) }, func(row ledger.Row, e *ledger.Event) error {
		record = append(record[:0:0], strconv.FormatUint(row.Seq, 10), e.Kind)
		for _, col := range shown {
			record = append(record, harmless(plain(col.Key, e)))
		}
		message := ""
		if e.Dst == nil {
			message = summary(p.words(c), e)
		}
		return w.Write(append(record, harmless(message)))
	}, func() error {
		w.Flush()
		return w.Error()
	})
}

func (p *pages) export(c *gin.Context, media, suffix string, begin func() error, write func(ledger.Row, *ledger.Event) error, end func() error) {
	q := p.queryOf(c)
	reader, _ := p.o.Tokens.Reader(c.Request)
	p.o.Access.Note(c.Request.Context(), c.Request, api.AccessExport, fmt.Sprintf("%q exported rows of the Audit Log (%s)", reader.Name, suffix))
	c.Header("Content-Type", media)
	c.Header("Content-Disposition", `attachment; filename="netaudit-log.`+suffix+`"`)
	c.Status(http.StatusOK)
	failure := begin()
	_, _, err := p.find(c.Request.Context(), &q, true, func(row ledger.Row, e *ledger.Event) bool {
		if failure == nil {
			failure = write(row, e)
		}
		return failure == nil
	})
	if err = errors.Join(err, failure, end()); err != nil {
		p.o.Logger.Warn("an export was not written to its end", "error", err)
		cut(c)
	}
}

// cut ends the connection in the middle of an answer: a file that looks whole and is not would be worse than a failed download.
func cut(c *gin.Context) {
	w, ok := c.Writer.(interface{ Unwrap() http.ResponseWriter })
	if !ok {
		return
	}
	if conn, _, err := http.NewResponseController(w.Unwrap()).Hijack(); err == nil {
		_ = conn.Close() // nobody listens any more
	}
}

// plain is a column of a row for programs.
func plain(key string, e *ledger.Event) string {
	switch key {
	case "time":
		return time.Unix(0, e.Start).UTC().Format(time.RFC3339Nano)
	case "direction":
		return e.Direction
	case "channel":
		return e.Channel
	}
	if e.Dst == nil {
		return ""
	}
	switch key {
	case "dest":
		return destinationText(e)
	case "party":
		if e.Party != nil {
			return e.Party.Class
		}
	case "addon":
		return ledger.ModuleName(e)
	case "process":
		if e.Process != nil {
			return e.Process.Name + " " + strconv.Itoa(e.Process.PID)
		}
	case "confidence":
		if e.Evidence != nil {
			return e.Evidence.Confidence
		}
	case "source":
		return e.Src.IP
	case "sent":
		return countOf(e, e.SrcBytes)
	case "received":
		return countOf(e, e.DstBytes)
	case "lasted":
		return strconv.FormatInt(e.DurationUS, 10)
	case "result":
		return result(e)
	}
	return ""
}

func destinationText(e *ledger.Event) string {
	switch {
	case e.DNS != nil:
		return e.DNS.Name
	case e.Dst.Host != "":
		return e.Dst.Host
	default:
		return e.Dst.IP
	}
}

func countOf(e *ledger.Event, n int64) string {
	if !e.HasCounts {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// harmless keeps spreadsheets from taking a text of the wire for a formula (CWE-1236): an apostrophe stands before what would be one.
func harmless(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
