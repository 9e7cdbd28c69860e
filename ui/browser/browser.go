// Package browser drives Debian's Chromium in the tests of the pages. One browser serves all tests of a program; every test has a window of its own, with cookies of its own, that holds against the test
// whatever a page does wrong: script errors, content that the Content-Security-Policy refuses, requests to anybody else.
package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// stepTime bounds one step, with slow machines in mind.
const stepTime = 60 * time.Second

// shared is the browser of the program; the first window starts it.
var shared struct {
	sync.Mutex
	ctx  context.Context
	stop []context.CancelFunc
}

// Stop ends the browser, if one was started: call it after m.Run.
func Stop() {
	shared.Lock()
	defer shared.Unlock()
	for i := len(shared.stop) - 1; i >= 0; i-- {
		shared.stop[i]()
	}
	shared.ctx, shared.stop = nil, nil
}

func start() (context.Context, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.ctx != nil {
		return shared.ctx, nil
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.WindowSize(1440, 900), chromedp.Flag("hide-scrollbars", true))
	allocated, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocated)
	if err := chromedp.Do(ctx); err != nil {
		stop()
		stopAllocator()
		return nil, fmt.Errorf("start Chromium: %w", err)
	}
	shared.ctx, shared.stop = ctx, []context.CancelFunc{stopAllocator, stop}
	return ctx, nil
}

// Window is one window with a profile of its own. One goroutine owns it.
type Window struct {
	T    testing.TB
	Base string // of the site, with a slash at the end
	ctx  context.Context

	mu       sync.Mutex
	requests []string
	bytes    float64 // received since the last Go, as transferred
	failures []string
	expected []string // parts of messages that are no failure
}

// watch notes how much the page moves by itself, from its first moment on, and tells what the Content-Security-Policy refused.
const watch = `
globalThis.shifted = 0;
globalThis.shiftedWhat = [];
new PerformanceObserver((list) => {
  for (const e of list.getEntries()) {
    if (e.hadRecentInput) continue;
    globalThis.shifted += e.value;
    for (const s of e.sources) {
      const place = (r) => [r.x, r.y, r.width, r.height].map(Math.round).join(" ");
      globalThis.shiftedWhat.push(s.node?.nodeName + "." + (s.node?.className ?? "") + " from " + place(s.previousRect) + " to " + place(s.currentRect) + " at " + Math.round(e.startTime) + " ms");
    }
  }
}).observe({ type: "layout-shift", buffered: true });
document.addEventListener("securitypolicyviolation", (e) => console.error("refused by the Content-Security-Policy:", e.violatedDirective, e.blockedURI, e.sourceFile, e.lineNumber));`

// Open opens a window for a test. base is the site's address with a slash at the end. It is closed, and its failures are the test's, when the test ends.
func Open(t testing.TB, base string) *Window {
	t.Helper()
	parent, err := start()
	if err != nil {
		t.Fatal(err)
	}
	w := &Window{T: t, Base: base}
	ctx, cancel := chromedp.NewContext(parent, chromedp.WithNewBrowserContext(), chromedp.WithListener(w.event))
	w.ctx = ctx
	t.Cleanup(func() {
		w.report()
		cancel()
	})
	for name, step := range map[string]func() error{
		"network": func() error { _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); return err },
		"log":     func() error { _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); return err },
		"watch": func() error {
			_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watch})
			return err
		},
	} {
		if err := step(); err != nil {
			t.Fatalf("open a window (%s): %v", name, err)
		}
	}
	return w
}

