package recorder

import (
	"slices"
	"time"

	"netaudit/attribution"
	"netaudit/dissect"
	"netaudit/ledger"
)

// user is who uses a connection from some moment on: its opener, or whoever sends the next request after a pause.
type user struct {
	from   int64 // of the opener 0
	before counts

	answered bool // owner is final
	owner    attribution.Owner
}

// counts are what a flow had carried at a moment.
type counts struct{ src, dst, srcPackets, dstPackets uint64 }

// pendingRow is a row and who used the connection in its time.
type pendingRow struct {
	event *ledger.Event
	users []*user
}

// mostUsers bounds how many users of a connection are told apart on one row.
const mostUsers = 8

var (
	unasked      attribution.Owner // of whose owner nobody is asked: absent, which is not the same as unknown
	queueWasFull = unknownUser("attribution queue was full")
	tooMany      = unknownUser("the connection was used in turns by more code than is told apart")
)

func unknownUser(reason string) attribution.Owner {
	return attribution.Owner{Evidence: attribution.Evidence{Source: attribution.SourceNone, Confidence: attribution.ConfidenceUnknown, Reason: reason}}
}

// FlowActive implements dissect.Sink: a kept connection is used anew, perhaps by somebody else.
func (r *Recorder) FlowActive(f *dissect.Flow, sent uint64) {
	c := r.calls[f.ID]
	tuple, inbound, ok := localEnd(f, r.config.NetNS)
	if c == nil || r.config.Asker == nil || !ok || inbound {
		return
	}
	u := &user{from: f.End, before: counts{f.SrcBytes - sent, f.DstBytes, f.SrcPackets - 1, f.DstPackets}}
	c.mu.Lock()
	n := len(c.users)
	if n <= mostUsers {
		c.users = append(c.users, u)
	}
	c.mu.Unlock()
	switch {
	case n > mostUsers:
	case n == mostUsers:
		r.answer(c, u, tooMany)
	case !r.config.Asker.AskUser(tuple, time.Unix(0, f.End), func(o attribution.Owner) { r.answer(c, u, o) }):
		r.notAsked.Add(1)
		r.answer(c, u, queueWasFull)
	}
}

// answer stores who a user is and writes the rows that waited for it. It may run on a worker of attribution.
func (r *Recorder) answer(c *call, u *user, o attribution.Owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u.answered {
		return
	}
	u.owner, u.answered = o, true
	doubtLate(c.users)
	if i := slices.Index(c.users, u); i > 0 && c.users[i-1].answered && same(&c.users[i-1].owner, &o) {
		c.users = slices.Delete(slices.Clone(c.users), i, i+1) // nobody else
	}
	r.flush(c)
}

