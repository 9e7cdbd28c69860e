package journey

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"netaudit/api"
	"netaudit/ledger"
	"netaudit/ledger/ledgertest"
	"netaudit/ui/browser"
)

func text(w *browser.Window, selector string) string {
	w.T.Helper()
	return browser.Read(w, chromedp.Text(selector))
}

func at(w *browser.Window) string {
	w.T.Helper()
	return strings.TrimPrefix(browser.Read(w, chromedp.Location()), w.Base)
}

func count(w *browser.Window, selector string) int {
	w.T.Helper()
	return browser.Eval[int](w, fmt.Sprintf("document.querySelectorAll(%q).length", selector))
}

func TestWorriedAdministratorFindsTheRowInTwoClicks(t *testing.T) {
	w := shared(t, ledgertest.Calm).enter(t, "")
	if word := text(w, "#verdict"); word != "All clear" {
		t.Fatalf("the verdict is %q", word)
	}
	w.Do(chromedp.Click(`.card.mit`), chromedp.WaitVisible(`table.log`))
	if rows, others := count(w, `table.log tbody tr`), browser.Eval[int](w, `[...document.querySelectorAll("table.log tbody tr")].filter((r) => !r.textContent.includes("mit-odoo.de")).length`); rows < 10 || others != 0 {
		t.Errorf("%d rows of calls to MIT, %d of them are others", rows, others)
	}
	w.Do(chromedp.Click(`table.log tbody a`), chromedp.WaitVisible(`#seal`))
	if addon := browser.Eval[string](w, `document.querySelector("main").innerText`); !strings.Contains(addon, "mit_license") || !strings.Contains(addon, "license.mit-odoo.de") {
		t.Errorf("the record names neither addon nor destination: %s", addon)
	}
	if mine, all := count(w, ".stack .mine"), count(w, ".stack tbody tr"); mine < 1 || all < 8 || mine >= all {
		t.Errorf("%d of %d frames are marked as an addon's", mine, all)
	}
}

func TestAlarmLeadsDownToRowEvidenceAndProof(t *testing.T) {
	w := shared(t, ledgertest.Alarm).enter(t, "")
	if word := text(w, "#verdict"); word != "Alarm" {
		t.Fatalf("the verdict is %q", word)
	}
	if rule := text(w, `.findings .bad .rule`); rule != "A3" {
		t.Errorf("the first rule is %q", rule)
	}
	w.Do(chromedp.Click(`.findings .bad .rows a`), chromedp.WaitVisible(`#seal`))
	record := browser.Eval[string](w, `document.querySelector("main").innerText`)
	for _, want := range []string{"sync.mit-odoo.de", "mit_maildesk", "http_connector", "module name says odoo.addons.mail", "index_attachments"} {
		if !strings.Contains(record, want) {
			t.Errorf("the record does not show %q", want)
		}
	}
	checkProof(t, w)
}

// checkProof lets the browser prove the present row.
func checkProof(t *testing.T, w *browser.Window) {
	t.Helper()
	w.Do(chromedp.Click(`[data-check-proof]`), chromedp.WaitVisible(`output[data-proof].good`))
	if said := text(w, `output[data-proof]`); !strings.Contains(said, "Sound") {
		t.Errorf("the browser says %q", said)
	}
}

func TestAuditorVerifiesExportsAndChecksElsewhere(t *testing.T) {
	s := shared(t, ledgertest.Calm)
	w := s.enter(t, "verify")
	if word := text(w, "h1"); word != "Intact" {
		t.Errorf("the page says %q", word)
	}
	if n := count(w, ".calendar li"); n != 9 {
		t.Errorf("%d days are sealed, want 9", n)
	}
	bundle := download(t, s, "api/v1/ledger/bundle?rows=100-400")
	drop := func(name string, data []byte, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		w.Go("verify")
		w.Do(chromedp.SetUploadFiles(`input[type="file"]`, []string{path}), chromedp.WaitVisible(`[data-bundle] output.`+want))
	}
	drop("bundle.zip", bundle, "good")
	if said := text(w, "[data-bundle] output"); !strings.Contains(said, s.ledger.Origin()) {
		t.Errorf("the browser says %q", said)
	}
	drop("changed.zip", rewritten(t, bundle, "events.ndjson", "mit_maildesk", "xit_maildesk"), "bad")
}

