package journey

import (
	"testing"

	"netaudit/ledger/ledgertest"
	"netaudit/ui/browser"
)

// budget is what a page may cost.
const (
	mostBytes    = 100_000 // of the page itself with everything that it fetches, as transferred
	mostRequests = 10
	hostileTimes = 2 // links carry names of 10 kB whole, or they would lead nowhere
	mostNodes    = 5000
	mostShift    = 0 // 0.1 is good (Core Web Vitals)
)

// TestEveryPageKeepsItsBudget opens every page once, over the most ordinary ledger and over the most hostile one: it must be small, hold still, fit into its window, and be nothing but text where rows have a say.
// Script errors, refused content and requests to anybody else fail every test of this package by themselves.
func TestEveryPageKeepsItsBudget(t *testing.T) {
	for _, variant := range []string{ledgertest.Alarm, ledgertest.Hostile} {
		t.Run(variant, func(t *testing.T) {
			s := shared(t, variant)
			w := s.enter(t, "")
			w.Expect("status of 404") // the page "problem"
			for _, p := range pagesOf(t, s) {
				w.Dress("light", 1440)
				w.Go(p.path)
				most := float64(mostBytes)
				if variant == ledgertest.Hostile {
					most *= hostileTimes
				}
				if requests, bytes := w.Traffic(); bytes > most || len(requests) > mostRequests {
					t.Errorf("%s: %.0f bytes in %d requests, want at most %.0f in %d", p.name, bytes, len(requests), most, mostRequests)
				}
				if n := browser.Eval[int](w, `document.querySelectorAll("*").length`); n > mostNodes {
					t.Errorf("%s: %d elements, want at most %d", p.name, n, mostNodes)
				}
				if shift, what := w.Shifts(); shift > mostShift && variant != ledgertest.Hostile {
					t.Errorf("%s: the page moved by itself (layout shift %.4f: %s)", p.name, shift, what)
				}
				checkInert(t, w, p.name)
				for _, width := range []int64{360, 3840} {
					w.Dress("light", width)
					if wide := browser.Eval[int64](w, "document.documentElement.scrollWidth"); wide > width {
						t.Errorf("%s: %d px wide in a window of %d px: %s", p.name, wide, width, browser.Eval[string](w, widest))
					}
				}
			}
		})
	}
}

// widest names an element that sticks out to the right.
const widest = `(() => { const out = [...document.querySelectorAll("main *, header *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll"));
	return out.slice(0, 3).map((e) => e.tagName + "." + (e.className.baseVal ?? e.className)).join(" ") })()`

// checkInert looks for anything that a row's text could have become.
func checkInert(t *testing.T, w *browser.Window, name string) {
	t.Helper()
	if n := browser.Eval[int](w, `document.querySelectorAll('img, iframe, object, embed, base, style, script:not([src^="/static/"]), [style], [onerror], [onclick], a[href^="javascript:" i]').length`); n != 0 {
		t.Errorf("%s: %d elements that no page of ours has", name, n)
	}
	if n := browser.Eval[int](w, `[...document.querySelectorAll("a[href], form[action]")].filter((e) => new URL(e.href || e.action, location).origin !== location.origin).length`); n != 0 {
		t.Errorf("%s: %d links lead elsewhere", name, n)
	}
	// A name that is written from right to left must not turn what stands around it.
	if s := browser.Eval[string](w, `(() => { const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); const bad = [];
		while (walk.nextNode()) { const t = walk.currentNode; if (/[\u202a-\u202e\u2066-\u2069]/.test(t.data)) { let e = t.parentElement, ok = false; for (; e && e !== document.body; e = e.parentElement) { const u = getComputedStyle(e).unicodeBidi; if (u.includes("isolate") || u === "plaintext") { ok = true; break } } if (!ok) bad.push(t.parentElement.tagName + "." + t.parentElement.className) } }
		return [...new Set(bad)].slice(0, 4).join(" ") })()`); s != "" {
		t.Errorf("%s: text with a writing direction of its own is not isolated in %s", name, s)
	}
}
