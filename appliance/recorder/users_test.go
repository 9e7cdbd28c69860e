package recorder

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"netaudit/attribution"
	"netaudit/dissect"
	"netaudit/ledger"
)

// use lets a flow be used again after a pause: a request of 10 bytes, then, after the question was asked, an answer of 100.
func use(r *Recorder, f *dissect.Flow) {
	f.End += 1_000_000_000
	f.SrcBytes, f.SrcPackets = f.SrcBytes+10, f.SrcPackets+1
	r.FlowActive(f, 10)
	f.DstBytes, f.DstPackets = f.DstBytes+100, f.DstPackets+1
}

// said is what a row says about its part of a connection: "addon sent/received", with the bytes since the row before.
func said(e *ledger.Event) string {
	name, out, in := "?", e.SrcBytes, e.DstBytes
	if e.Addon != nil {
		name = e.Addon.Name
	}
	if e.HasNew {
		out, in = e.NewSrcBytes, e.NewDstBytes
	}
	return fmt.Sprintf("%s %d/%d %s", name, out, in, e.State)
}

func saidOf(events []ledger.Event) (list []string) {
	for i := range events {
		list = append(list, said(&events[i]))
	}
	return list
}

func TestEachPartOfAKeptConnectionIsItsUsers(t *testing.T) {
	unseen := attribution.Owner{Process: &attribution.Process{PID: 42}, Evidence: attribution.Evidence{Source: attribution.SourceProcess, Confidence: attribution.ConfidenceUnknown, Reason: "nobody waited"}}
	for _, c := range []struct {
		what   string
		users  []attribution.Owner
		update int // a row after so many uses
		want   []string
	}{
		{"one addon", []attribution.Owner{owner("sale"), owner("sale")}, 9, []string{"sale 120/400 closed"}},
		{"two addons in turns", []attribution.Owner{owner("stock"), owner("sale"), owner("sale")}, 9, []string{"sale 100/200 update", "stock 10/100 update", "sale 20/200 closed"}},
		{"nobody was seen", []attribution.Owner{owner("sale"), unseen, owner("sale")}, 9, []string{"sale 110/300 update", "? 10/100 update", "sale 10/100 closed"}},
		{"a row between two users", []attribution.Owner{owner("stock"), owner("sale")}, 1, []string{"sale 100/200 update", "stock 10/100 update", "sale 10/100 closed"}},
		{"a row within a use", []attribution.Owner{owner("stock"), owner("stock")}, 1, []string{"sale 100/200 update", "stock 10/100 update", "stock 10/100 closed"}},
	} {
		for _, order := range []string{"at once", "at the end", "backwards"} {
			a := &slowAsker{}
			r, events := newRecorder(t, a)
			f := outboundFlow()
			r.FlowOpened(f)
			answers := append([]attribution.Owner{owner("sale")}, c.users...)
			for n := range answers {
				if n > 0 {
					use(r, f)
				}
				if order == "at once" {
					a.questions[n](answers[n])
				}
				if n == c.update {
					r.FlowUpdated(f)
				}
			}
			r.FlowClosed(f)
			for n := range answers {
				switch order {
				case "at the end":
					a.questions[n](answers[n])
				case "backwards":
					a.questions[len(answers)-1-n](answers[len(answers)-1-n])
				}
			}
			if got := saidOf(*events); !slices.Equal(got, c.want) {
				t.Errorf("%s, answered %s: %q, want %q", c.what, order, got, c.want)
			}
			last := (*events)[len(*events)-1]
			if last.SrcBytes != int64(f.SrcBytes) || last.DstBytes != int64(f.DstBytes) || last.End != f.End {
				t.Errorf("%s: the last row has %d/%d", c.what, last.SrcBytes, last.DstBytes)
			}
		}
	}
}

