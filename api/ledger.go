package api

import (
	"context"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"netaudit/ledger/report"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// WindowInput is the stretch of ingest time that an answer is about. It is exported because huma reads exported embedded structs only.
type WindowInput struct {
	Since time.Time `query:"since" doc:"Default: 24 hours before until"`
	Until time.Time `query:"until" doc:"Default: now"`
}

func (in *WindowInput) window() (from, to time.Time, err error) {
	from, to = in.Since, in.Until
	if to.IsZero() {
		to = time.Now()
	}
	if from.IsZero() {
		from = to.Add(-24 * time.Hour)
	}
	if !from.Before(to) {
		return from, to, huma.Error400BadRequest("since must lie before until")
	}
	return from, to, nil
}

type verifyBody struct {
	Status     string    `json:"status" enum:"intact,tampered,cannot_tell"`
	Size       uint64    `json:"size"`
	From       uint64    `json:"from" doc:"The first row that was read: above 0 when only rows since the last verification were"`
	Where      string    `json:"where,omitempty"`
	Detail     string    `json:"detail,omitempty"`
	Checked    []string  `json:"checked"`
	NotChecked []string  `json:"not_checked"`
	At         time.Time `json:"at"`
	ElapsedMS  int64     `json:"elapsed_ms"`
}

func (s *server) registerLedger(a huma.API) {
	text := map[string]*huma.Response{"200": {Description: "C2SP signed note", Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: "string"}}}}}
	huma.Register(a, huma.Operation{
		OperationID: "get-report", Method: http.MethodGet, Path: "/api/v1/report", Summary: "The Trust Report over a window",
		Tags: []string{"report"}, Security: security, Errors: []int{400, 401, 429},
	}, s.getReport)
	huma.Register(a, huma.Operation{
		OperationID: "get-checkpoint", Method: http.MethodGet, Path: "/api/v1/ledger/checkpoint", Summary: "Newest signed checkpoint",
		Tags: []string{"ledger"}, Security: security, Errors: []int{401, 429}, Responses: text,
	}, func(context.Context, *struct{}) (*textOutput, error) {
		return &textOutput{"text/plain; charset=utf-8", s.o.Ledger.PublicCheckpoint().Note}, nil
	})
	huma.Register(a, huma.Operation{
		OperationID: "verify-ledger", Method: http.MethodGet, Path: "/api/v1/ledger/verify", Summary: "Recompute every hash of the log now",
		Tags: []string{"ledger"}, Security: security, Errors: []int{401, 429},
	}, s.verify)
	huma.Register(a, huma.Operation{
		OperationID: "get-traffic", Method: http.MethodGet, Path: "/api/v1/traffic", Summary: "Calls added up by module, destination, party, channel or pair, over whole hours",
		Tags: []string{"report"}, Security: security, Errors: []int{400, 401, 429},
	}, s.traffic)
	huma.Register(a, huma.Operation{
		OperationID: "list-seals", Method: http.MethodGet, Path: "/api/v1/ledger/seals", Summary: "Every daily seal, oldest first",
		Tags: []string{"ledger"}, Security: security, Errors: []int{401, 429},
	}, s.seals)
	huma.Register(a, huma.Operation{
		OperationID: "get-consistency", Method: http.MethodGet, Path: "/api/v1/ledger/consistency", Summary: "Proof that the log was only extended between two of its sizes (RFC 6962)",
		Tags: []string{"ledger"}, Security: security, Errors: []int{400, 401, 429},
	}, s.consistency)
	huma.Register(a, huma.Operation{
		OperationID: "get-bundle", Method: http.MethodGet, Path: "/api/v1/ledger/bundle", Summary: "Rows with their proof, as a file that anybody can check",
		Description: "A zip file: see docs/verify.md. Without rows and day it holds the whole log.",
		Tags:        []string{"ledger"}, Security: security, Errors: []int{400, 401, 404, 429},
		Responses: map[string]*huma.Response{"200": {Description: "Proof bundle", Content: map[string]*huma.MediaType{"application/zip": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}},
	}, s.bundle)
}

func (s *server) getReport(ctx context.Context, in *WindowInput) (*struct{ Body report.Report }, error) {
	from, to, err := in.window()
	if err != nil {
		return nil, err
	}
	rules := s.o.Rules
	rules.Damage = s.o.Verifier.Damage()
	r, err := report.Build(ctx, s.o.Ledger, from, to, rules)
	if err != nil {
		return nil, err
	}
	return &struct{ Body report.Report }{r}, nil
}

