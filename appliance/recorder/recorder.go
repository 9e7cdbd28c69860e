// Package recorder joins a flow, its owner and its party into one event. It is the only place where the rooms meet:
// dissect tells it about flows, it asks attribution who opened them at their first packet, and when a flow ends it
// hands one event to the ledger (or, for replay, to standard output).
//
// A Recorder implements dissect.Sink and is owned by the engine's goroutine, one Recorder an Engine. Answers from attribution
// arrive on other goroutines and meet the flow in a call, which has its own lock. No call is sampled or dropped: an
// event that waits for its owner is written when the answer comes, and an answer always comes.
package recorder

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"netaudit/attribution"
	"netaudit/dissect"
	"netaudit/ledger"
)

// Asker answers who owns a socket. resolve.Resolver is the real one; nil means packets only (replay, mirror port).
// The methods never block; they report false when the question could not be queued, and then done is not called.
type Asker interface {
	Ask(t attribution.Tuple, done func(attribution.Owner)) bool
	AskUser(t attribution.Tuple, used time.Time, done func(attribution.Owner)) bool
	AskInbound(t attribution.Tuple, done func(attribution.Owner)) bool
	AskServing(t attribution.Tuple, request string, over func() bool, done func(attribution.Owner)) bool
}

// Matcher names the party behind a destination. party.Catalogue is the real one. It must be safe for concurrent use.
type Matcher interface {
	Match(host string, ip netip.Addr) attribution.Party
}

// Config says what a Recorder joins and where events go.
type Config struct {
	Asker   Asker               // nil: no processes can be seen
	Parties Matcher             // required
	Emit    func(ledger.Event)  // one of Emit and Lend is required; called from the engine's goroutine and from attribution's, so it must be safe for concurrent use
	NetNS   uint64              // inode of the network namespace the packets come from, 0 = netaudit's own
	Lend    func(*ledger.Event) // is done with an event when it returns: its memory is used again. For packets only
	Strict  *Redaction          // nil: names and addresses as they are
	RunID   string              // first part of every flow_id, so that ids of two runs never meet in one ledger
	Logger  *slog.Logger        // nil: slog.Default
}

// Stats counts what a Recorder did since it was made. Safe to read from any goroutine through Recorder.Stats.
type Stats struct {
	Opened       uint64 // flows opened
	Events       uint64 // events handed out
	Unattributed uint64 // closed outbound flows whose owner stayed unknown
	NotAsked     uint64 // questions that were never asked because attribution's queue was full
}

// Recorder turns what one Engine finds into events.
type Recorder struct {
	config Config

	// Owned by the engine's goroutine.
	calls     map[uint64]*call
	addresses addressTexts
	parties   knownParties
	text      []byte // the texts of one row
	flowSpace tlsRow
	dnsSpace  dnsRow
	nobody    call // stands for the call of a flow that nobody is asked about and that had no row yet

	// Safe for concurrent use.
	opened, events, unattributed, notAsked atomic.Uint64
}

// call is a flow between its first and its last row. The engine's goroutine and an attribution worker meet here.
type call struct {
	mu      sync.Mutex
	users   []*user      // since the last row, in their order; the first one had the connection already. None: nobody is asked
	waiting []pendingRow // in their order; the first waits for a user

	// Owned by the engine's goroutine.
	rowSrcBytes, rowDstBytes uint64 // what earlier rows already said
	rows                     int
	requests                 map[*dissect.HTTP]*request // whose responses have not ended
}