func TestUserThatWasNotSeenHasTheOneBeforeAsCandidate(t *testing.T) {
	a := &slowAsker{}
	r, events := newRecorder(t, a)
	f := outboundFlow()
	r.FlowOpened(f)
	a.questions[0](owner("sale"))
	use(r, f)
	a.questions[1](attribution.Owner{Evidence: attribution.Evidence{Source: attribution.SourceNone, Confidence: attribution.ConfidenceUnknown, Reason: "the socket was gone"}})
	r.FlowUpdated(f)
	r.FlowClosed(f)
	for _, e := range (*events)[1:] { // the later row too
		if e.Addon != nil || e.Process == nil || e.Process.PID != 42 || e.Evidence.Source != "process" || e.Evidence.Confidence != "unknown" || !slices.Equal(e.Evidence.Candidates, []string{"sale"}) || !strings.Contains(e.Evidence.Reason, "gone") {
			t.Errorf("addon %+v, process %+v, evidence %+v", e.Addon, e.Process, e.Evidence)
		}
	}
	if len(*events) != 3 {
		t.Errorf("%q", saidOf(*events))
	}
}

func TestFarewellIsNoUse(t *testing.T) {
	for _, c := range []struct {
		sent, heard uint64
		rows        int
	}{{longestFarewell, 0, 1}, {longestFarewell, longestReply, 1}, {longestFarewell + 1, 0, 2}, {1, longestReply + 1, 2}} {
		a := &slowAsker{}
		r, events := newRecorder(t, a)
		f := outboundFlow()
		r.FlowOpened(f)
		a.questions[0](owner("sale"))
		f.SrcBytes, f.SrcPackets = f.SrcBytes+c.sent, f.SrcPackets+1
		r.FlowActive(f, c.sent)
		f.DstBytes += c.heard
		a.questions[1](attribution.Owner{Evidence: attribution.Evidence{Source: attribution.SourceNone, Reason: "gone"}})
		r.FlowClosed(f)
		if len(*events) != c.rows {
			t.Errorf("%+v: %q", c, saidOf(*events))
		}
	}
}

func TestUsersInTurnsAreBounded(t *testing.T) {
	a := &slowAsker{}
	r, events := newRecorder(t, a)
	f := outboundFlow()
	r.FlowOpened(f)
	for n := range 100 {
		if n > 0 {
			use(r, f)
		}
		if n < len(a.questions) {
			a.questions[n](owner(fmt.Sprintf("addon%d", n)))
		}
	}
	r.FlowUpdated(f)
	if n := len(*events); n != mostUsers+1 || len(a.questions) != mostUsers || said(&(*events)[n-1]) != fmt.Sprintf("? %d/%d update", 10*(100-mostUsers), 100*(100-mostUsers)) {
		t.Errorf("%d questions, %q", len(a.questions), saidOf(*events))
	}
	use(r, f)
	a.questions[mostUsers](owner("later"))
	r.FlowClosed(f)
	if got := saidOf(*events)[mostUsers+1:]; !slices.Equal(got, []string{"later 10/100 closed"}) {
		t.Errorf("after the row: %q", got)
	}
}

func TestRequestHasTheUserOfItsBeginning(t *testing.T) {
	a := &slowAsker{}
	r, events := newRecorder(t, a)
	f := outboundFlow()
	r.FlowOpened(f)
	early := &dissect.HTTP{Method: "GET", Path: "/", Start: f.End, End: f.End + 5_000_000_000}
	use(r, f)
	late := &dissect.HTTP{Method: "GET", Path: "/", Start: f.End, End: f.End}
	r.HTTPRequest(f, late)
	r.HTTPRequest(f, early)
	a.questions[0](owner("sale"))
	a.questions[1](owner("stock"))
	if e := *events; len(e) != 2 || e[0].Addon.Name != "stock" || e[1].Addon.Name != "sale" {
		t.Errorf("%q", saidOf(*events))
	}
}

func TestOpenerThatWasSeenAfterTheNextUseBeganIsNotBelieved(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		a := &slowAsker{}
		r, events := newRecorder(t, a)
		f := outboundFlow()
		r.FlowOpened(f)
		use(r, f)
		late, next := owner("stock"), owner("stock")
		late.Evidence.At = time.Unix(0, f.End+1)
		next.Evidence.At = late.Evidence.At
		r.FlowClosed(f)
		for _, n := range order {
			a.questions[n]([]attribution.Owner{late, next}[n])
		}
		if got := saidOf(*events); !slices.Equal(got, []string{"? 100/200 update", "stock 10/100 closed"}) || !slices.Equal((*events)[0].Evidence.Candidates, []string{"stock"}) {
			t.Errorf("answered in the order %v: %q", order, got)
		}
	}
}
