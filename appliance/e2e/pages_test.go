package e2e

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"netaudit/appliance"
)

// demoTime is enough for the demo to make calls that raise the alarm, with slow machines in mind.
const demoTime = 90 * time.Second

// watchDemo runs the demo until the test ends and returns its addresses.
func watchDemo(t *testing.T) appliance.Access {
	t.Helper()
	c := appliance.DefaultConfig()
	c.State, c.Listen = filepath.Join(t.TempDir(), "state"), "127.0.0.1:0"
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan appliance.Access, 1), make(chan struct{})
	go func() {
		defer close(done)
		logger := slog.New(slog.NewTextHandler(t.Output(), nil))
		if err := appliance.RunDemo(ctx, c, logger, func(a appliance.Access) { ready <- a }); err != nil {
			t.Errorf("demo: %v", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	select {
	case a := <-ready:
		return a
	case <-done:
		t.Fatal("the demo did not start")
	case <-time.After(demoTime):
		t.Fatal("the demo did not start in time")
	}
	return appliance.Access{}
}

// browse opens a real Chromium that reports whatever a page does wrong: script errors, refused content, requests to other hosts.
func browse(t *testing.T, base string) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.WindowSize(1280, 900))
	allocated, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated, chromedp.WithListener(func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("script error: %s", e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				t.Errorf("browser: %s %s", e.Entry.Text, e.Entry.URL)
			}
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, base) && !strings.HasPrefix(e.Request.URL, "data:") { // the browser draws its own controls with data: pictures
				t.Errorf("the page asked %s", e.Request.URL)
			}
		}
	}))
	t.Cleanup(cancel)
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// do runs steps on the page and fails the test when one of them does not succeed in time.
func do(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	if err := chromedp.Do(limited, steps...); err != nil {
		t.Fatal(err)
	}
}

// read runs one step and returns what it found.
func read[T any](t *testing.T, ctx context.Context, step chromedp.Action[T]) T {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	v, err := chromedp.Run(limited, step)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// picture keeps a screenshot where NETAUDIT_SCREENSHOTS says, for people to look at.
func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("NETAUDIT_SCREENSHOTS")
	if dir == "" {
		return
	}
	png := read(t, ctx, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

func dress(t *testing.T, ctx context.Context, scheme string, width int64) {
	t.Helper()
	do(t, ctx, chromedp.EmulateViewport(width, 900))
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatal(err)
	}
}

func TestAlarmLeadsDownToItsRow(t *testing.T) {
	needRoot(t)
	access := watchDemo(t)
	ctx := browse(t, access.URL)
	dress(t, ctx, "light", 1280)
	do(t, ctx, chromedp.Navigate(access.Login), chromedp.WaitVisible(`.hero.bad`)) // the page renews itself: nobody presses reload
	if os.Getenv("NETAUDIT_SCREENSHOTS") != "" {
		do(t, ctx, chromedp.Sleep(20*time.Second)) // a fuller report to look at
	}
	picture(t, ctx, "report-light")
	dress(t, ctx, "dark", 1280)
	picture(t, ctx, "report-dark")
	rule := read(t, ctx, chromedp.Text(`.findings .bad .rule`))
	do(t, ctx, chromedp.Click(`.findings .bad .rows a`), chromedp.WaitVisible(`#seal`))
	destination, class := read(t, ctx, chromedp.Text(`.lead .hostname`)), read(t, ctx, chromedp.Text(`.lead .badge`))
	if rule != "A3" || class != "MIT" || !strings.HasSuffix(destination, "mit-odoo.de") {
		t.Errorf("rule %q leads to a call to %q of party %q; want A3 and an undeclared call to MIT", rule, destination, class)
	}
	picture(t, ctx, "record-dark")
	dress(t, ctx, "light", 1280)
	picture(t, ctx, "record-light")
	checkWidths(t, ctx, access.URL)
}

// checkWidths opens every page on a phone and on a wide screen: nothing may stick out sideways.
func checkWidths(t *testing.T, ctx context.Context, base string) {
	t.Helper()
	pages := map[string]string{
		"report": "", "log": "log", "filtered": "log?party=mit_bound&addon=mit_maildesk", "record": "log/20", "first": "log/0", "verify": "verify",
		"glossary": "glossary", "gaps": "log?kind=gap", "modules": "modules", "destinations": "destinations", "traffic": "traffic", "coverage": "coverage", "all": "log?kind=all", "login": "login",
	}
	for name, path := range pages {
		for suffix, view := range map[string]struct {
			scheme string
			width  int64
		}{"narrow": {"dark", 360}, "wide": {"light", 1920}} {
			dress(t, ctx, view.scheme, view.width)
			do(t, ctx, chromedp.Navigate(base+path), chromedp.WaitVisible("footer"))
			if wide := read(t, ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth")); wide > view.width {
				t.Errorf("page %s at %d px: the content is %d px wide", name, view.width, wide)
			}
			picture(t, ctx, name+"-"+suffix)
		}
	}
}
