package journey

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"netaudit/api"
	"netaudit/ledger"
	"netaudit/ledger/ledgertest"
	"netaudit/ledger/report"
	"netaudit/ui"
	"netaudit/ui/browser"
)

func TestMain(m *testing.M) {
	ledger.MaybeProbe()
	code := m.Run()
	browser.Stop()
	if err := closeSites(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// site is the pages over a filled ledger.
type site struct {
	server       *httptest.Server
	dir          string
	ledger       *ledger.Ledger
	installation *ledgertest.Installation
	tokens       *api.Tokens
	host         string
}

// sites are shared between the tests: filling a ledger takes longer than looking at it. Tests that add rows make a site of their own.
var sites = struct {
	sync.Mutex
	byVariant map[string]*site
	all       []*site
}{byVariant: map[string]*site{}}

func closeSites() error {
	var errs []error
	for _, s := range sites.all {
		s.server.CloseClientConnections() // streams would keep the server waiting
		s.server.Close()
		errs = append(errs, s.ledger.Close(), os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// shared is the site of a variant.
func shared(t *testing.T, variant string) *site {
	t.Helper()
	sites.Lock()
	defer sites.Unlock()
	s := sites.byVariant[variant]
	if s == nil {
		s = makeSite(t, ledgertest.Options{Variant: variant, Days: 9, Calls: 1200})
		sites.byVariant[variant] = s
	}
	return s
}

// own is a site for one test that writes rows.
func own(t *testing.T, o ledgertest.Options) *site {
	t.Helper()
	sites.Lock()
	defer sites.Unlock()
	return makeSite(t, o)
}

// makeSite needs the lock of sites.
func makeSite(t *testing.T, o ledgertest.Options) *site {
	t.Helper()
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "netaudit-pages-")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{dir: dir, host: "odoo.customer.example"}
	state := filepath.Join(dir, "state")
	if s.ledger, s.installation, err = ledgertest.Open(t.Context(), state, o); err != nil {
		t.Fatal(err)
	}
	if s.tokens, err = api.OpenTokens(filepath.Join(state, "keys", "tokens.json")); err != nil {
		t.Fatal(err)
	}
	rules := report.Rules{Install: "host", LicenseAddons: []string{"mit_license"}, LicenseHosts: []string{"license.mit-odoo.de"}, DailyBudget: 65536}
	if o.Variant == ledgertest.Mirror {
		rules.Install = "mirror"
	}
	verifier := api.NewVerifier(s.ledger)
	if _, err := verifier.Verify(t.Context()); err != nil { // as the appliance does when it starts
		t.Fatal(err)
	}
	engine, err := api.New(api.Options{Ledger: s.ledger, Tokens: s.tokens, Version: "1.0", Host: s.host, Rules: rules, Verifier: verifier})
	if err != nil {
		t.Fatal(err)
	}
	if err := ui.Mount(engine, ui.Options{Ledger: s.ledger, Tokens: s.tokens, Version: "1.0", Host: s.host, Rules: rules, Verifier: verifier}); err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(engine)
	sites.all = append(sites.all, s)
	return s
}

// open opens a window that is not logged in.
func (s *site) open(t testing.TB) *browser.Window {
	t.Helper()
	w := browser.Open(t, s.server.URL+"/")
	w.Dress("light", 1440)
	return w
}

// enter opens a window that is logged in and at a path.
func (s *site) enter(t testing.TB, path string) *browser.Window {
	t.Helper()
	w := s.open(t)
	code, err := s.tokens.OneTimeLogin(api.Roles...)
	if err != nil {
		t.Fatal(err)
	}
	w.Go("login?code=" + code + "&next=/glossary")
	w.Go(path)
	return w
}

// find returns the sequence number of the newest row that is chosen.
func (s *site) find(t testing.TB, what string, choose func(*ledger.Event) bool) uint64 {
	t.Helper()
	found, seq := false, uint64(0)
	err := s.ledger.RowsBackward(t.Context(), s.ledger.Size(), func(row ledger.Row) bool {
		e, err := ledger.ParseEvent(row.JSON)
		if err != nil {
			t.Fatal(err)
		}
		found, seq = choose(&e), row.Seq
		return !found
	})
	if err != nil || !found {
		t.Fatalf("there is no row with %s (error %v)", what, err)
	}
	return seq
}