// rewritten is a bundle in which one part says something else.
func rewritten(t *testing.T, bundle []byte, part, from, to string) []byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == part {
			if !bytes.Contains(data, []byte(from)) {
				t.Fatalf("%s does not say %q", part, from)
			}
			data = bytes.Replace(data, []byte(from), []byte(to), 1)
		}
		p, err := w.Create(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// download fetches a path with a token of its own.
func download(t *testing.T, s *site, path string) []byte {
	t.Helper()
	secret, err := s.tokens.Create(api.RoleAuditor, "")
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL+"/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+secret)
	return body(t, request, http.StatusOK)
}

func TestStrangersAreRefusedAndLedBackAfterTheLogin(t *testing.T) {
	s := shared(t, ledgertest.Calm)
	w := s.open(t)
	w.Expect("status of 401")
	w.Go("log?party=mit_bound")
	if !strings.HasPrefix(at(w), "login?next=") || count(w, "table") != 0 {
		t.Fatalf("a stranger is at %s", at(w))
	}
	w.Do(chromedp.SendKeys(`input[name="token"]`, "na_wrong\r"), chromedp.WaitVisible(`[role="alert"]`))
	secret, err := s.tokens.Create(api.RoleAuditor, "")
	if err != nil {
		t.Fatal(err)
	}
	w.Do(chromedp.SendKeys(`input[name="token"]`, secret+"\r"), chromedp.WaitVisible(`table.log`))
	if at(w) != "log?party=mit_bound" {
		t.Errorf("after the login the window is at %s", at(w))
	}
	w.Do(chromedp.Click(`form.out button`), chromedp.WaitVisible(`input[name="token"]`))
	w.Go("log")
	if !strings.HasPrefix(at(w), "login") {
		t.Errorf("after logging out the log is still shown")
	}
}

func TestFirstRunSaysWhatHappensNext(t *testing.T) {
	w := shared(t, ledgertest.Empty).enter(t, "")
	for _, path := range []string{"", "log", "modules", "destinations", "traffic"} {
		w.Go(path)
		if n := count(w, ".empty, .steps"); n == 0 {
			t.Errorf("%q says nothing about being empty: %s", path, text(w, "main"))
		}
	}
}

func TestMirrorPortInstallHasNoEmptyColumns(t *testing.T) {
	s := shared(t, ledgertest.Mirror)
	w := s.enter(t, "log")
	for _, path := range []string{"log", "destinations?range=7d", fmt.Sprintf("log/%d", s.find(t, "a call", func(e *ledger.Event) bool { return e.Kind == "flow" }))} {
		w.Go(path)
		empty := browser.Eval[string](w, `[...document.querySelectorAll("main table")].flatMap((table) => [...table.tHead.rows[0].cells].filter((h, i) => [...table.tBodies[0].rows].every((r) => r.cells[i] && !r.cells[i].textContent.trim() && !r.cells[i].querySelector("svg"))).map((h) => h.textContent)).join(", ")`)
		if empty != "" {
			t.Errorf("%s: empty columns: %s", path, empty)
		}
		if main := text(w, "main"); strings.Contains(main, "Addon") {
			t.Errorf("%s speaks of addons that a mirror port cannot see", path)
		}
	}
}

func TestPagesWorkWithoutJavaScript(t *testing.T) {
	s := shared(t, ledgertest.Alarm)
	w := s.enter(t, "")
	w.WithoutScripts()
	w.Expect("status of 404")
	for _, p := range pagesOf(t, s) {
		w.Go(p.path)
		if n := browser.Eval[int](w, `document.querySelector("main").innerText.trim().length`); n < 40 {
			t.Errorf("%s is empty without JavaScript", p.name)
		}
		if n := browser.Eval[int](w, `[...document.querySelectorAll("main button")].filter((b) => b.checkVisibility({ visibilityProperty: true }) && !b.form).length`); n != 0 {
			t.Errorf("%s: %d buttons do nothing without JavaScript", p.name, n)
		}
	}
	w.Go("log")
	w.Do(chromedp.SetValue(`select[name="party"]`, "mit_bound"), chromedp.Submit(`form.filters`), chromedp.WaitVisible(`.chips a`))
	if !strings.Contains(at(w), "party=mit_bound") {
		t.Errorf("filtering leads to %s", at(w))
	}
	w.Do(chromedp.Click(`.chips a`), chromedp.WaitNotPresent(`.chips a`))
}
