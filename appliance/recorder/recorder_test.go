package recorder

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"netaudit/attribution"
	"netaudit/dissect"
	"netaudit/ledger"
)

// slowAsker keeps every question until the test answers it: attribution may answer before or after a flow ends.
type slowAsker struct {
	full      bool
	questions []func(attribution.Owner)
	tuples    []attribution.Tuple
	inbound   int
}

func (a *slowAsker) Ask(t attribution.Tuple, done func(attribution.Owner)) bool {
	if a.full {
		return false
	}
	a.tuples = append(a.tuples, t)
	a.questions = append(a.questions, done)
	return true
}

func (a *slowAsker) AskUser(t attribution.Tuple, _ time.Time, done func(attribution.Owner)) bool {
	return a.Ask(t, done)
}

func (a *slowAsker) AskInbound(t attribution.Tuple, done func(attribution.Owner)) bool {
	a.inbound++
	return a.Ask(t, done)
}

func (a *slowAsker) AskServing(t attribution.Tuple, _ string, _ func() bool, done func(attribution.Owner)) bool {
	return a.Ask(t, done)
}

type oneParty struct{}

func (oneParty) Match(host string, ip netip.Addr) attribution.Party {
	return attribution.Party{Class: attribution.ThirdParty, Name: host + ip.String(), Rule: "test"}
}

