package resolve

import (
	"sync"
	"time"

	"netaudit/attribution"
)

// route is a way into one process: method and path pattern.
type route struct {
	pid     int
	start   uint64
	request string
}

// routes remembers who answered lately. Safe for concurrent use.
type routes struct {
	mu    sync.Mutex
	known map[route]routeAnswer
}

// routeAnswer is what the looks at a route have shown.
type routeAnswer struct {
	looks  int
	latest time.Time // look

	addon attribution.Addon // that was seen answering last
	seen  time.Time         // when; zero: never
	mixed bool              // several addons answer the route: memory cannot tell which
}

// An installed or removed module changes who answers a route: memory is short. mostRoutes bounds it; when it is full it begins anew.
const (
	routeLife  = time.Minute
	mostRoutes = 4096
)

// After settledBy looks that saw no two addons answer a route it is settled: it is looked at once in settledFor, and named from memory in between. Some routes are answered so fast that hardly a look
// sees it: looking more often would only cost more.
const (
	settledBy  = 16
	settledFor = time.Second
)

// put notes a look, and who was seen answering; nil when nobody was.
func (r *routes) put(k route, a *attribution.Addon, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || len(r.known) >= mostRoutes {
		r.known = map[route]routeAnswer{}
	}
	known := r.known[k]
	known.looks, known.latest = known.looks+1, now
	if a != nil {
		known.mixed = known.mixed || !known.seen.IsZero() && known.addon.Name != a.Name
		known.addon, known.seen = *a, now
	}
	r.known[k] = known
}

// get returns who answered the route a moment ago, if that was one addon only.
func (r *routes) get(k route, now time.Time) (attribution.Addon, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.known[k]
	return a.addon, !a.seen.IsZero() && !a.mixed && now.Before(a.seen.Add(routeLife))
}

// settled says whether nobody need look at the next request.
func (r *routes) settled(k route, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.known[k]
	return a.looks >= settledBy && !a.mixed && now.Before(a.latest.Add(settledFor))
}
