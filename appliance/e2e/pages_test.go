package e2e

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"netaudit/appliance"
	"netaudit/ui/browser"
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

func TestAlarmLeadsDownToItsRow(t *testing.T) {
	needRoot(t)
	access := watchDemo(t)
	w := browser.Open(t, access.URL)
	w.Dress("light", 1280)
	w.Do(chromedp.Navigate(access.Login), chromedp.WaitVisible(`.hero.bad`)) // the page renews itself: nobody presses reload
	rule := browser.Read(w, chromedp.Text(`.findings .bad .rule`))
	w.Do(chromedp.Click(`.findings .bad .rows a`), chromedp.WaitVisible(`#seal`))
	destination, class := browser.Read(w, chromedp.Text(`.lead .hostname`)), browser.Read(w, chromedp.Text(`.lead .badge`))
	if rule != "A3" || class != "MIT" || !strings.HasSuffix(destination, "mit-odoo.de") {
		t.Errorf("rule %q leads to a call to %q of party %q; want A3 and an undeclared call to MIT", rule, destination, class)
	}
	w.Picture("demo-record")
}