func newRecorder(t *testing.T, a *slowAsker) (*Recorder, *[]ledger.Event) {
	t.Helper()
	var events []ledger.Event
	c := Config{Parties: oneParty{}, Emit: func(e ledger.Event) { events = append(events, e) }, RunID: "t", NetNS: 7}
	if a != nil {
		c.Asker = a
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r, &events
}

func outboundFlow() *dissect.Flow {
	return &dissect.Flow{
		ID: 35, Proto: 6, Direction: dissect.Outbound, Channel: "https", Start: 1_000_000_000, End: 3_000_000_000,
		Src: netip.MustParseAddrPort("10.0.0.1:40000"), Dst: netip.MustParseAddrPort("203.0.113.9:443"),
		SrcBytes: 100, DstBytes: 200, Host: "api.example", HostSource: dissect.HostSNI,
	}
}

func owner(addon string) attribution.Owner {
	return attribution.Owner{
		Process:  &attribution.Process{PID: 42, Exe: "/usr/bin/python3"},
		Addon:    &attribution.Addon{Name: addon},
		Evidence: attribution.Evidence{Source: attribution.SourceThread, Confidence: attribution.ConfidenceExact},
	}
}

func TestRowWaitsForItsOwnerAndIsWrittenOnce(t *testing.T) {
	a := &slowAsker{}
	r, events := newRecorder(t, a)
	f := outboundFlow()
	r.FlowOpened(f)
	r.FlowClosed(f)
	if len(*events) != 0 {
		t.Fatalf("row written before its owner was known: %+v", *events)
	}
	a.questions[0](owner("sale"))
	a.questions[0](owner("stock")) // a second answer must change nothing
	if len(*events) != 1 || (*events)[0].Addon == nil || (*events)[0].Addon.Name != "sale" {
		t.Fatalf("events %+v, want one row of addon sale", *events)
	}
	e := (*events)[0]
	if e.FlowID != "t-z" || e.Dst.Host != "api.example" || e.Dst.HostSource != "sni" || e.DurationUS != 2_000_000 {
		t.Errorf("flow id %q, dst %+v, duration %d", e.FlowID, e.Dst, e.DurationUS)
	}
}

func TestConnectionFromBeforeHasAProcessAndACandidateButNoCaller(t *testing.T) {
	a := &slowAsker{}
	r, events := newRecorder(t, a)
	f := outboundFlow()
	f.MidStream = true
	r.FlowOpened(f)
	o := owner("sale")
	o.Stack = []attribution.Frame{{Function: "post"}}
	a.questions[0](o)
	r.FlowClosed(f)
	e := (*events)[0]
	if e.Addon != nil || e.Process == nil || len(e.Evidence.Stack) != 0 || e.Evidence.Confidence != "unknown" || !slices.Equal(e.Evidence.Candidates, []string{"sale"}) || !e.MidStream {
		t.Errorf("addon %+v, evidence %+v", e.Addon, e.Evidence)
	}
}

func TestQuestionNamesTheLocalEndInItsNamespace(t *testing.T) {
	a := &slowAsker{}
	r, _ := newRecorder(t, a)
	in := outboundFlow()
	in.Direction = dissect.Inbound
	r.FlowOpened(in)
	if a.inbound != 1 || a.tuples[0].Local != in.Dst || a.tuples[0].NetNS != 7 {
		t.Errorf("asked %+v (inbound %d), want the destination as local end in namespace 7", a.tuples, a.inbound)
	}
	passing := outboundFlow()
	passing.ID, passing.Direction = 36, dissect.Transit
	r.FlowOpened(passing)
	if len(a.tuples) != 1 {
		t.Error("asked for the owner of a flow that only passes through")
	}
}

func TestLaterRowsSayWhatIsNewSinceTheRowBefore(t *testing.T) {
	r, events := newRecorder(t, nil)
	f := outboundFlow()
	r.FlowOpened(f)
	r.FlowUpdated(f)
	f.SrcBytes, f.DstBytes = 150, 1200
	r.FlowClosed(f)
	first, last := (*events)[0], (*events)[1]
	if first.HasNew || first.State != "update" || first.SrcBytes != 100 {
		t.Errorf("first row %+v, want 100 bytes and nothing new", first)
	}
	if !last.HasNew || last.NewSrcBytes != 50 || last.NewDstBytes != 1000 || last.SrcBytes != 150 || last.State != "closed" {
		t.Errorf("last row %+v, want 50 and 1000 new bytes", last)
	}
	if len(r.calls) != 0 {
		t.Errorf("%d calls kept after their flows closed", len(r.calls))
	}
}

func TestFullQueueIsSaidOnTheRow(t *testing.T) {
	r, events := newRecorder(t, &slowAsker{full: true})
	f := outboundFlow()
	r.FlowOpened(f)
	r.FlowClosed(f)
	if len(*events) != 1 || (*events)[0].Evidence == nil || (*events)[0].Evidence.Reason == "" || (*events)[0].Evidence.Source != "none" {
		t.Fatalf("events %+v, want one row with source none and a reason", *events)
	}
	if s := r.Stats(); s.NotAsked != 1 || s.Unattributed != 1 {
		t.Errorf("stats %+v, want one question not asked and one flow unattributed", s)
	}
}

func TestPacketsAloneClaimNothingAboutProcesses(t *testing.T) {
	r, events := newRecorder(t, nil)
	f := outboundFlow()
	r.FlowOpened(f)
	r.FlowClosed(f)
	if e := (*events)[0]; e.Evidence != nil || e.Process != nil || e.Addon != nil {
		t.Errorf("a row without attribution has %+v %+v %+v", e.Evidence, e.Process, e.Addon)
	}
	if r.Stats().Unattributed != 0 {
		t.Error("a flow that nobody asked about counts as unattributed")
	}
}

// byName sorts by the host alone.
type byName struct{}

func (byName) Match(host string, _ netip.Addr) attribution.Party {
	if strings.HasSuffix(host, "mit-odoo.de") {
		return attribution.Party{Class: attribution.MITBound, Name: "MIT", Rule: "mit"}
	}
	return attribution.Party{Class: attribution.ThirdParty, Name: host, Rule: "other"}
}

// TestCallThatHidesBehindANameCountsAsMIT: the connection asks for a search engine, DNS had called its address MIT's.
func TestCallThatHidesBehindANameCountsAsMIT(t *testing.T) {
	for _, c := range []struct {
		asked, told, class string
		conflict           bool
	}{
		{"www.search.example", "upload.mit-odoo.de", attribution.MITBound, true},
		{"upload.mit-odoo.de", "www.search.example", attribution.MITBound, true},
		{"a.cdn.example", "b.cdn.example", attribution.ThirdParty, false},
		{"a.cdn.example", "", attribution.ThirdParty, false},
	} {
		var events []ledger.Event
		r, err := New(Config{Parties: byName{}, Emit: func(e ledger.Event) { events = append(events, e) }, RunID: "t"})
		if err != nil {
			t.Fatal(err)
		}
		f := outboundFlow()
		f.Host, f.ToldHost = c.asked, c.told
		r.FlowOpened(f)
		r.FlowClosed(f)
		e := events[0]
		if e.Party.Class != c.class || (e.Evidence != nil && len(e.Evidence.Conflicts) == 1) != c.conflict {
			t.Errorf("%s, told %q: party %+v, evidence %+v", c.asked, c.told, e.Party, e.Evidence)
		}
	}
}
