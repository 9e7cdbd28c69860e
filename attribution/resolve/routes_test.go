package resolve

import (
	"testing"
	"time"

	"netaudit/attribution"
)

func TestRouteIsSettledWhenLooksAgree(t *testing.T) {
	var r routes
	k, now := route{1, 2, "GET /shop"}, time.Unix(1000, 0)
	shop := attribution.Addon{Name: "shop"}
	for n := range settledBy {
		if r.settled(k, now) {
			t.Fatalf("settled after %d looks", n)
		}
		r.put(k, &shop, now)
	}
	if !r.settled(k, now) || r.settled(route{1, 3, "GET /shop"}, now) || r.settled(k, now.Add(settledFor)) {
		t.Error("not settled for a while, or another process's route is")
	}
	if a, ok := r.get(k, now.Add(settledFor)); !ok || a.Name != "shop" {
		t.Errorf("remembers %v, %+v", ok, a)
	}
	if _, ok := r.get(k, now.Add(routeLife)); ok {
		t.Error("remembers for ever")
	}
}

func TestRouteOfSeveralAddonsIsNeverNamedFromMemory(t *testing.T) {
	var r routes
	k, now := route{1, 2, "GET /page"}, time.Unix(1000, 0)
	theme, shop := attribution.Addon{Name: "theme"}, attribution.Addon{Name: "shop"}
	r.put(k, &theme, now)
	for range settledBy {
		r.put(k, &shop, now)
	}
	if _, ok := r.get(k, now); ok || r.settled(k, now) {
		t.Error("one of two addons was remembered")
	}
}

func TestRouteThatIsAnsweredTooFastIsLookedAtNowAndThen(t *testing.T) {
	var r routes
	k, now := route{1, 2, "POST /xmlrpc/2/common"}, time.Unix(1000, 0)
	for range settledBy {
		r.put(k, nil, now)
	}
	if _, ok := r.get(k, now); ok || !r.settled(k, now) || r.settled(k, now.Add(settledFor)) {
		t.Error("somebody is remembered, or the next look comes too early or too late")
	}
}
