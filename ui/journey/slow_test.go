package journey

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"netaudit/ledger/ledgertest"
)

// TestPageThatArrivesInPiecesHoldsStill: over a slow line, or on a busy computer, a browser shows what it has of a page, and what comes later pushes that aside.
func TestPageThatArrivesInPiecesHoldsStill(t *testing.T) {
	s := shared(t, ledgertest.Alarm)
	at, err := url.Parse(s.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	line := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(at) }, ModifyResponse: func(r *http.Response) error {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
			r.Body = &pieces{r.Body}
		}
		return nil
	}}
	server := httptest.NewServer(line)
	defer server.Close()
	defer server.CloseClientConnections()
	slow := *s
	slow.server = server
	w := slow.enter(t, "")
	for _, path := range []string{"modules?range=7d", "settings", "log?dest=nowhere.example"} {
		w.Go(path)
		if shift, what := w.Shifts(); shift > mostShift {
			t.Errorf("%s: the page moved by itself (layout shift %.4f: %s)", path, shift, what)
		}
	}
}

// pieces gives what it reads in pieces, with pauses in between in which a browser paints.
type pieces struct{ io.ReadCloser }

func (p *pieces) Read(b []byte) (int, error) {
	time.Sleep(25 * time.Millisecond)
	return p.ReadCloser.Read(b[:min(len(b), 500)])
}
