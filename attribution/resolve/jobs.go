package resolve

import (
	"sync"
	"time"
)

// jobs remembers for a moment what scheduled actions are called. A recorded stack has only their number, and the thread may have gone on when it is asked; but a lookup, or an earlier call of the same
// run, has told. Safe for concurrent use.
type jobs struct {
	mu    sync.Mutex
	known map[job]jobName
}

// job is a server action of one database, as one process runs it.
type job struct {
	pid      int
	start    uint64
	database string
	action   int
}

type jobName struct {
	name  string
	until time.Time
}

// Actions can be renamed: memory is short. mostJobs bounds it; when it is full it begins anew.
const (
	jobLife  = 10 * time.Second
	mostJobs = 1024
)

func (c *jobs) put(k job, name string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= mostJobs {
		c.known = map[job]jobName{}
	}
	c.known[k] = jobName{name, now.Add(jobLife)}
}

// get returns "" when the name is not known.
func (c *jobs) get(k job, now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.known[k]
	if now.After(n.until) {
		return ""
	}
	return n.name
}
