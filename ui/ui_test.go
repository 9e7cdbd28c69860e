package ui

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"netaudit/api"
	"netaudit/ledger"
	"netaudit/ledger/report"
)

// hostile values stand for what the wire, a certificate or an addon's manifest may say.
const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>` + "\u202egnp.exe"

// site is the pages over a real ledger with hostile rows, and a browser that is logged in.
func site(t *testing.T) (base string, client *http.Client) {
	t.Helper()
	_, base, client = siteAndPages(t)
	return base, client
}

func siteAndPages(t *testing.T) (p *pages, base string, client *http.Client) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	l, err := ledger.Open(dir, ledger.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []ledger.Event{
		{
			V: 1, Kind: "flow", State: "closed", Direction: "outbound", Channel: hostile, Start: 1, End: 2, HasCounts: true, FlowID: hostile,
			Src: &ledger.Endpoint{IP: "10.0.0.1", Port: 1, HasPort: true}, Dst: &ledger.Endpoint{IP: "203.0.113.1", Port: 443, HasPort: true, Host: hostile, HostSource: "sni"},
			TLS:   &ledger.TLS{Version: hostile, SNI: hostile, Cipher: hostile, Group: hostile, Alert: hostile, CertNames: "other", EarlyData: true, Retry: true, ECH: true, Cert: &ledger.Cert{SHA256: hostile, Subject: hostile, Issuer: hostile, NotAfter: 5}},
			Party: &ledger.Party{Class: "mit_bound", Name: hostile, Rule: hostile}, Process: &ledger.Process{PID: 1, Exe: hostile, Name: hostile, Role: hostile},
			Addon:    &ledger.Addon{Name: hostile, Version: hostile, Author: hostile, OnBehalfOf: hostile, Chain: []string{hostile}, CallSite: hostile, Model: "a.b", Method: hostile},
			Evidence: &ledger.Evidence{Source: "thread", Confidence: "exact", Reason: hostile, Candidates: []string{hostile}, Conflicts: []string{hostile}, Stack: []ledger.Frame{{File: hostile, Function: hostile, Addon: hostile}}},
		},
		{V: 1, Kind: "dns", Channel: "dns", Start: 1, End: 1, Src: &ledger.Endpoint{IP: "10.0.0.1"}, Dst: &ledger.Endpoint{IP: "10.0.0.53"}, DNS: &ledger.DNS{Name: hostile, Type: hostile, RCode: hostile, Answers: []string{hostile}, MoreAnswers: 1234, ECH: true, Truncated: true, Zone: &ledger.Zone{Name: hostile, Queries: 2, Names: 1, Bytes: 9, Entropy: 433}}},
		{
			V: 1, Kind: "flow", State: "closed", Channel: "ssh", Start: 1, End: 2, MidStream: true, MissedBytes: 7, Truncated: true, Retransmits: 2, IPProto: 1, ICMP: &ledger.ICMP{Type: 8},
			Src: &ledger.Endpoint{IP: "10.0.0.1"}, Dst: &ledger.Endpoint{IP: "10.0.0.9"}, Service: &ledger.Service{Client: hostile, Server: hostile, User: hostile, Database: hostile},
			Mail: &ledger.Mail{Protocol: hostile, GreetingHost: hostile, State: hostile, Messages: 3},
		},
		{V: 1, Kind: "http", Channel: "http", Start: 1, End: 1, Src: &ledger.Endpoint{IP: "10.0.0.1"}, Dst: &ledger.Endpoint{IP: "10.0.0.9"}, HTTP: &ledger.HTTP{Method: hostile, Host: hostile, Path: hostile, UserAgent: hostile, Route: hostile, Version: hostile, RequestBytes: 5, Headers: []string{hostile}}},
		{V: 1, Kind: "gap", Start: 1, End: 2, Gap: &ledger.Gap{Reason: hostile, Iface: hostile, Count: 3}},
		{V: 1, Kind: "lifecycle", Rule: hostile, Message: hostile, Start: 1, End: 1},
		{V: 1, Kind: "heartbeat", Start: 1, End: 2, Heartbeat: &ledger.Heartbeat{Interfaces: []string{hostile}, Malformed: 1, MalformedWhy: []string{hostile}}},
	} {
		if err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	tokens, err := api.OpenTokens(filepath.Join(dir, "tokens.json"))
	if err != nil {
		t.Fatal(err)
	}
	access := api.NewAccessLog(l, true, slog.New(slog.DiscardHandler))
	engine, err := api.New(api.Options{Ledger: l, Tokens: tokens, Host: hostile, Access: access})
	if err != nil {
		t.Fatal(err)
	}
	if p, err = mount(engine, Options{
		Ledger: l, Tokens: tokens, Access: access, Host: hostile, Version: "test", Rules: report.Rules{Install: "host", LicenseAddons: []string{hostile}},
		Settings: []Setting{{Key: "filter", Value: hostile, Origin: hostile + ":3"}, {Key: "unknown", Value: ""}},
	}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(engine)
	t.Cleanup(func() {
		server.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client = &http.Client{Jar: jar}
	code, err := tokens.OneTimeLogin(api.RoleAuditor, api.RoleAdmin)
	if err != nil {
		t.Fatal(err)
	}
	if status, page := get(t, client, server.URL+"/login?code="+code+"&next=/log"); status != 200 || !strings.Contains(page, "Audit Log") {
		t.Fatalf("login: status %d", status)
	}
	if err := l.Flush(t.Context()); err != nil { // the row about the login
		t.Fatal(err)
	}
	return p, server.URL, client
}

func get(t *testing.T, client *http.Client, address string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

var foreign = regexp.MustCompile(`(?i)(src|href|action)="?(https?:)?//`)

