package journey

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"netaudit/ledger/ledgertest"
	"netaudit/ui/browser"
)

func body(t *testing.T, request *http.Request, want int) []byte {
	t.Helper()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		t.Fatalf("%s: status %d, error %v", request.URL, answer.StatusCode, err)
	}
	return data
}

// TestReportPrintsAsADocument prints the Trust Report and reads the paper with poppler.
func TestReportPrintsAsADocument(t *testing.T) {
	s := shared(t, ledgertest.Alarm)
	w := s.enter(t, "")
	pdf := browser.Read(w, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize(), chromedp.PDFPrintBackground()))
	dir := t.TempDir()
	if p := browser.PicturesTo(); p != "" {
		dir = p
	}
	file := filepath.Join(dir, "report.pdf")
	if err := os.WriteFile(file, pdf, 0o644); err != nil {
		t.Fatal(err)
	}
	paper := tool(t, "pdftotext", "-layout", file, "-")
	for _, want := range []string{"Alarm", "A3", s.host, s.ledger.Origin(), "sync.mit-odoo.de"} {
		if !strings.Contains(paper, want) {
			t.Errorf("the paper does not say %q", want)
		}
	}
	for _, other := range []string{"Log out", "Audit Log\n"} {
		if strings.Contains(paper, other) {
			t.Errorf("the paper has parts of the screen: %q", other)
		}
	}
	pages := strings.Count(paper, "\f")
	if pages < 1 || pages > 10 {
		t.Errorf("%d pages", pages)
	}
	for page := range strings.SplitSeq(strings.TrimSuffix(paper, "\f"), "\f") {
		if len(strings.TrimSpace(page)) < 40 {
			t.Errorf("a page is as good as empty: %q", page)
		}
	}
	tool(t, "pdftoppm", "-r", "60", "-png", file, filepath.Join(dir, "report-page"))
	pictures, err := filepath.Glob(filepath.Join(dir, "report-page*.png"))
	if err != nil || len(pictures) != pages {
		t.Errorf("%d pictures of %d pages, error %v", len(pictures), pages, err)
	}
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s (make deps-test installs it): %v", name, err)
	}
	return string(out)
}
