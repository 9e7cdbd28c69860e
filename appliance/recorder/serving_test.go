package recorder

import (
	"strings"
	"testing"
	"time"

	"netaudit/attribution"
	"netaudit/dissect"
	"netaudit/ledger"
)

// servedBy lets a flow carry one request whose answer about the controller comes before or after the response's end.
func servedBy(t *testing.T, read int64, late bool) ledger.Event {
	t.Helper()
	a := &slowAsker{}
	r, events := newRecorder(t, a)
	f := outboundFlow()
	f.Direction = dissect.Inbound
	r.FlowOpened(f)
	a.questions[0](attribution.Owner{Process: &attribution.Process{PID: 1}, Evidence: attribution.Evidence{Source: attribution.SourceProcess}})
	h := &dissect.HTTP{Method: "GET", Path: "/shop/cart", Start: 10}
	r.HTTPBegan(f, h)
	if len(a.questions) != 2 || a.tuples[1].Local != f.Dst || a.tuples[1].Remote != f.Src {
		t.Fatalf("asked %+v", a.tuples)
	}
	o := owner("shop")
	o.Evidence.At = time.Unix(0, read)
	h.End = 20
	if late {
		r.HTTPRequest(f, h)
		if len(*events) != 0 {
			t.Fatal("the row did not wait")
		}
		a.questions[1](o)
	} else {
		a.questions[1](o)
		r.HTTPRequest(f, h)
	}
	if len(*events) != 1 {
		t.Fatalf("%d rows", len(*events))
	}
	return (*events)[0]
}

func TestRequestIsAnsweredByTheControllerSeenBeforeItsResponseEnded(t *testing.T) {
	for _, late := range []bool{false, true} {
		if e := servedBy(t, 15, late); e.Kind != "http" || e.Addon == nil || e.Addon.Name != "shop" || e.Process.PID != 42 {
			t.Errorf("late %v: %+v by %+v", late, e.Kind, e.Addon)
		}
		// A stack read later may be the next request's.
		if e := servedBy(t, 21, late); e.Addon != nil || e.Process.PID != 42 || !strings.Contains(e.Evidence.Reason, "before") {
			t.Errorf("late %v: a stack read after the response names %+v", late, e.Addon)
		}
	}
}

func TestRequestThatNobodyIsAskedAboutHasTheConnectionsOwner(t *testing.T) {
	a := &slowAsker{}
	r, events := newRecorder(t, a)
	f := outboundFlow()
	r.FlowOpened(f)
	h := &dissect.HTTP{Method: "GET", Path: "/"}
	r.HTTPBegan(f, h) // outbound: the caller is known by the connection
	r.HTTPRequest(f, h)
	a.questions[0](owner("sale"))
	if len(a.questions) != 1 || len(*events) != 1 || (*events)[0].Addon.Name != "sale" {
		t.Errorf("%d questions, rows %+v", len(a.questions), *events)
	}
}