type trafficInput struct {
	WindowInput
	By string `query:"by" enum:"module,destination,party,channel,pair" default:"module"`
}

type trafficBody struct {
	Groups []report.Group `json:"groups" doc:"The most bytes first"`
}

func (s *server) traffic(ctx context.Context, in *trafficInput) (*struct{ Body trafficBody }, error) {
	from, to, err := in.window()
	if err != nil {
		return nil, err
	}
	groups, err := report.Traffic(ctx, s.o.Ledger, from, to, in.By)
	if err != nil {
		return nil, err
	}
	return &struct{ Body trafficBody }{trafficBody{groups}}, nil
}

type verifyInput struct {
	SinceLast bool `query:"since_last" doc:"Only the rows that came since the last verification"`
}

func (s *server) verify(ctx context.Context, in *verifyInput) (*struct{ Body verifyBody }, error) {
	verify := s.o.Verifier.Verify
	if in.SinceLast {
		verify = s.o.Verifier.VerifyNew
	}
	v, err := verify(ctx)
	if err != nil {
		return nil, err
	}
	out := verifyBody{
		Status: v.Status.String(), Size: v.Size, From: v.From, Checked: v.Checked, NotChecked: v.NotChecked, At: v.At.UTC(), ElapsedMS: v.Elapsed.Milliseconds(),
	}
	if d := v.Damage; d != nil {
		out.Where, out.Detail = Place(d), d.Detail
	}
	return &struct{ Body verifyBody }{out}, nil
}

// checkpointNote serves /checkpoint to stock C2SP clients. A checkpoint says how many rows there are and nothing of what they say.
func (s *server) checkpointNote(c *gin.Context) {
	newest := s.o.Ledger.PublicCheckpoint()
	if reader, ok := s.o.Tokens.Reader(c.Request); ok {
		s.o.Access.Exported(c.Request.Context(), c.Request, reader, "the newest tree head,", newest.Size)
	}
	c.Data(http.StatusOK, "text/plain; charset=utf-8", newest.Note)
}

// tile serves /tile/<level>/<index>[.p/<width>] and, with a token, /tile/entries/<index>[.p/<width>] (c2sp.org/tlog-tiles@v0.1.0): hashes are open to everybody, rows are not.
func (s *server) tile(c *gin.Context) {
	path := strings.TrimPrefix(c.Param("path"), "/")
	index, entries := strings.CutPrefix(path, "entries/")
	if entries {
		path = "0/" + index
	}
	level, n, width, ok := parseTilePath(path)
	if !ok {
		c.Status(http.StatusNotFound)
		return
	}
	if entries && !s.asksAsAuditor(c.Request) {
		c.Status(http.StatusUnauthorized)
		return
	}
	read := func() ([]byte, error) { return s.o.Ledger.Tile(level, n, width) }
	if entries {
		read = func() ([]byte, error) { return s.o.Ledger.EntryBundle(n, width) }
	}
	data, err := read()
	if err != nil {
		c.Status(http.StatusNotFound)
		return
	}
	c.Data(http.StatusOK, "application/octet-stream", data)
}

// parseTilePath reads "0/x001/234.p/56".
func parseTilePath(path string) (level int, n int64, width int, ok bool) {
	width = 256
	if before, w, found := strings.Cut(path, ".p/"); found {
		v, err := strconv.Atoi(w)
		if err != nil || v < 1 || v > 255 || strconv.Itoa(v) != w {
			return 0, 0, 0, false
		}
		path, width = before, v
	}
	parts := strings.Split(path, "/")
	if len(parts) < 2 || len(parts) > 7 {
		return 0, 0, 0, false
	}
	level, err := strconv.Atoi(parts[0])
	if err != nil || level < 0 || level > 7 {
		return 0, 0, 0, false
	}
	for i, part := range parts[1:] {
		if i < len(parts)-2 {
			if part, ok = strings.CutPrefix(part, "x"); !ok {
				return 0, 0, 0, false
			}
		}
		v, err := strconv.ParseUint(part, 10, 16)
		if err != nil || len(part) != 3 {
			return 0, 0, 0, false
		}
		n = n*1000 + int64(v)
	}
	return level, n, width, true
}
