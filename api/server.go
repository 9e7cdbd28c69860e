package api

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"netaudit/ledger"
	"netaudit/ledger/report"
)

// Options says what to serve.
type Options struct {
	Ledger   *ledger.Ledger // required
	Rules    report.Rules
	Tokens   *Tokens // required
	Version  string
	Host     string // name of the watched host, for people
	Logger   *slog.Logger
	Health   func() Health // nil: always healthy
	Verifier *Verifier     // nil: one that verifies on demand only
	Metrics  http.Handler  // counters for monitoring; nil: none are served
	Access   *AccessLog    // nil: who reads is not written down
}

// Health says whether the appliance does its work.
type Health struct {
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// SessionCookie is the name of the pages' cookie.
const SessionCookie = "netaudit_session"

// server holds what the handlers share.
type server struct {
	o        Options
	failures failureLimit
}

// New returns the API's engine; the pages are mounted on it by ui.Mount.
func New(o Options) (*gin.Engine, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Health == nil {
		o.Health = func() Health { return Health{OK: true, Detail: "watching"} }
	}
	if o.Verifier == nil {
		o.Verifier = NewVerifier(o.Ledger)
	}
	gin.SetMode(gin.ReleaseMode)
	s := &server{o: o, failures: failureLimit{seen: map[string]failure{}}}
	r := gin.New()
	if err := r.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	r.Use(s.recovered, securityHeaders, s.knownHost)
	r.GET("/healthz", s.health)
	r.GET("/readyz", s.health)
	r.GET("/checkpoint", s.checkpointNote)
	r.GET("/tile/*path", s.tile)
	s.registerWitness(r)
	if o.Metrics != nil {
		r.GET("/metrics", s.metrics)
	}
	s.rest(r)
	return r, nil
}

// rest registers the typed endpoints; all but the description itself need a token or a session.
func (s *server) rest(r *gin.Engine) {
	config := huma.DefaultConfig("MIT Network Audit", s.o.Version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "/openapi", "", ""
	config.CreateHooks = nil // no $schema links in answers
	config.Info.Description = "Sealed rows of the audit log, their proofs, and the Trust Report. Reading only."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "A token with the auditor role: netaudit prints one at start-up, see docs/api.md."},
	}
	a := humagin.New(r, config)
	a.UseMiddleware(s.authorised(a))
	s.registerEvents(a)
	s.registerLedger(a)
}

// recovered turns a crash of a handler into an answer; the appliance goes on.
func (s *server) recovered(c *gin.Context) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Logger.Error("a request failed", "path", c.Request.URL.Path, "panic", p)
			c.AbortWithStatus(http.StatusInternalServerError)
		}
	}()
	c.Next()
}

// securityHeaders keep the pages to themselves: nothing from elsewhere, no framing, no sniffing, nothing in caches.
func securityHeaders(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	c.Next()
}

// knownHost refuses names that somebody else made resolve to this host (DNS rebinding): only addresses, localhost and this host's own name are
// asked for honestly.
func (s *server) knownHost(c *gin.Context) {
	host := c.Request.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	_, err := netip.ParseAddr(host)
	if err == nil || host == "localhost" || strings.EqualFold(host, s.o.Host) {
		c.Next()
		return
	}
	c.AbortWithStatusJSON(http.StatusMisdirectedRequest, gin.H{"title": "Unknown host name", "status": http.StatusMisdirectedRequest, "detail": "use the address that netaudit printed"})
}

func (s *server) health(c *gin.Context) {
	h := s.o.Health()
	status := http.StatusOK
	if err := s.o.Ledger.Err(); err != nil {
		h = Health{Detail: "the ledger stopped: " + err.Error()}
	}
	if !h.OK {
		status = http.StatusServiceUnavailable
	}
	c.JSON(status, h)
}

// Reader finds who sends a request, by its token or else its session.
func (t *Tokens) Reader(r *http.Request) (Reader, bool) {
	if secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return t.ByToken(secret)
	}
	cookie, err := r.Cookie(SessionCookie)
	if err != nil {
		return Reader{}, false
	}
	return t.BySession(cookie.Value)
}

// asksAsAuditor says whether a request may read metadata.
func (s *server) asksAsAuditor(r *http.Request) bool {
	reader, ok := s.o.Tokens.Reader(r)
	return ok && reader.Has(RoleAuditor)
}

func (s *server) authorised(a huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if status, text := s.refused(humagin.Unwrap(ctx)); status != 0 {
			_ = huma.WriteErr(a, ctx, status, text)
			return
		}
		next(ctx)
	}
}

// refused says with which status a request must be refused, 0 when it may go on.
func (s *server) refused(c *gin.Context) (status int, text string) {
	who := address(c.Request)
	if wait := s.failures.wait(who); wait > 0 {
		seconds := strconv.Itoa(int(wait/time.Second) + 1)
		c.Header("Retry-After", seconds)
		return http.StatusTooManyRequests, "too many refused requests; try again in " + seconds + " seconds"
	}
	reader, ok := s.o.Tokens.Reader(c.Request)
	switch {
	case !ok:
		s.failures.note(who)
		s.o.Access.Note(c.Request.Context(), c.Request, AccessRefused, "A request to the API without a valid token was refused")
		c.Header("WWW-Authenticate", `Bearer realm="netaudit"`)
		return http.StatusUnauthorized, "send a token: Authorization: Bearer …"
	case !reader.Has(RoleAuditor):
		return http.StatusForbidden, "this needs a token with the role " + RoleAuditor
	}
	if c.Request.Header.Get("Authorization") != "" {
		s.o.Access.token(c.Request.Context(), c.Request, reader)
	}
	return 0, ""
}

// metrics hands out counters for monitoring to whoever may read the log.
func (s *server) metrics(c *gin.Context) {
	if status, text := s.refused(c); status != 0 {
		c.String(status, text+"\n")
		return
	}
	s.o.Metrics.ServeHTTP(c.Writer, c.Request)
}

// failureLimit slows down guessing.
type failureLimit struct {
	mu   sync.Mutex
	seen map[string]failure
}

type failure struct {
	count int
	since time.Time
}

const (
	mostFailures  = 30
	failureWindow = time.Minute
)

func (l *failureLimit) note(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.seen[who]
	if time.Since(f.since) > failureWindow {
		f = failure{since: time.Now()}
	}
	f.count++
	if len(l.seen) > 4096 {
		clear(l.seen)
	}
	l.seen[who] = f
}

func (l *failureLimit) wait(who string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.seen[who]
	if f.count < mostFailures {
		return 0
	}
	return failureWindow - time.Since(f.since)
}
