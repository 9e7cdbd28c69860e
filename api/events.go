package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"netaudit/ledger"
)

// Filter chooses rows. Empty fields choose everything.
type Filter struct {
	Kind      string `query:"kind" doc:"flow, dns, http, heartbeat, gap, lifecycle, …" example:"flow"`
	State     string `query:"state" doc:"update or closed"`
	Direction string `query:"direction" doc:"outbound, inbound, local, transit"`
	Channel   string `query:"channel" doc:"https, smtp, dns, …"`
	Addon     string `query:"addon" doc:"Addon that made the call, or on whose behalf it was made; a program in parentheses"`
	Dest      string `query:"dest" doc:"Name or address of the destination"`
	Process   string `query:"process" doc:"File or name of the program"`
	Party     string `query:"party" doc:"mit_bound, third_party or internal"`
	Name      string `query:"name" doc:"Beginning of a destination, of a name asked, of an addon or of a program" maxLength:"200"`
	Text      string `query:"q" doc:"Text anywhere in the row. There is no index for it: a page looks at a bounded number of rows, and the next one goes on there" maxLength:"200"`
}

// Query is the same question to the ledger.
func (f *Filter) Query() ledger.Query {
	return ledger.Query{
		Kind: f.Kind, State: f.State, Direction: f.Direction, Channel: f.Channel, Addon: f.Addon, Dest: f.Dest, Process: f.Process, Party: f.Party,
		Name: f.Name, Text: f.Text,
	}
}

