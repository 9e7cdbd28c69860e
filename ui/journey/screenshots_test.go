package journey

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"netaudit/ledger/ledgertest"
	"netaudit/ui/browser"
)

// TestScreenshots pictures every page in both colours and three widths: make screenshots. The best go into the documents.
func TestScreenshots(t *testing.T) {
	dir := browser.PicturesTo()
	if dir == "" {
		t.Skip("no folder for pictures: make screenshots")
	}
	if err := os.MkdirAll(filepath.Join(dir, "docs"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := own(t, ledgertest.Options{Variant: ledgertest.Alarm, Seed: 7})
	w := s.enter(t, "")
	w.Expect("status of 404")
	for _, p := range pagesOf(t, s) {
		w.Go(p.path)
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{360, 1440, 3840} {
				w.Dress(scheme, width)
				w.Picture(fmt.Sprintf("%s-%s-%d", p.name, scheme, width))
			}
		}
	}
	login := s.open(t)
	login.Go("login")
	login.Picture("login-light-1440")
	for _, variant := range []string{ledgertest.Calm, ledgertest.Empty, ledgertest.Mirror, ledgertest.Hostile} {
		s := shared(t, variant)
		w := s.enter(t, "")
		w.Picture("report-" + variant)
		w.Go("log")
		w.Picture("log-" + variant)
	}
	for name, p := range map[string]struct{ scheme, path string }{
		"trust-report": {"light", ""}, "trust-report-dark": {"dark", ""}, "traffic": {"light", "traffic?range=7d"},
	} {
		w.Dress(p.scheme, 1440)
		w.Go(p.path)
		w.View(filepath.Join("docs", name))
	}
}
