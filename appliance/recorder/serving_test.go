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

// servedLocally lets a program of this host send a request to another; server is who is said to answer.
func servedLocally(t *testing.T, server attribution.Owner) ledger.Event {
	t.Helper()
	a := &slowAsker{}
	r, events := newRecorder(t, a)
	f := outboundFlow()
	f.Direction = dissect.Local
	r.FlowOpened(f)
	caller := owner("")
	caller.Addon, caller.Evidence.Reason = nil, "no addon on the stack of the calling thread"
	a.questions[0](caller)
	h := &dissect.HTTP{Method: "POST", Path: "/jsonrpc", Start: 10, End: 20}
	r.HTTPBegan(f, h)
	r.HTTPRequest(f, h)
	a.questions[1](server)
	if len(*events) != 1 {
		t.Fatalf("%d rows", len(*events))
	}
	return (*events)[0]
}

func TestRowOfALocalRequestSaysWhyItsControllerIsNotKnown(t *testing.T) {
	said := attribution.Evidence{Source: attribution.SourceProcess, Confidence: attribution.ConfidenceExact, Reason: "no controller was seen"}
	odoo := servedLocally(t, attribution.Owner{Process: &attribution.Process{PID: 8069, Role: "odoo_http"}, Evidence: said})
	if odoo.Process.PID != 8069 || odoo.Evidence.Reason != "no controller was seen" {
		t.Errorf("answered by Odoo: %+v, %+v", odoo.Process, odoo.Evidence)
	}
	other := servedLocally(t, attribution.Owner{Process: &attribution.Process{PID: 80, Role: "other"}, Evidence: said})
	if other.Process.PID != 42 || other.Evidence.Reason != "no addon on the stack of the calling thread" {
		t.Errorf("answered by another program: %+v, %+v", other.Process, other.Evidence)
	}
	said.Reason = "nobody had accepted the connection"
	nobody := servedLocally(t, attribution.Owner{Evidence: said})
	if nobody.Process.PID != 42 || !strings.HasSuffix(nobody.Evidence.Reason, "thread; who answers is not known: nobody had accepted the connection") {
		t.Errorf("answered by nobody who is known: %+v, %+v", nobody.Process, nobody.Evidence)
	}
}
