package appliance

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"netaudit/attribution/resolve"
	"netaudit/dissect"
)

// failureLog writes mistakes in dissection and attribution, which both survive, to the log: one a minute, for whoever found a way to cause them can do so with every packet. Those in dissection are counted in metrics and heartbeat rows,
// those in attribution are the reason of their rows. Safe for concurrent use.
type failureLog struct {
	log    *slog.Logger
	mu     sync.Mutex
	next   time.Time
	silent int // since the last one that was written
}

const failureEvery = time.Minute

func (l *failureLog) dissection(f dissect.Failure) {
	l.write("a packet could not be read because of a mistake in netaudit; its conversation is not read any further, all others are; please report this", f.Value, f.Stack)
}

func (l *failureLog) attribution(f resolve.Failure) {
	l.write("a caller could not be named because of a mistake in netaudit; all others are; please report this", f.Value, f.Stack)
}

func (l *failureLog) write(message string, value any, stack []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Before(l.next) {
		l.silent++
		return
	}
	l.log.Error(message, "mistake", fmt.Sprint(value), "others_since_the_last_report", l.silent, "stack", string(stack))
	l.next, l.silent = now.Add(failureEvery), 0
}
