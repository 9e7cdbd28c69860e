package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/gin-gonic/gin"

	"netaudit/api"
	"netaudit/ledger"
	"netaudit/ledger/report"
	"netaudit/ui"
)

// pagePaths are the pages that readers open, with the windows and filters that they choose.
func pagePaths(size uint64) []string {
	return []string{
		"/", "/?range=7d", "/?range=30d", "/log", "/log?party=mit_bound", "/log?addon=mit_maildesk&channel=https", "/log?kind=gap", "/log?q=stands+nowhere",
		fmt.Sprintf("/log/%d", size/2), "/modules?range=30d", "/destinations?range=30d", "/traffic?range=30d", "/coverage", "/verify", "/access",
	}
}

// loadedPage is how long a page took, from asking to its last byte, over loopback.
type loadedPage struct {
	Path    string
	FirstMS float64
	MS      float64 // median of later times
}

// loadPages asks for every page as a browser that is logged in.
func loadPages(ctx context.Context, l *ledger.Ledger, now time.Time) (list []loadedPage, err error) {
	dir, err := os.MkdirTemp("", "netaudit-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	tokens, err := api.OpenTokens(filepath.Join(dir, "tokens.json"))
	if err != nil {
		return nil, err
	}
	gin.SetMode(gin.ReleaseMode)
	quiet := slog.New(slog.DiscardHandler)
	rules, verifier := report.Rules{Install: "host", LicenseAddons: []string{"mit_license"}, DailyBudget: 65536, Now: now}, api.NewVerifier(l)
	engine, err := api.New(api.Options{Ledger: l, Tokens: tokens, Version: "bench", Host: "bench", Rules: rules, Verifier: verifier, Logger: quiet})
	if err != nil {
		return nil, err
	}
	if err := ui.Mount(engine, ui.Options{Ledger: l, Tokens: tokens, Version: "bench", Host: "bench", Rules: rules, Verifier: verifier, Logger: quiet}); err != nil {
		return nil, err
	}
	server := httptest.NewServer(engine)
	defer server.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Jar: jar}
	code, err := tokens.OneTimeLogin(api.Roles...)
	if err != nil {
		return nil, err
	}
	if _, err := fetchPage(ctx, client, server.URL+"/login?code="+code+"&next=/glossary"); err != nil {
		return nil, err
	}
	const rounds = 5
	for _, path := range pagePaths(l.Size()) {
		p, took := loadedPage{Path: path}, []float64{}
		for i := range 1 + rounds {
			ms, err := fetchPage(ctx, client, server.URL+path)
			if err != nil {
				return nil, err
			}
			if i == 0 {
				p.FirstMS = ms
			} else {
				took = append(took, ms)
			}
		}
		p.MS = quantile(took, 0.5)
		list = append(list, p)
	}
	return list, nil
}

func fetchPage(ctx context.Context, client *http.Client, url string) (ms float64, err error) {
	begin := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, answer.Status)
	}
	return milliseconds(begin), err
}

// slowest is the page with the longest of some times.
func slowest(list []loadedPage, time func(loadedPage) float64) (p loadedPage) {
	for _, q := range list {
		if p.Path == "" || time(q) > time(p) {
			p = q
		}
	}
	return p
}
