package ui

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// period is the time that a page looks at.
type period struct {
	Windows  []window
	From, To time.Time
	Key      string // of the chosen window; "custom" for from and to
	Problem  string // why a wish was not followed, for people; "" if it was
}

const (
	customKey     = "custom"
	longestPeriod = 400 * 24 * time.Hour
	minuteLayout  = "2006-01-02T15:04" // as <input type="datetime-local"> writes it; UTC here
)

// Custom says whether from and to were given.
func (p period) Custom() bool { return p.Key == customKey }

// FromInput and ToInput are the ends as inputs of forms want them.
func (p period) FromInput() string { return p.From.UTC().Format(minuteLayout) }

// ToInput is the end; see FromInput.
func (p period) ToInput() string { return p.To.UTC().Format(minuteLayout) }

// Query chooses the same period again: range=24h, or range=custom&from=…&to=….
func (p period) Query() string {
	if p.Custom() {
		return "range=custom&from=" + p.FromInput() + "&to=" + p.ToInput()
	}
	return "range=" + p.Key
}

// period reads the wish of a request: range=24h and so on until now, or range=custom with from and to in UTC.
func (p *pages) period(c *gin.Context, of []window, fallback int) period {
	list, length := chosen(of, c.Query("range"), fallback)
	now := time.Now().UTC()
	out := period{Windows: list, From: now.Add(-length), To: now}
	if length >= 24*time.Hour {
		out.From = out.From.Truncate(time.Hour) // whole hours are added up already
	}
	for _, w := range list {
		if w.Chosen {
			out.Key = w.Key
		}
	}
	if c.Query("range") != customKey {
		return out
	}
	from, fromErr := time.Parse(minuteLayout, c.Query("from"))
	to, toErr := time.Parse(minuteLayout, c.Query("to"))
	w := p.words(c)
	switch {
	case fromErr != nil || toErr != nil:
		out.Problem = w.Text("Write both ends like 2026-11-24T06:00, in UTC.")
	case !from.Before(to):
		out.Problem = w.Text("The begin must lie before the end.")
	case to.Sub(from) > longestPeriod:
		out.Problem = w.Text("That is longer than 400 days.")
	default:
		for i := range out.Windows {
			out.Windows[i].Chosen = false
		}
		out.From, out.To, out.Key = from, to, customKey
	}
	return out
}

// visitCookie keeps how far a reader has read: two pairs of a row's number and a time, nothing else.
const visitCookie = "netaudit_visit"

const (
	visitPause = 30 * time.Minute // a look after a longer pause is another visit
	visitLife  = 365 * 24 * 3600  // seconds
)

// visit is what a reader has seen before this visit began.
type visit struct {
	Rows uint64 // 0: this is the first visit
	At   time.Time
}

// visit reads the cookie and sets it anew. Reloading a page, or letting it renew itself, is the same visit.
func (p *pages) visit(c *gin.Context) visit {
	now, size := time.Now().Truncate(time.Second), p.o.Ledger.Size()
	before, last := visit{}, visit{}
	if cookie, err := c.Request.Cookie(visitCookie); err == nil {
		before, last = readVisits(cookie.Value, size, now)
	}
	if !last.At.IsZero() && now.Sub(last.At) > visitPause {
		before = last
	}
	value := before.text() + "." + visit{size, now}.text()
	http.SetCookie(c.Writer, &http.Cookie{Name: visitCookie, Value: value, Path: "/", MaxAge: visitLife, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.Request.TLS != nil})
	return before
}

func (v visit) text() string {
	if v.At.IsZero() {
		return "0.0"
	}
	return strconv.FormatUint(v.Rows, 10) + "." + strconv.FormatInt(v.At.Unix(), 10)
}

// readVisits reads what a browser sends. What cannot be, for example rows that the log does not have, was another log's.
func readVisits(text string, size uint64, now time.Time) (before, last visit) {
	parts := strings.Split(text, ".")
	if len(parts) != 4 {
		return visit{}, visit{}
	}
	read := func(i int) visit {
		rows, rowsErr := strconv.ParseUint(parts[i], 10, 63)
		at, atErr := strconv.ParseInt(parts[i+1], 10, 48)
		if rowsErr != nil || atErr != nil || rows > size || at <= 0 || at > now.Unix() {
			return visit{}
		}
		return visit{rows, time.Unix(at, 0)}
	}
	return read(0), read(2)
}
