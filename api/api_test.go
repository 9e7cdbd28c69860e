package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"netaudit/ledger"
	"netaudit/ledger/report"
)

// service is the API over a real ledger of n calls.
type service struct {
	*httptest.Server
	t      *testing.T
	token  string
	ledger *ledger.Ledger
	tokens *Tokens
}

func serve(t *testing.T, n int) *service {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	l, err := ledger.Open(dir, ledger.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		class := "third_party"
		if i%10 == 0 {
			class = "mit_bound"
		}
		err := l.Append(t.Context(), ledger.Event{
			V: 1, Kind: "flow", State: "closed", Direction: "outbound", Channel: "https", Start: int64(i + 1), End: int64(i + 2), FlowID: fmt.Sprint("f", i),
			Src: &ledger.Endpoint{IP: "10.0.0.1", Port: 4000, HasPort: true}, Dst: &ledger.Endpoint{IP: "203.0.113.1", Port: 443, HasPort: true, Host: fmt.Sprintf("h%d.example", i%3), HostSource: "sni"},
			Party: &ledger.Party{Class: class, Name: "x", Rule: "r"}, Addon: &ledger.Addon{Name: fmt.Sprint("addon", i%2)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	tokens, err := OpenTokens(filepath.Join(dir, "tokens.json"))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := tokens.Create(RoleAuditor, "test")
	if err != nil {
		t.Fatal(err)
	}
	engine, err := New(Options{Ledger: l, Tokens: tokens, Version: "test", Host: "odoo-host", Rules: report.Rules{Install: "replay"}})
	if err != nil {
		t.Fatal(err)
	}
	s := &service{httptest.NewServer(engine), t, secret, l, tokens}
	t.Cleanup(func() {
		s.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// get returns status, body and headers of an answer.
func (s *service) get(path, token string, headers ...string) (int, string, http.Header) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		}
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(body), answer.Header
}

func TestCursorVisitsEveryRowOnce(t *testing.T) {
	s := serve(t, 95)
	var rows []string
	cursor := ""
	for page := 0; ; page++ {
		status, body, _ := s.get("/api/v1/events?limit=10&cursor="+url.QueryEscape(cursor), s.token)
		var answer eventsBody
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 {
			t.Fatalf("status %d, error %v: %s", status, err, body)
		}
		for _, e := range answer.Events {
			rows = append(rows, string(e))
		}
		if cursor = answer.NextCursor; !answer.HasMore {
			break
		}
	}
	if len(rows) != 95 {
		t.Fatalf("%d rows, want 95", len(rows))
	}
	for i, row := range rows {
		stored, err := s.ledger.Row(uint64(i))
		if err != nil || string(stored.JSON) != row {
			t.Fatalf("row %d is not the stored one: %s", i, row)
		}
	}
	if err := s.ledger.Append(t.Context(), ledger.Event{V: 1, Kind: "lifecycle", Rule: "stop", Message: "x", Start: 1, End: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, body, _ := s.get("/api/v1/events?cursor="+cursor, s.token)
	if n := strings.Count(body, `"seq":`); n != 1 || !strings.Contains(body, `"seq":95`) {
		t.Errorf("the old cursor gives %d rows, want the new one: %s", n, body)
	}
}

func TestFiltersChooseRows(t *testing.T) {
	s := serve(t, 60)
	for query, want := range map[string]int{"party=mit_bound": 6, "addon=addon1": 30, "dest=h0.example": 20, "kind=dns": 0, "q=H2.EXAMPLE": 20, "party=mit_bound&dest=h0.example": 2} {
		status, body, header := s.get("/api/v1/events?"+query, s.token, "Accept", "application/x-ndjson")
		if n := strings.Count(body, "\n"); status != 200 || n != want {
			t.Errorf("%s: status %d, %d lines, want %d", query, status, n, want)
		}
		if header.Get("Next-Cursor") == "" || header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%s: headers %v", query, header)
		}
	}
}

func TestWrongRequestsAreRefusedWithAReason(t *testing.T) {
	s := serve(t, 5)
	for _, c := range []struct {
		path, token string
		status      int
		says        string
	}{
		{"/api/v1/events", "", 401, "Authorization"},
		{"/api/v1/events", "na_wrong", 401, "Authorization"},
		{"/api/v1/report", "", 401, "Authorization"},
		{"/api/v1/events/0/proof", "", 401, "Authorization"},
		{"/api/v1/events/5", s.token, 404, "5"},
		{"/api/v1/events?limit=0", s.token, 422, "limit"},
		{"/api/v1/events?cursor=nonsense", s.token, 400, "cursor"},
		{"/api/v1/events?cursor=" + (&server{o: Options{Ledger: other(t)}}).cursor(3), s.token, 400, "belongs to the log"},
		{"/api/v1/report?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", s.token, 400, "before"},
		{"/tile/0/../../keys", "", 404, ""},
		{"/tile/9/000", "", 404, ""},
	} {
		status, body, _ := s.get(c.path, c.token)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: status %d, want %d with %q: %s", c.path, status, c.status, c.says, body)
		}
	}
}

func other(t *testing.T) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(filepath.Join(t.TempDir(), "other"), ledger.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestGuessingIsSlowedDown(t *testing.T) {
	s := serve(t, 1)
	for range mostFailures {
		s.get("/api/v1/events", "na_guess")
	}
	if status, _, header := s.get("/api/v1/events", "na_guess"); status != 429 || header.Get("Retry-After") == "" {
		t.Errorf("status %d after %d wrong tokens, want 429", status, mostFailures)
	}
}

func TestForeignNamesOfThisHostAreRefused(t *testing.T) {
	s := serve(t, 1)
	for host, want := range map[string]int{"127.0.0.1": 200, "localhost:8460": 200, "[::1]:8460": 200, "odoo-host": 200, "rebind.attacker.example": 421} {
		if status, _, _ := s.get("/healthz", "", "Host", host); status != want {
			t.Errorf("Host %s: status %d, want %d", host, status, want)
		}
	}
}

func TestEveryAnswerCarriesTheHeadersThatKeepThePagesToThemselves(t *testing.T) {
	s := serve(t, 1)
	for _, path := range []string{"/healthz", "/checkpoint", "/api/v1/events", "/openapi.json"} {
		_, _, header := s.get(path, s.token)
		csp := header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", path, header)
		}
	}
}

func TestDescriptionListsEveryEndpoint(t *testing.T) {
	s := serve(t, 1)
	status, body, _ := s.get("/openapi.json", s.token)
	var d struct {
		OpenAPI string         `json:"openapi"`
		Paths   map[string]any `json:"paths"`
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil || status != 200 || !strings.HasPrefix(d.OpenAPI, "3.1") {
		t.Fatalf("status %d, version %q, error %v", status, d.OpenAPI, err)
	}
	for _, path := range []string{"/api/v1/events", "/api/v1/events/{seq}", "/api/v1/events/{seq}/proof", "/api/v1/report", "/api/v1/ledger/checkpoint", "/api/v1/ledger/verify"} {
		if d.Paths[path] == nil {
			t.Errorf("%s is not described", path)
		}
	}
}

func TestVerifyAndCheckpointSpeakOfTheSameLog(t *testing.T) {
	s := serve(t, 20)
	_, body, _ := s.get("/api/v1/ledger/verify", s.token)
	var v verifyBody
	if err := json.Unmarshal([]byte(body), &v); err != nil || v.Status != "intact" || v.Size != 20 || len(v.Checked) == 0 || len(v.NotChecked) == 0 {
		t.Errorf("%+v, error %v", v, err)
	}
	_, signed, _ := s.get("/api/v1/ledger/checkpoint", s.token)
	_, open, _ := s.get("/checkpoint", "")
	if signed != open || !strings.HasPrefix(open, s.ledger.Origin()+"\n20\n") {
		t.Errorf("checkpoints %q and %q", signed, open)
	}
	status, tile, _ := s.get("/tile/0/000.p/20", "")
	first, err := s.ledger.Row(0)
	if err != nil || status != 200 || len(tile) != 20*32 || tile[:32] != string(first.Leaf[:]) {
		t.Errorf("tile: status %d, %d bytes, error %v", status, len(tile), err)
	}
}

func TestLoginWorksOnceAndTokensSurviveReopening(t *testing.T) {
	s := serve(t, 1)
	code, err := s.tokens.OneTimeLogin(RoleAuditor)
	if err != nil {
		t.Fatal(err)
	}
	cookie, ok, err := s.tokens.Redeem(code)
	if reader, living := s.tokens.BySession(cookie); err != nil || !ok || !living || !reader.Has(RoleAuditor) || reader.Has(RoleAdmin) {
		t.Errorf("the first use: %v, error %v", ok, err)
	}
	if _, ok, _ := s.tokens.Redeem(code); ok {
		t.Error("the code works twice")
	}
	s.tokens.EndSession(cookie)
	if _, living := s.tokens.BySession(cookie); living {
		t.Error("the session survives its end")
	}
	passing, err := s.tokens.Passing()
	valid := func(t *Tokens, secret string) bool {
		_, ok := t.ByToken(secret)
		return ok
	}
	if err != nil || !valid(s.tokens, passing) {
		t.Errorf("passing token: error %v", err)
	}
	again, err := OpenTokens(s.tokens.path)
	if err != nil || !valid(again, s.token) || valid(again, passing) || valid(again, "") {
		t.Errorf("after reopening: stored %v, passing %v, error %v", valid(again, s.token), valid(again, passing), err)
	}
}

func TestTrafficSealsAndConsistencyAreServed(t *testing.T) {
	s := serve(t, 300)
	var traffic trafficBody
	_, body, _ := s.get("/api/v1/traffic?by=destination", s.token)
	if err := json.Unmarshal([]byte(body), &traffic); err != nil || len(traffic.Groups) != 6 || traffic.Groups[0].Calls == 0 { // three hosts, each of two classes
		t.Errorf("%d groups, %v: %s", len(traffic.Groups), err, body[:min(len(body), 300)])
	}
	_, body, _ = s.get("/api/v1/traffic?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z", s.token)
	if err := json.Unmarshal([]byte(body), &traffic); err != nil || len(traffic.Groups) != 0 {
		t.Errorf("in 2020: %v, %s", err, body[:min(len(body), 300)])
	}
	for path, want := range map[string]int{
		"/api/v1/traffic?by=colour": 422, "/api/v1/traffic?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z": 400, "/api/v1/ledger/consistency?from=100&to=301": 400,
		"/api/v1/ledger/consistency?from=100": 200, "/api/v1/ledger/seals": 200, "/api/v1/ledger/bundle?rows=1-5": 200, "/api/v1/ledger/bundle?rows=5-1": 400,
		"/api/v1/ledger/bundle?rows=299-300": 404, "/api/v1/ledger/bundle?day=2020-01-01": 404, "/api/v1/ledger/bundle?day=2020-01-01&rows=1": 400,
	} {
		if status, body, _ := s.get(path, s.token); status != want {
			t.Errorf("%s: %d, want %d: %s", path, status, want, body[:min(len(body), 200)])
		}
		if status, _, _ := s.get(path, ""); status != 401 {
			t.Errorf("%s without a token: %d", path, status)
		}
	}
}
