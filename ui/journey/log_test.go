package journey

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"netaudit/ledger"
	"netaudit/ledger/ledgertest"
	"netaudit/ui/browser"
)

// top says which row stands first, and where the window is scrolled to.
func top(w *browser.Window) (row string, scrolled int) {
	w.T.Helper()
	return text(w, "table.log tbody a"), browser.Eval[int](w, "Math.round(scrollY)")
}

func TestNewRowsAreAnnouncedAndNeverMoveWhatIsRead(t *testing.T) {
	s := own(t, ledgertest.Options{Days: 1, Calls: 300})
	w := s.enter(t, "log")
	browser.Eval[bool](w, `scrollTo({ top: 400, behavior: "instant" }); true`)
	before, scrolled := top(w)
	loaded, _ := w.Shifts() // while the page was read: the budget's matter
	events := s.installation.Calls(7)
	for _, e := range events {
		if err := s.ledger.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	calls := len(slices.DeleteFunc(events, func(e ledger.Event) bool { return e.Kind != "flow" }))
	w.Do(chromedp.WaitVisible(`[data-announce] a`))
	if said := text(w, `[data-announce] a`); said != fmt.Sprintf("%d new rows", calls) {
		t.Errorf("the page announces %q, %d came", said, calls)
	}
	if row, at := top(w); row != before || at != scrolled {
		t.Errorf("row %s at %d px became row %s at %d px", before, scrolled, row, at)
	}
	if shift, what := w.Shifts(); shift != loaded {
		t.Errorf("the page moved (layout shift %.4f: %s)", shift, what)
	}
	w.Press("n")
	w.Wait(fmt.Sprintf(`document.querySelectorAll("table.log tr.new").length === %d && document.activeElement.closest("tr.new") !== null`, calls))
	if row, _ := top(w); row != fmt.Sprint(s.ledger.Size()-1) {
		t.Errorf("the first row is %s, the newest is %d", row, s.ledger.Size()-1)
	}
	w.Wait(`document.querySelector("[data-announce] a") === null`)
}

func TestFiltersStandInTheAddressAndComeOffOneByOne(t *testing.T) {
	s := shared(t, ledgertest.Alarm)
	w := s.enter(t, "log")
	w.Do(chromedp.SetValue(`select[name="party"]`, "mit_bound"), chromedp.SendKeys(`input[name="addon"]`, "mit_maildesk\r"), chromedp.WaitVisible(`.chips a`))
	if at := at(w); !strings.Contains(at, "party=mit_bound") || !strings.Contains(at, "addon=mit_maildesk") {
		t.Errorf("the address is %s", at)
	}
	if n := count(w, "table.log tbody tr"); n < 3 || n > 6 {
		t.Errorf("%d uploads are shown", n)
	}
	w.Do(chromedp.Click(`.chips li:first-child a`), chromedp.WaitVisible(`.chips li:only-child`))
	if at := at(w); strings.Contains(at, "party=") || !strings.Contains(at, "addon=mit_maildesk") {
		t.Errorf("without the first chip the address is %s", at)
	}
	browser.Eval[bool](w, "setTimeout(() => history.back()), true")
	w.Wait(`document.querySelectorAll(".chips li").length === 2`)
	w.Go("log?addon=(postgres)")
	if n, addons := count(w, "table.log tbody tr"), browser.Eval[string](w, `[...new Set([...document.querySelectorAll(".c-addon .program")].map((e) => e.textContent))].join()`); n != 50 || addons != "postgres" {
		t.Errorf("%d calls of a program that is no addon, by %q", n, addons)
	}
	// A window of time: both ends.
	newest := s.find(t, "a call", func(e *ledger.Event) bool { return e.Kind == "flow" })
	row, err := s.ledger.Row(newest)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ledger.ParseEvent(row.JSON)
	if err != nil {
		t.Fatal(err)
	}
	day := int64(24 * 3600 * 1e9)
	w.Go("log?since=" + moment(e.Logged-2*day) + "&until=" + moment(e.Logged-day))
	first := browser.Eval[string](w, `document.querySelector("tbody time").dateTime`)
	if got := moment(e.Logged - day); first >= got || first < moment(e.Logged-2*day-3*3600*1e9) {
		t.Errorf("until %s the newest call is of %s", got, first)
	}
}

func moment(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05") }

func TestColumnsAreChosenAndStay(t *testing.T) {
	s := shared(t, ledgertest.Calm)
	w := s.enter(t, "log")
	w.Do(chromedp.Click(`.menu:has(form) summary`), chromedp.Click(`input[value="process"]`), chromedp.Click(`input[value="party"]`), chromedp.Click(`.choices button`), chromedp.WaitVisible(`th.c-process`))
	if count(w, "th.c-party") != 0 || !strings.Contains(at(w), "cols=") {
		t.Errorf("the columns are not the chosen ones at %s", at(w))
	}
	w.Go("log?kind=all")
	if count(w, "th.c-process") != 1 {
		t.Error("the choice did not stay")
	}
	w.Go("log?cols=time.dest")
	if n := count(w, "table.log th"); n != 3 {
		t.Errorf("a shared address shows %d columns, want the number and two", n)
	}
	w.Go("log?cols=nonsense")
	if count(w, "th.c-dest") != 1 {
		t.Error("unknown columns leave nothing")
	}
}

// TestExportsAreWhatIsShown compares both exports with the rows of the page, and of the ledger.
func TestExportsAreWhatIsShown(t *testing.T) {
	s := shared(t, ledgertest.Alarm)
	w := s.enter(t, "log?party=mit_bound&addon=mit_maildesk&cols=time.dest.sent")
	shown := browser.Eval[[]string](w, `[...document.querySelectorAll("table.log tbody tr td:first-child a")].map((a) => a.textContent)`)
	query := "?party=mit_bound&addon=mit_maildesk&cols=time.dest.sent"
	records, err := csv.NewReader(strings.NewReader(string(download(t, s, "log/export.csv"+query)))).ReadAll()
	if err != nil || len(records) != len(shown)+1 || strings.Join(records[0], ",") != "row,kind,time,dest,sent,message" {
		t.Fatalf("%d records for %d rows, error %v: %q", len(records), len(shown), err, records)
	}
	lines := strings.Split(strings.TrimSuffix(string(download(t, s, "log/export.ndjson"+query)), "\n"), "\n")
	for i, seq := range shown {
		if records[i+1][0] != seq || records[i+1][3] != "sync.mit-odoo.de" || len(records[i+1][4]) != 6 {
			t.Errorf("line %d is %q, the page shows row %s", i, records[i+1], seq)
		}
		var n uint64
		if _, err := fmt.Sscan(seq, &n); err != nil {
			t.Fatal(err)
		}
		if row, err := s.ledger.Row(n); err != nil || lines[i] != string(row.JSON) {
			t.Errorf("the exported line of row %d is not the stored one (error %v)", n, err)
		}
	}
	all := strings.Count(string(download(t, s, "log/export.ndjson?kind=all")), "\n")
	if uint64(all) != s.ledger.Size() {
		t.Errorf("%d lines of %d rows", all, s.ledger.Size())
	}
}

func TestHostileTextIsNoFormula(t *testing.T) {
	s := own(t, ledgertest.Options{Variant: ledgertest.Empty})
	for _, host := range []string{"=1+1", "@cmd", "-2", "+3", "harmless.example"} {
		err := s.ledger.Append(t.Context(), ledger.Event{V: 1, Kind: "flow", Direction: "outbound", Channel: "https", Start: 1, End: 1, Src: &ledger.Endpoint{IP: "10.0.0.1"}, Dst: &ledger.Endpoint{IP: "203.0.113.1", Host: host, HostSource: "sni"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(strings.NewReader(string(download(t, s, "log/export.csv?cols=dest")))).ReadAll()
	if err != nil || len(records) != 6 {
		t.Fatalf("%q, error %v", records, err)
	}
	for i, want := range []string{"harmless.example", "'+3", "'-2", "'@cmd", "'=1+1"} {
		if records[i+1][2] != want {
			t.Errorf("a spreadsheet gets %q, want %q", records[i+1][2], want)
		}
	}
}

// TestKeysAreEnough reads the log without a mouse.
func TestKeysAreEnough(t *testing.T) {
	w := shared(t, ledgertest.Alarm).enter(t, "")
	press := w.Press
	focused := func() string { return browser.Eval[string](w, `document.activeElement.textContent`) }
	press("g", "l")
	w.Do(chromedp.WaitVisible("table.log"))
	rows := browser.Eval[[]string](w, `[...document.querySelectorAll("table.log tbody tr td:first-child a")].map((a) => a.textContent)`)
	press("j", "j", "j", "k")
	if got := focused(); got != rows[1] {
		t.Errorf("after j j j k the focus is on %q, want row %s", got, rows[1])
	}
	if ring := browser.Eval[string](w, `getComputedStyle(document.activeElement).outlineStyle`); ring == "none" {
		t.Error("the focus cannot be seen")
	}
	press("Enter")
	w.Do(chromedp.WaitVisible("#seal"))
	if !strings.HasSuffix(at(w), "log/"+rows[1]) {
		t.Errorf("Enter opened %s, want row %s", at(w), rows[1])
	}
	press("g", "l")
	w.Do(chromedp.WaitVisible("table.log"))
	press("/")
	w.Wait(`document.activeElement.name === "q"`)
	press("j")
	if v := browser.Eval[string](w, `document.querySelector("[data-search]").value`); v != "j" {
		t.Errorf("typing j into the search wrote %q", v)
	}
	press("Escape")
	w.Wait(`document.activeElement === document.body`)
	press("?")
	w.Wait(`document.querySelector("dialog.keys").open`)
	press("Escape")
	w.Wait(`!document.querySelector("dialog.keys").open`)
	press("ArrowRight")
	w.Wait(`location.search.includes("before=")`)
	w.Do(chromedp.WaitVisible("footer"))
	// Tab reaches the skip link first, and every step can be seen.
	press("Tab")
	if got := focused(); got != "Skip to the content" {
		t.Errorf("Tab leads to %q first", got)
	}
	for range 25 {
		press("Tab")
		if bad := browser.Eval[string](w, `(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect(); return s.outlineStyle === "none" && s.boxShadow === "none" || r.width === 0 ? e.outerHTML.slice(0, 200) : "" })()`); bad != "" {
			t.Fatalf("the focus cannot be seen on %s", bad)
		}
	}
}
