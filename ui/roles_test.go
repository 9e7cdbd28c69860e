package ui

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"netaudit/api"
	"netaudit/ledger/report"
)

// enter logs a new browser in with a token.
func enter(t *testing.T, base, token string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/login", strings.NewReader(url.Values{"token": {token}, "next": {"/glossary"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("login: status %d", answer.StatusCode)
	}
	return client
}

func TestRolesOpenTheirPagesAndNoOthers(t *testing.T) {
	p, base, _ := siteAndPages(t)
	pages := map[string][]string{
		"/": {api.RoleAuditor}, "/log": {api.RoleAuditor}, "/log/0/row": {api.RoleAuditor}, "/verify": {api.RoleAuditor}, "/coverage": {api.RoleAuditor},
		"/settings": {api.RoleAdmin}, "/access": api.Roles, "/glossary": api.Roles,
	}
	for _, role := range api.Roles {
		secret, err := p.o.Tokens.Create(role, "reader "+role)
		if err != nil {
			t.Fatal(err)
		}
		client := enter(t, base, secret)
		for path, allowed := range pages {
			want := http.StatusForbidden
			for _, r := range allowed {
				if r == role {
					want = http.StatusOK
				}
			}
			status, page := get(t, client, base+path)
			if status != want || want == http.StatusForbidden && (strings.Contains(page, "203.0.113.1") || !strings.Contains(page, "You are logged in as")) {
				t.Errorf("%s as %s: status %d, want %d", path, role, status, want)
			}
			if strings.Contains(page, secret) {
				t.Errorf("%s as %s shows the token", path, role)
			}
		}
	}
}

func TestAccessIsWrittenDown(t *testing.T) {
	p, base, client := siteAndPages(t)
	secret, err := p.o.Tokens.Create(api.RoleAuditor, "Jane")
	if err != nil {
		t.Fatal(err)
	}
	enter(t, base, secret)
	get(t, &http.Client{}, base+"/login?code=wrong")
	get(t, client, base+"/settings")
	get(t, client, base+"/api/v1/ledger/bundle?rows=0-3")
	if err := p.o.Ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	size := p.o.Ledger.Size()
	for range 3 {
		get(t, client, base+"/")
		get(t, client, base+"/log")
	}
	if err := p.o.Ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := p.o.Ledger.Size(); now != size {
		t.Errorf("reading pages wrote %d rows", now-size)
	}
	_, page := get(t, client, base+"/access")
	for _, want := range []string{
		`&#34;Jane&#34; logged in as auditor from 127.0.0.1.`, `&#34;one-time login&#34; logged in as auditor, admin from 127.0.0.1.`, "A login was refused from 127.0.0.1.",
		"&#34;one-time login&#34; looked at the configuration", "&#34;one-time login&#34; exported a proof bundle (rows-0-3)",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("nothing says %s", want)
		}
	}
	if strings.Contains(page, "Jane&#34; looked") || strings.Count(page, "exported a proof bundle") != 1 {
		t.Error("somebody is said to have done what they have not")
	}
}

func TestSettingsNameTheirOriginAndNothingSecret(t *testing.T) {
	p, base, client := siteAndPages(t)
	secret, err := p.o.Tokens.Create(api.RoleOfficer, "Jane")
	if err != nil {
		t.Fatal(err)
	}
	_, page := get(t, client, base+"/settings")
	for _, want := range []string{":3</span>", "default", "Jane", "officer", "What the capture takes"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, secret) || strings.Contains(page, "sha256") {
		t.Error("the page shows a secret")
	}
}

func TestExportsAreHeldOutside(t *testing.T) {
	p, base, client := siteAndPages(t)
	if _, page := get(t, client, base+"/"); !strings.Contains(page, "nothing yet") {
		t.Error("something is held outside before anything was taken away")
	}
	get(t, client, base+"/checkpoint")
	size := p.o.Ledger.Checkpoint().Size
	if held := p.o.Access.Held(); held.Rows == 0 || held.Rows > size {
		t.Errorf("%d of %d rows are held outside", held.Rows, size)
	}
	if err := p.o.Ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := api.NewAccessLog(p.o.Ledger, true, p.o.Logger).Held() // as after a restart
	if want := p.o.Access.Held(); again.Rows != want.Rows {
		t.Errorf("after a restart %d rows, want %d", again.Rows, want.Rows)
	}
	if status, _ := get(t, &http.Client{}, base+"/checkpoint"); status != http.StatusOK || p.o.Access.Held().At.IsZero() {
		t.Errorf("a stock client: status %d", status)
	}
	if _, page := get(t, client, base+"/"); !strings.Contains(page, "up to row") {
		t.Error("the report does not say what is held outside")
	}
}

func TestReportNamesWhoHoldsMost(t *testing.T) {
	cosigned := &report.Held{Rows: 40, Witness: "witness.example/a"}
	for _, c := range []struct {
		taken    uint64
		cosigned *report.Held
		want     heldOutside
	}{{0, nil, heldOutside{}}, {7, nil, heldOutside{Rows: 7}}, {7, cosigned, heldOutside{40, "witness.example/a"}}, {50, cosigned, heldOutside{Rows: 50}}} {
		if got := held(api.Held{Rows: c.taken}, c.cosigned); got != c.want {
			t.Errorf("%d taken away, %+v: %+v, want %+v", c.taken, c.cosigned, got, c.want)
		}
	}
}
