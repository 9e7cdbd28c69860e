package api

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"netaudit/ledger"
)

// Rules of access rows: stable names.
const (
	AccessOpened  = "session_opened"
	AccessEnded   = "session_ended"
	AccessRefused = "refused"
	AccessToken   = "token_used"    // the first request of a token on a UTC day
	AccessExport  = "exported"      // rows or proofs left the appliance
	AccessSetting = "settings_read" // the configuration was looked at
)

// AccessLog writes who was let in and what was taken away as rows of the log itself. Looking at a page writes nothing: reading the report changes nothing, and who opened the session is known.
// Safe for concurrent use; nil writes nothing.
type AccessLog struct {
	ledger    *ledger.Ledger
	addresses bool
	log       *slog.Logger
	refusals  *rate.Limiter // whoever guesses must not fill the log

	mu   sync.Mutex
	day  string
	seen map[string]bool // readers with a row of the day
	held Held
	read bool // held was looked up in the log
}

// Held is what somebody took away: a checkpoint of so many rows proves each of them, wherever it is kept.
type Held struct {
	Rows uint64
	At   time.Time // zero: nobody has taken anything away
}

const (
	refusalEvery = 10 * time.Second
	refusalBurst = 20
)

// NewAccessLog writes to a ledger. Without addresses rows do not say where a request came from, as strict redaction wants it.
func NewAccessLog(l *ledger.Ledger, addresses bool, log *slog.Logger) *AccessLog {
	return &AccessLog{ledger: l, addresses: addresses, log: log, refusals: rate.NewLimiter(rate.Every(refusalEvery), refusalBurst), seen: map[string]bool{}}
}

// Note writes a row. The sentence is the access in English, without its end: where the request came from is added.
func (a *AccessLog) Note(ctx context.Context, r *http.Request, rule, sentence string) {
	if a == nil || rule == AccessRefused && !a.refusals.Allow() {
		return
	}
	if a.addresses {
		sentence += " from " + address(r)
	}
	now := time.Now().UnixNano()
	err := a.ledger.Append(ctx, ledger.Event{V: 1, Kind: "access", Rule: rule, Message: sentence + ".", Start: now, End: now})
	if err != nil {
		a.log.Error("an access could not be written into the log", "rule", rule, "error", err)
	}
}

// Opened notes a session.
func (a *AccessLog) Opened(ctx context.Context, r *http.Request, who Reader) {
	a.Note(ctx, r, AccessOpened, fmt.Sprintf("%q logged in as %s", who.Name, strings.Join(who.Roles, ", ")))
}

// Exported notes that somebody took something away together with the checkpoint of so many rows.
func (a *AccessLog) Exported(ctx context.Context, r *http.Request, who Reader, what string, rows uint64) {
	if a == nil {
		return
	}
	a.Note(ctx, r, AccessExport, fmt.Sprintf("%q exported %s with the checkpoint of %d rows", who.Name, what, rows))
	a.Held() // so that what follows counts on top of what the log says
	a.mu.Lock()
	defer a.mu.Unlock()
	if rows >= a.held.Rows {
		a.held = Held{rows, time.Now()}
	}
}

// exportedRows finds the rows of the checkpoint in a sentence of Exported.
var exportedRows = regexp.MustCompile(`with the checkpoint of (\d{1,18}) rows`)

// Held says up to which row checkpoints have been taken away, as far as the log's own rows say: what was copied from the disk is not known.
func (a *AccessLog) Held() Held {
	if a == nil {
		return Held{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.read {
		return a.held
	}
	a.read = true
	_, err := a.ledger.Search(context.Background(), ledger.Query{Kind: "access", Backward: true}, func(row ledger.Row, e *ledger.Event) bool {
		m := exportedRows.FindStringSubmatch(e.Message)
		if e.Rule != AccessExport || m == nil {
			return true
		}
		n, err := strconv.ParseUint(m[1], 10, 63)
		if err != nil || n > row.Seq {
			return true
		}
		a.held = Held{n, time.Unix(0, e.Start)}
		return false
	})
	if err != nil {
		a.log.Error("exports could not be looked up in the log", "error", err)
	}
	return a.held
}

// token notes the first request of a token on a UTC day.
func (a *AccessLog) token(ctx context.Context, r *http.Request, who Reader) {
	if a == nil || who.Local {
		return
	}
	day := time.Now().UTC().Format(time.DateOnly)
	a.mu.Lock()
	if day != a.day {
		a.day = day
		clear(a.seen)
	}
	first := !a.seen[who.Name]
	a.seen[who.Name] = true
	a.mu.Unlock()
	if first {
		a.Note(ctx, r, AccessToken, fmt.Sprintf("%q asked the API as %s, for the first time on this day", who.Name, strings.Join(who.Roles, ", ")))
	}
}

func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
