package appliance

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"netaudit/dissect"
)

// failureLog writes mistakes in dissection, which its engines survive, to the log: one a minute, for whoever found a way to cause them can do so with every packet. All are counted in metrics and heartbeat rows.
// Safe for concurrent use.
type failureLog struct {
	log    *slog.Logger
	mu     sync.Mutex
	next   time.Time
	silent int // since the last one that was written
}

const failureEvery = time.Minute

func (l *failureLog) failed(f dissect.Failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Before(l.next) {
		l.silent++
		return
	}
	l.log.Error("a packet could not be read because of a mistake in netaudit; its conversation is not read any further, all others are; please report this", "mistake", fmt.Sprint(f.Value), "others_since_the_last_report", l.silent, "stack", string(f.Stack))
	l.next, l.silent = now.Add(failureEvery), 0
}