// emit writes the row if its users are known and no row before it waits, else leaves it with the call until the answers arrive.
func (r *Recorder) emit(c *call, e *ledger.Event) {
	if c == &r.nobody {
		r.emitOwned(e, &unasked)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	users := c.users
	switch n := len(users); {
	case n == 0:
		r.emitOwned(e, &unasked)
		return
	case e.Kind == "flow":
		c.users = slices.Clone(users[n-1:])
	default: // a request or a lookup has the user of its beginning
		for n > 1 && users[n-1].from > e.Start {
			n--
		}
		users = users[n-1 : n]
	}
	c.waiting = append(c.waiting, pendingRow{e, slices.Clone(users)})
	r.flush(c)
}

// flush writes the rows whose users are known, in their order. The caller holds the call's lock.
func (r *Recorder) flush(c *call) {
	for len(c.waiting) > 0 {
		p := c.waiting[0]
		if slices.ContainsFunc(p.users, func(u *user) bool { return !u.answered }) {
			return
		}
		c.waiting = c.waiting[1:]
		r.emitParts(p)
	}
}

// emitParts writes one row for each part of the time in which the same code used the connection: the bytes of each count as those of who sent them.
func (r *Recorder) emitParts(p pendingRow) {
	doubtLate(p.users)
	now := p.users[0]
	for i, u := range p.users[1:] {
		if same(&now.owner, &u.owner) || farewell(p.event, u, i+2 == len(p.users)) {
			continue
		}
		if part := cut(p.event, u); !part.HasNew || part.NewSrcBytes+part.NewDstBytes > 0 { // else the row before said it all
			r.emitOwned(part, &now.owner)
		}
		if u.owner.Addon == nil {
			u.owner = unseen(now.owner, u.owner)
		}
		now = u
	}
	r.emitOwned(p.event, &now.owner)
}

// doubtLate takes the addon from answers that came too late: when the stack was read the next use of the connection had begun, and the thread that was caught may be that of the next user.
func doubtLate(users []*user) {
	for n := 1; n < len(users); n++ {
		o := &users[n-1].owner
		if o.Addon == nil || o.Evidence.At.IsZero() || o.Evidence.At.UnixNano() < users[n].from {
			continue
		}
		o.Evidence = attribution.Evidence{
			Source: attribution.SourceProcess, Confidence: attribution.ConfidenceUnknown, Candidates: []string{o.Addon.Name}, Latency: o.Evidence.Latency,
			Reason: "a thread was caught only when the connection was used again",
		}
		o.Addon, o.Stack = nil, nil
	}
}

// same says that two users are the same code, as far as is known.
func same(a, b *attribution.Owner) bool {
	if a.Addon == nil || b.Addon == nil {
		return a.Addon == nil && b.Addon == nil
	}
	return a.Addon.Name == b.Addon.Name && a.Addon.OnBehalfOf == b.Addon.OnBehalfOf
}

// What a program may say while it closes a connection, and hear, without being asked for as a user, in bytes: an alert of TLS, a QUIT.
const (
	longestFarewell = 64
	longestReply    = 512
)

// farewell says that the last user, whom nobody saw, did no more than to close the connection.
func farewell(e *ledger.Event, u *user, last bool) bool {
	return last && u.owner.Addon == nil && e.State == "closed" && e.SrcBytes-clampInt(u.before.src) <= longestFarewell && e.DstBytes-clampInt(u.before.dst) <= longestReply
}

// unseen is a use by somebody who could not be seen, of a connection that another had used before.
func unseen(before, o attribution.Owner) attribution.Owner {
	if o.Process == nil {
		o.Process = before.Process
	}
	if before.Addon != nil && !slices.Contains(o.Evidence.Candidates, before.Addon.Name) {
		o.Evidence.Candidates = append(slices.Clone(o.Evidence.Candidates), before.Addon.Name)
	}
	if o.Process != nil && o.Evidence.Source == attribution.SourceNone {
		o.Evidence.Source = attribution.SourceProcess
	}
	o.Evidence.Confidence = attribution.ConfidenceUnknown
	o.Evidence.Reason = "a kept connection was used again: " + o.Evidence.Reason
	return o
}

// cut takes from a row what was before a user began, as a row of its own.
func cut(e *ledger.Event, u *user) *ledger.Event {
	part := *e
	part.Src, part.Dst, part.TLS, part.HTTP, part.Mail, part.Service, part.Party = clone(e.Src), clone(e.Dst), clone(e.TLS), clone(e.HTTP), clone(e.Mail), clone(e.Service), clone(e.Party) // redaction changes them in place
	part.State, part.End = "update", max(u.from, e.Start)
	part.DurationUS = (part.End - part.Start) / 1000
	part.TCPState, part.History, part.Fingerprint = "", "", "" // of the end
	before := counts{}
	if e.HasNew {
		before.src, before.dst = uint64(e.SrcBytes-e.NewSrcBytes), uint64(e.DstBytes-e.NewDstBytes)
	}
	part.SrcBytes, part.DstBytes = clampInt(u.before.src), clampInt(u.before.dst)
	part.SrcPackets, part.DstPackets = clampInt(u.before.srcPackets), clampInt(u.before.dstPackets)
	part.NewSrcBytes, part.NewDstBytes = part.SrcBytes-clampInt(before.src), part.DstBytes-clampInt(before.dst)
	if !e.HasNew {
		part.NewSrcBytes, part.NewDstBytes = 0, 0
	}
	e.HasNew = true
	e.NewSrcBytes, e.NewDstBytes = e.SrcBytes-part.SrcBytes, e.DstBytes-part.DstBytes
	return &part
}

func clone[T any](v *T) *T {
	if v == nil {
		return nil
	}
	c := *v
	return &c
}