func TestHostileValuesAreInertOnEveryPage(t *testing.T) {
	base, client := site(t)
	for _, path := range []string{
		"/", "/?range=30d", "/log", "/log?kind=all", "/log?kind=dns", "/log?q=" + url.QueryEscape(hostile), "/log?addon=" + url.QueryEscape(hostile),
		"/log/0", "/log/1", "/log/2", "/log/3", "/log/4", "/log/5", "/modules", "/destinations?range=7d", "/traffic", "/coverage?range=30d", "/verify", "/glossary", "/access", "/settings", "/login?next=" + url.QueryEscape(hostile),
	} {
		status, page := get(t, client, base+path)
		if status != 200 {
			t.Errorf("%s: status %d", path, status)
		}
		if strings.Contains(page, "<script>alert") || strings.Contains(page, "<img") {
			t.Errorf("%s: markup of a row is part of the page", path)
		}
		if m := foreign.FindString(page); m != "" {
			t.Errorf("%s: the page refers elsewhere: %s", path, m)
		}
		if strings.Contains(page, "style=") || strings.Contains(page, "onclick=") {
			t.Errorf("%s: inline style or script, which the Content-Security-Policy refuses", path)
		}
		if len(page) > 100_000 {
			t.Errorf("%s: %d bytes, want less than 100 kB", path, len(page))
		}
	}
}

func TestPagesNeedALoginAndMistakesAreExplained(t *testing.T) {
	base, client := site(t)
	stranger := &http.Client{}
	for _, path := range []string{"/", "/log", "/log/0", "/log/0/row", "/modules", "/destinations", "/traffic", "/coverage", "/verify", "/verify/verify_bundle.py", "/glossary", "/access", "/settings"} {
		if status, page := get(t, stranger, base+path); status != 200 || !strings.Contains(page, `name="token"`) || strings.Contains(page, "203.0.113.1") {
			t.Errorf("%s shows a stranger something else than the login (status %d)", path, status)
		}
	}
	for path, want := range map[string]string{"/log/99": "has 8 rows", "/log/x": "Rows have numbers", "/nowhere": "no such page", "/log?party=internal": "No row matches"} {
		status, page := get(t, client, base+path)
		if !strings.Contains(page, want) || strings.HasPrefix(path, "/log?") != (status == 200) {
			t.Errorf("%s: status %d without %q", path, status, want)
		}
	}
	if status, page := get(t, stranger, base+"/login?code=wrong"); status != 401 || !strings.Contains(page, "has expired") {
		t.Errorf("a wrong code: status %d", status)
	}
	answer, err := stranger.PostForm(base+"/login", url.Values{"token": {"na_wrong"}, "next": {"//elsewhere.example/"}})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 401 {
		t.Errorf("a wrong token: status %d", answer.StatusCode)
	}
}

func TestRedirectsStayHere(t *testing.T) {
	for next, want := range map[string]string{"/log?x=1": "/log?x=1", "//evil.example": "/", "https://evil.example": "/", "/\\evil.example": "/", "": "/", "/a\r\nb": "/"} {
		if got := ownPath(next); got != want {
			t.Errorf("next %q leads to %q, want %q", next, got, want)
		}
	}
}

func TestExportedRowIsTheStoredOne(t *testing.T) {
	base, client := site(t)
	status, row := get(t, client, base+"/log/0/row")
	if status != 200 || !bytes.HasPrefix([]byte(row), []byte(`{"addon":`)) || strings.HasSuffix(row, "\n") {
		t.Errorf("status %d, %q", status, row[:min(len(row), 40)])
	}
}

func TestBrowsersFetchAFileOnceAnUpgrade(t *testing.T) {
	base, client := site(t)
	ask := func(tag string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/static/style.css", nil)
		if err != nil {
			t.Fatal(err)
		}
		if tag != "" {
			request.Header.Set("If-None-Match", tag)
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	first := ask("")
	tag := first.Header.Get("ETag")
	if first.StatusCode != http.StatusOK || len(tag) != 66 {
		t.Fatalf("%d, ETag %s", first.StatusCode, tag)
	}
	if again := ask(tag); again.StatusCode != http.StatusNotModified {
		t.Errorf("the same file is fetched again: %d", again.StatusCode)
	}
	if other := ask(`"x"`); other.StatusCode != http.StatusOK {
		t.Errorf("another file is not fetched: %d", other.StatusCode)
	}
}
