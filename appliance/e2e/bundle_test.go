package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"netaudit/ui/browser"
)

// TestBrowserJudgesBundlesLikeTheOtherVerifiers runs the page's own code over the bundles that all verifiers share.
func TestBrowserJudgesBundlesLikeTheOtherVerifiers(t *testing.T) {
	needRoot(t)
	const dir = "../../ledger/proof/testdata/bundles"
	access := watchDemo(t)
	w := browser.Open(t, access.URL)
	w.Do(chromedp.Navigate(access.Login), chromedp.WaitVisible(`.hero`), chromedp.Navigate(access.URL+"verify"), chromedp.WaitVisible(`[data-bundle]`))
	text, err := os.ReadFile(filepath.Join(dir, "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		File    string   `json:"file"`
		Keys    []string `json:"keys"`
		SealKey string   `json:"seal_key"`
		Want    string   `json:"want"`
	}
	if err := json.Unmarshal(text, &list); err != nil || len(list) < 30 {
		t.Fatalf("%d bundles, %v", len(list), err)
	}
	for _, v := range list {
		zip, err := os.ReadFile(filepath.Join(dir, v.File))
		if err != nil {
			t.Fatal(err)
		}
		keys, err := json.Marshal(v.Keys)
		if err != nil {
			t.Fatal(err)
		}
		script := fmt.Sprintf(`(async () => {
			const { checkBundle, Tampered } = await import("/static/bundle.js");
			const bytes = Uint8Array.from(atob(%q), (c) => c.charCodeAt(0));
			try { return (await checkBundle(bytes, %s, %q)).pinned ? "sound" : "cannot_tell"; }
			catch (problem) { return (problem instanceof Tampered ? "tampered " : "cannot_tell ") + problem.message; }
		})()`, base64.StdEncoding.EncodeToString(zip), keys, v.SealKey)
		got := browser.Eval[string](w, script)
		if word, _, _ := strings.Cut(got, " "); word != v.Want {
			t.Errorf("%s is %s, want %s", v.File, got, v.Want)
		}
	}
	checkPageWithBundle(t, filepath.Join(dir, "all.zip"), func(file string) string {
		w.Do(chromedp.SetUploadFiles(`#file`, []string{file}), chromedp.WaitVisible(`.verdict.bad`))
		return browser.Read(w, chromedp.Text(`.verdict`))
	})
	w.Picture("verify-bundle")
	w.Do(chromedp.Navigate(access.URL+"log/0"), chromedp.WaitVisible(`[data-check-proof]`), chromedp.Click(`[data-check-proof]`), chromedp.WaitVisible(`output[data-proof].good`))
	if said := browser.Read(w, chromedp.Text(`output[data-proof]`)); !strings.HasPrefix(said, "Sound. This row is number 0 of ") {
		t.Errorf("the record page says %q", said)
	}
}

// checkPageWithBundle gives the page another log's bundle: it must not pass by this log's keys.
func checkPageWithBundle(t *testing.T, file string, ask func(string) string) {
	t.Helper()
	absolute, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	if said := ask(absolute); !strings.HasPrefix(said, "Tampered. ") || !strings.Contains(said, "another log") {
		t.Errorf("the page says %q of a bundle of another log", said)
	}
}