// New returns a Recorder for one Engine.
func New(c Config) (*Recorder, error) {
	if c.Parties == nil || (c.Emit == nil) == (c.Lend == nil) {
		return nil, fmt.Errorf("recorder: Parties and one of Emit and Lend are required")
	}
	if c.Lend != nil && c.Asker != nil {
		return nil, fmt.Errorf("recorder: events that wait for their owner cannot be used again")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Recorder{config: c, calls: make(map[uint64]*call), addresses: newAddressTexts(), parties: newKnownParties()}, nil
}

// Stats returns the counters. Safe from any goroutine.
func (r *Recorder) Stats() Stats {
	return Stats{
		Opened: r.opened.Load(), Events: r.events.Load(),
		Unattributed: r.unattributed.Load(), NotAsked: r.notAsked.Load(),
	}
}

// FlowOpened implements dissect.Sink: the moment the owner is asked for, while the calling thread still waits.
func (r *Recorder) FlowOpened(f *dissect.Flow) {
	r.opened.Add(1)
	if r.config.Asker == nil {
		return // nobody will answer: the first row makes the call
	}
	c := &call{}
	r.calls[f.ID] = c
	r.ask(f, c)
}

func (r *Recorder) ask(f *dissect.Flow, c *call) {
	tuple, inbound, ok := localEnd(f, r.config.NetNS)
	if r.config.Asker == nil || !ok {
		return
	}
	opener := &user{}
	c.users = []*user{opener}
	ask := r.config.Asker.Ask
	if inbound {
		ask = r.config.Asker.AskInbound
	}
	midStream := f.MidStream && !inbound // of an accepted connection only the process is asked for
	asked := ask(tuple, func(o attribution.Owner) {
		if midStream {
			o = notTheOpener(o)
		}
		r.answer(c, opener, o)
	})
	if !asked {
		r.notAsked.Add(1)
		r.answer(c, opener, queueWasFull)
	}
}

// notTheOpener is what may be said about a connection whose beginning was not seen: which process has it. Who uses it at the moment need not have opened it and is a candidate.
func notTheOpener(o attribution.Owner) attribution.Owner {
	if o.Process == nil || o.Process.Role == "self" {
		return o
	}
	candidates := o.Evidence.Candidates
	if o.Addon != nil {
		candidates = []string{o.Addon.Name}
	}
	return attribution.Owner{Process: o.Process, Evidence: attribution.Evidence{
		Source: attribution.SourceProcess, Confidence: attribution.ConfidenceUnknown, Candidates: candidates, Latency: o.Evidence.Latency,
		Reason: "the connection was there before its first packet was seen: who opened it is not known",
	}}
}

// localEnd says which end of the flow is a socket of this host; for a flow between two local sockets it is the initiator's.
func localEnd(f *dissect.Flow, netns uint64) (t attribution.Tuple, inbound, ok bool) {
	if f.Proto != 6 && f.Proto != 17 {
		return t, false, false
	}
	t = attribution.Tuple{Proto: f.Proto, Local: f.Src, Remote: f.Dst, NetNS: netns}
	switch f.Direction {
	case dissect.Outbound, dissect.Local:
		return t, false, true
	case dissect.Inbound:
		t.Local, t.Remote = f.Dst, f.Src
		return t, true, true
	default:
		return t, false, false
	}
}

// FlowUpdated implements dissect.Sink.
func (r *Recorder) FlowUpdated(f *dissect.Flow) { r.flowRow(f, "update") }

// FlowClosed implements dissect.Sink.
func (r *Recorder) FlowClosed(f *dissect.Flow) {
	r.flowRow(f, "closed")
	delete(r.calls, f.ID)
}

func (r *Recorder) flowRow(f *dissect.Flow, state string) {
	c := r.callOf(f)
	if c == &r.nobody && state != "closed" {
		c = &call{}
		r.calls[f.ID] = c
	}
	e := r.flowEvent(f)
	e.Kind, e.State = "flow", state
	if c.rows > 0 {
		e.HasNew = true
		e.NewSrcBytes, e.NewDstBytes = clampInt(f.SrcBytes-c.rowSrcBytes), clampInt(f.DstBytes-c.rowDstBytes)
	}
	if c != &r.nobody {
		c.rows++
		c.rowSrcBytes, c.rowDstBytes = f.SrcBytes, f.DstBytes
	}
	r.emit(c, e)
}

// DNSMessage implements dissect.Sink.
func (r *Recorder) DNSMessage(f *dissect.Flow, d *dissect.DNS) {
	w, answers := &r.dnsSpace, d.Answers
	if r.config.Lend != nil {
		*w = dnsRow{}
	} else {
		w = new(dnsRow)
		answers = slices.Clone(answers)
	}
	e := r.envelope(&w.row, f, d.Start, d.End)
	r.identify(e, f, false)
	e.Kind, e.Channel = "dns", "dns"
	w.dns = ledger.DNS{
		Name: d.Name, Type: d.Type, RCode: d.RCode, Answers: answers, MoreAnswers: int64(d.MoreAnswers), TTL: int64(d.TTL), ID: int64(d.ID), LatencyUS: d.Latency / 1000,
		ECH: d.ECH, Truncated: d.Truncated, Zone: &w.zone,
	}
	w.zone = ledger.Zone{
		Name: d.Zone.Name, Queries: int64(d.Zone.Queries), Names: int64(d.Zone.Names), Bytes: clampInt(d.Zone.Bytes), Entropy: int64(d.Zone.Entropy),
	}
	e.DNS = &w.dns
	r.emit(r.callOf(f), e)
}

// HTTPRequest implements dissect.Sink.
func (r *Recorder) HTTPRequest(f *dissect.Flow, h *dissect.HTTP) {
	w := &httpRow{}
	e := r.envelope(&w.row, f, h.Start, h.End)
	r.identify(e, f, false)
	e.Kind, e.Channel = "http", f.Channel
	setHTTP(&w.http, h)
	e.HTTP = &w.http
	if c := r.callOf(f); !r.leave(c, h, e) {
		r.emit(c, e)
	}
}

func (r *Recorder) callOf(f *dissect.Flow) *call {
	if c := r.calls[f.ID]; c != nil {
		return c
	}
	return &r.nobody
}

// setParty classifies the far end: the destination of what leaves, the source of what comes in.
func (r *Recorder) setParty(w *row, f *dissect.Flow) {
	host, ip := f.Host, f.Dst.Addr()
	if f.Direction == dissect.Inbound {
		host, ip = "", f.Src.Addr()
	}
	p := *r.parties.match(r.config.Parties, host, ip)
	if f.ToldHost != "" && f.Direction != dissect.Inbound {
		p = r.contradicted(w, f, p)
	}
	w.party = ledger.Party{Class: p.Class, Name: p.Name, Rule: p.Rule}
	w.event.Party = &w.party
}

// contradicted decides between the name that the connection asks for and the one that DNS had given its address. When one of them is MIT's the call counts as theirs: the other may be
// there to hide it. Two third parties are no contradiction worth telling: content networks serve many.
func (r *Recorder) contradicted(w *row, f *dissect.Flow, asked attribution.Party) attribution.Party {
	told := *r.parties.match(r.config.Parties, f.ToldHost, f.Dst.Addr())
	if told.Class == asked.Class || told.Class != attribution.MITBound && asked.Class != attribution.MITBound {
		return asked
	}
	w.event.Evidence = &ledger.Evidence{Conflicts: []string{"the connection asks for " + f.Host + ", DNS had called its address " + f.ToldHost}}
	if told.Class == attribution.MITBound {
		return told
	}
	return asked
}

func (r *Recorder) emitOwned(e *ledger.Event, o *attribution.Owner) {
	AddOwner(e, o)
	if e.Kind == "flow" && e.State == "closed" && e.Direction == "outbound" && r.config.Asker != nil && o.Process == nil {
		r.unattributed.Add(1)
	}
	r.events.Add(1)
	if r.config.Strict != nil {
		r.config.Strict.redact(e)
	}
	if r.config.Lend != nil {
		r.config.Lend(e)
		return
	}
	r.config.Emit(*e)
}

// clampInt keeps a counter inside what JCS integers can say (2^53-1).
func clampInt(n uint64) int64 {
	const largest = 1<<53 - 1
	return int64(min(n, largest))
}
