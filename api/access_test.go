package api

import (
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"netaudit/ledger"
)

// accesses are the sentences of the log's access rows.
func accesses(t *testing.T, l *ledger.Ledger) (list []string) {
	t.Helper()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := l.Rows(t.Context(), 0, func(row ledger.Row) bool {
		if e, err := ledger.ParseEvent(row.JSON); err == nil && e.Kind == "access" {
			list = append(list, e.Rule+": "+e.Message)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTokenHasOneRowADayAndGuessingDoesNotFillTheLog(t *testing.T) {
	l, err := ledger.Open(filepath.Join(t.TempDir(), "state"), ledger.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, addresses := range []bool{true, false} {
		before := len(accesses(t, l))
		a := NewAccessLog(l, addresses, slog.New(slog.DiscardHandler))
		r := &http.Request{RemoteAddr: "192.0.2.7:1234"}
		for range 50 {
			a.token(t.Context(), r, Reader{Name: "siem", Roles: []string{RoleAuditor}})
			a.token(t.Context(), r, Reader{Name: "here", Roles: []string{RoleAuditor}, Local: true})
		}
		for range 500 {
			a.Note(t.Context(), r, AccessRefused, "A login was refused")
		}
		list := accesses(t, l)[before:]
		want := `token_used: "siem" asked the API as auditor, for the first time on this day from 192.0.2.7.`
		if !addresses {
			want = strings.Replace(want, " from 192.0.2.7", "", 1)
		}
		if len(list) < 2 || len(list) > 2+refusalBurst || list[0] != want {
			t.Errorf("%d rows, the first: %v", len(list), list[:min(len(list), 2)])
		}
		if strings.Contains(strings.Join(list, ""), "192.0.2.7") != addresses {
			t.Errorf("with addresses %v: %v", addresses, list)
		}
	}
	var none *AccessLog
	none.Note(t.Context(), nil, AccessExport, "")
	none.token(t.Context(), nil, Reader{})
}

func TestTokensOfAnotherProcessCountAtOnce(t *testing.T) {
	s := serve(t, 3)
	other, err := OpenTokens(s.tokens.path)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := other.Create(RoleOfficer, "Jane")
	if err != nil {
		t.Fatal(err)
	}
	if status, body, _ := s.get("/api/v1/events", secret); status != 403 || !strings.Contains(body, "auditor") {
		t.Errorf("an officer reads metadata: %d %s", status, body)
	}
	if status, _, _ := s.get("/tile/entries/000", secret); status != 401 {
		t.Errorf("an officer reads entries: %d", status)
	}
	list, err := other.List()
	if err != nil || len(list) != 2 || list[1].Name != "Jane" || list[1].Role != RoleOfficer {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := other.Remove(list[0].ID); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := s.get("/api/v1/events", s.token); status != 401 {
		t.Errorf("a token that was taken away still reads: %d", status)
	}
	if err := other.Remove("ffffffff"); err == nil {
		t.Error("a token that is not there was taken away")
	}
	for role, name := range map[string]string{"king": "x", RoleAdmin: "a\"b", RoleOfficer: "a\nb", RoleAuditor: strings.Repeat("n", 65)} {
		if _, err := other.Create(role, name); err == nil {
			t.Errorf("role %q, name %q was made", role, name)
		}
	}
}