type eventsInput struct {
	Filter
	Cursor string    `query:"cursor" doc:"next_cursor of the answer before; empty: from the beginning"`
	Limit  int       `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
	Since  time.Time `query:"since" doc:"Rows that the log took at or after this time"`
	Until  time.Time `query:"until" doc:"… and before this time"`
	Accept string    `header:"Accept" doc:"application/x-ndjson: the stored lines alone, one a row; the cursor is in the header Next-Cursor"`
}

type eventsOutput struct {
	NextCursor  string `header:"Next-Cursor"`
	ContentType string `header:"Content-Type"`
	Body        any
}

type eventsBody struct {
	Events     []json.RawMessage `json:"events" doc:"The rows exactly as stored and hashed"`
	NextCursor string            `json:"next_cursor" doc:"Always there; unchanged when nothing new came"`
	HasMore    bool              `json:"has_more"`
	Checkpoint string            `json:"checkpoint" doc:"Newest signed checkpoint: keep it, it proves what you fetched"`
}

type seqInput struct {
	Seq uint64 `path:"seq" doc:"Position in the log, from 0"`
}

type eventBody struct {
	ID    string          `json:"id" doc:"Stable id for deduplication: log and position"`
	Seq   uint64          `json:"seq"`
	Leaf  string          `json:"leaf" doc:"RFC 6962 leaf hash, hex"`
	Chain string          `json:"chain" doc:"Row hash, hex"`
	Row   json.RawMessage `json:"row" doc:"The row exactly as stored"`
}

type textOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

var security = []map[string][]string{{"token": {}}}

func (s *server) registerEvents(a huma.API) {
	huma.Register(a, huma.Operation{
		OperationID: "list-events", Method: http.MethodGet, Path: "/api/v1/events", Summary: "Rows in the order in which the log took them",
		Description: "Rows never come late behind a cursor: the order is that of the log. Delivery is at least once; use id to drop duplicates.",
		Tags:        []string{"events"}, Security: security, Errors: []int{400, 401, 429},
		Responses: map[string]*huma.Response{"200": {Description: "A page of rows", Content: map[string]*huma.MediaType{
			"application/json":     {Schema: huma.SchemaFromType(a.OpenAPI().Components.Schemas, typeOf[eventsBody]())},
			"application/x-ndjson": {Schema: &huma.Schema{Type: "string"}},
		}}},
	}, s.listEvents)
	huma.Register(a, huma.Operation{
		OperationID: "get-event", Method: http.MethodGet, Path: "/api/v1/events/{seq}", Summary: "One row with its hashes",
		Tags: []string{"events"}, Security: security, Errors: []int{401, 404, 429},
	}, s.getEvent)
	huma.Register(a, huma.Operation{
		OperationID: "get-event-proof", Method: http.MethodGet, Path: "/api/v1/events/{seq}/proof", Summary: "C2SP tlog-proof of one row",
		Tags: []string{"events"}, Security: security, Errors: []int{401, 404, 429},
		Responses: map[string]*huma.Response{"200": {Description: "c2sp.org/tlog-proof@v1", Content: map[string]*huma.MediaType{
			"text/plain": {Schema: &huma.Schema{Type: "string"}},
		}}},
	}, s.getProof)
}

// mostScanned bounds the rows that one page reads: a text that stands nowhere must not read the whole log in one request.
const mostScanned = 200_000

func (s *server) listEvents(ctx context.Context, in *eventsInput) (*eventsOutput, error) {
	from, err := s.start(in)
	if err != nil {
		return nil, huma.Error400BadRequest(err.Error())
	}
	body := eventsBody{Events: []json.RawMessage{}, Checkpoint: string(s.o.Ledger.Checkpoint().Note)}
	q := in.Query()
	q.From, q.To, q.MostRead = from, s.o.Ledger.Size(), mostScanned
	if !in.Until.IsZero() {
		q.To = min(q.To, s.o.Ledger.Since(in.Until))
	}
	next := from
	if from < q.To {
		next, err = s.o.Ledger.Search(ctx, q, func(row ledger.Row, _ *ledger.Event) bool {
			body.Events = append(body.Events, row.JSON)
			return len(body.Events) < in.Limit
		})
		body.HasMore = next < q.To
	}
	if err != nil {
		return nil, err
	}
	body.NextCursor = s.cursor(next)
	if !strings.Contains(in.Accept, "application/x-ndjson") {
		return &eventsOutput{NextCursor: body.NextCursor, ContentType: "application/json", Body: body}, nil
	}
	var lines []byte
	for _, e := range body.Events {
		lines = append(append(lines, e...), '\n')
	}
	return &eventsOutput{NextCursor: body.NextCursor, ContentType: "application/x-ndjson", Body: lines}, nil
}

func (s *server) start(in *eventsInput) (uint64, error) {
	from := uint64(0)
	if in.Cursor != "" {
		var err error
		if from, err = s.parseCursor(in.Cursor); err != nil {
			return 0, err
		}
	}
	if !in.Since.IsZero() {
		from = max(from, s.o.Ledger.Since(in.Since))
	}
	return from, nil
}

// cursor names the log and the next position, so that a cursor of another log is refused instead of skipping rows.
func (s *server) cursor(next uint64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatUint(next, 10) + "@" + s.o.Ledger.Origin()))
}

func (s *server) parseCursor(text string) (uint64, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return 0, errors.New("cursor: not one of ours; leave it away to begin anew")
	}
	number, origin, ok := strings.Cut(string(raw), "@")
	next, err := strconv.ParseUint(number, 10, 63)
	if !ok || err != nil {
		return 0, errors.New("cursor: not one of ours; leave it away to begin anew")
	}
	if origin != s.o.Ledger.Origin() {
		return 0, errors.New("cursor: it belongs to the log " + origin + ", this is " + s.o.Ledger.Origin() + "; leave it away to begin anew")
	}
	return next, nil
}

func (s *server) getEvent(_ context.Context, in *seqInput) (*struct{ Body eventBody }, error) {
	row, err := s.o.Ledger.Row(in.Seq)
	if err != nil {
		return nil, notFound(err)
	}
	out := &struct{ Body eventBody }{eventBody{
		ID: s.o.Ledger.Origin() + ":" + strconv.FormatUint(row.Seq, 10), Seq: row.Seq, Leaf: hex.EncodeToString(row.Leaf[:]),
		Chain: hex.EncodeToString(row.Chain[:]), Row: row.JSON,
	}}
	return out, nil
}

func (s *server) getProof(_ context.Context, in *seqInput) (*textOutput, error) {
	text, err := s.o.Ledger.Proof(in.Seq)
	if err != nil {
		return nil, notFound(err)
	}
	return &textOutput{"text/plain; charset=utf-8", text}, nil
}

func notFound(err error) error {
	if errors.Is(err, ledger.ErrNoRow) {
		return huma.Error404NotFound(err.Error())
	}
	return err
}