// event is called by chromedp in a goroutine of its own.
func (w *Window) event(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fail := func(format string, args ...any) { w.failures = append(w.failures, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		fail("script error: %s", text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			var parts []string
			for _, a := range e.Args {
				parts = append(parts, string(a.Value))
			}
			fail("console: %s", strings.Join(parts, " "))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			fail("browser: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		w.requests = append(w.requests, e.Request.URL)
		if !strings.HasPrefix(e.Request.URL, w.Base) && !strings.HasPrefix(e.Request.URL, "data:") { // the browser draws its own controls with data: pictures
			fail("the page asked %s", e.Request.URL)
		}
	case *network.EventLoadingFinished:
		w.bytes += e.EncodedDataLength
	}
}

// Expect names parts of messages that are right here, such as a status that the test provokes.
func (w *Window) Expect(parts ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expected = append(w.expected, parts...)
}

func (w *Window) report() {
	w.mu.Lock()
	defer w.mu.Unlock()
next:
	for _, f := range w.failures {
		for _, part := range w.expected {
			if strings.Contains(f, part) {
				continue next
			}
		}
		w.T.Error(f)
	}
}

// Do waits until the page is whole, runs steps and fails the test when one does not succeed in time.
func (w *Window) Do(steps ...chromedp.Action[chromedp.Void]) {
	w.T.Helper()
	w.settle()
	ctx, cancel := context.WithTimeout(w.ctx, stepTime)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.T.Fatalf("%v; the window is at %s", err, w.where())
	}
}

func (w *Window) where() string {
	ctx, cancel := context.WithTimeout(w.ctx, stepTime/6)
	defer cancel()
	at, err := chromedp.Run(ctx, chromedp.Location())
	if err != nil {
		return "an unknown place: " + err.Error()
	}
	return at
}

// Read waits until the page is whole, runs one step and returns what it found.
func Read[T any](w *Window, step chromedp.Action[T]) T {
	w.T.Helper()
	w.settle()
	ctx, cancel := context.WithTimeout(w.ctx, stepTime)
	defer cancel()
	v, err := chromedp.Run(ctx, step)
	if err != nil {
		w.T.Fatalf("%v; the window is at %s", err, w.where())
	}
	return v
}

// Eval returns the value of an expression on the page. Scripts of the test are not subject to the page's Content-Security-Policy.
func Eval[T any](w *Window, expression string) T {
	w.T.Helper()
	return Read(w, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Go opens a path of the site and waits for its foot.
func (w *Window) Go(path string) {
	w.T.Helper()
	w.mu.Lock()
	w.requests, w.bytes = nil, 0
	w.mu.Unlock()
	w.Do(chromedp.Navigate(w.Base+strings.TrimPrefix(path, "/")), chromedp.WaitVisible("footer"))
}

// Traffic is what was asked for and how many bytes came since the last Go.
func (w *Window) Traffic() (requests []string, bytes float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.requests...), w.bytes
}

// Wait waits until an expression on the page is true, also when the page is another one by then.
func (w *Window) Wait(expression string) {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, stepTime)
	defer cancel()
	for {
		yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if err == nil && yes {
			return
		}
		select {
		case <-ctx.Done():
			w.T.Fatalf("waiting for %s: %v; the window is at %s", expression, err, w.where())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// settle waits until the page and its scripts are there: what is pressed or read before that meets a page without its handlers, or half of one.
func (w *Window) settle() {
	w.T.Helper()
	w.Wait(`document.readyState === "complete"`)
}

// keyCodes are those of the keys that are no character, as Windows numbers them; the protocol wants them.
var keyCodes = map[string]int64{"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}

// Press waits until the page is whole and presses keys one after the other, each by its name (KeyboardEvent.key). A character is typed only where the page lets the key do what it usually does.
func (w *Window) Press(keys ...string) {
	w.T.Helper()
	w.settle()
	for _, key := range keys {
		down := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: key, WindowsVirtualKeyCode: keyCodes[key]}
		switch {
		case key == "Enter":
			down.Text = "\r"
		case keyCodes[key] == 0:
			down.Text = key
		}
		for _, event := range []input.DispatchKeyEventParams{down, {Type: input.DispatchKeyEventTypeKeyUp, Key: key, WindowsVirtualKeyCode: keyCodes[key]}} {
			if _, err := chromedp.Call(w.ctx, input.DispatchKeyEvent, event); err != nil {
				w.T.Fatalf("press %s: %v", key, err)
			}
		}
	}
}

// Dress chooses the colours ("light" or "dark") and the width in CSS pixels.
func (w *Window) Dress(scheme string, width int64) {
	w.T.Helper()
	w.Do(chromedp.EmulateViewport(width, 900))
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(w.ctx, emulation.SetEmulatedMedia, media); err != nil {
		w.T.Fatal(err)
	}
}

// WithoutScripts makes a window in which pages have no JavaScript. The test's own Eval still works.
func (w *Window) WithoutScripts() {
	w.T.Helper()
	if _, err := chromedp.Call(w.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		w.T.Fatal(err)
	}
}

// Shifts is how much the page moved by itself since it was opened, 0 for not at all, and what moved.
func (w *Window) Shifts() (score float64, what string) {
	w.T.Helper()
	return Eval[float64](w, "globalThis.shifted"), Eval[string](w, `[...new Set(globalThis.shiftedWhat)].join(" ")`)
}

// PicturesTo is the folder for pictures that people look at, "" when nobody wants any.
func PicturesTo() string { return os.Getenv("NETAUDIT_SCREENSHOTS") }

// Picture keeps a picture of the whole page in PicturesTo.
func (w *Window) Picture(name string) {
	w.T.Helper()
	if dir := PicturesTo(); dir != "" {
		w.write(filepath.Join(dir, name+".png"), Read(w, chromedp.FullScreenshot(100)))
	}
}

// View keeps a picture of what is seen without scrolling in PicturesTo.
func (w *Window) View(name string) {
	w.T.Helper()
	if dir := PicturesTo(); dir != "" {
		w.write(filepath.Join(dir, name+".png"), Read(w, chromedp.CaptureScreenshot()))
	}
}

func (w *Window) write(path string, data []byte) {
	w.T.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		w.T.Fatal(err)
	}
}
