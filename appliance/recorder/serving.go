package recorder

import (
	"strings"
	"sync"
	"sync/atomic"

	"netaudit/attribution"
	"netaudit/dissect"
	"netaudit/ledger"
)

// request is an HTTP request to this host, between its head and its row. The engine's goroutine and an attribution worker meet here.
type request struct {
	over atomic.Bool // the response has ended: nobody need look any more

	mu       sync.Mutex
	answered bool
	owner    attribution.Owner
	row      *ledger.Event // nil until the response has ended
	end      int64         // of the response
	call     *call
}

// HTTPBegan implements dissect.Sink: while the request is answered, its worker's stack tells which controller does.
func (r *Recorder) HTTPBegan(f *dissect.Flow, h *dissect.HTTP) {
	c := r.calls[f.ID]
	if c == nil || r.config.Asker == nil || f.Proto != 6 || f.Direction != dissect.Inbound && f.Direction != dissect.Local {
		return
	}
	q := &request{call: c}
	accepted := attribution.Tuple{Proto: f.Proto, Local: f.Dst, Remote: f.Src, NetNS: r.config.NetNS}
	if !r.config.Asker.AskServing(accepted, h.Method+" "+h.Route, q.over.Load, func(o attribution.Owner) { r.served(q, o) }) {
		return // the row names the process of the connection
	}
	if c.requests == nil {
		c.requests = map[*dissect.HTTP]*request{}
	}
	c.requests[h] = q
}

// leave hands the finished row to its request; false when nobody was asked.
func (r *Recorder) leave(c *call, h *dissect.HTTP, e *ledger.Event) bool {
	q := c.requests[h]
	if q == nil {
		return false
	}
	delete(c.requests, h)
	q.over.Store(true)
	q.mu.Lock()
	q.row, q.end = e, h.End
	answered := q.answered
	q.mu.Unlock()
	if answered {
		r.writeServed(q)
	}
	return true
}

// served takes the answer. It runs on a worker of attribution.
func (r *Recorder) served(q *request, o attribution.Owner) {
	q.mu.Lock()
	q.owner, q.answered = o, true
	ended := q.row != nil
	q.mu.Unlock()
	if ended {
		r.writeServed(q)
	}
}

// writeServed writes the row: with the controller's addon if the stack was read before the response ended, for later the worker may already have answered the connection's next
// request. Both halves of q are there and change no more.
func (r *Recorder) writeServed(q *request) {
	o := q.owner
	if o.Addon != nil && o.Evidence.At.UnixNano() > q.end {
		o.Addon = nil
		o.Evidence = attribution.Evidence{
			Source: attribution.SourceProcess, Confidence: attribution.ConfidenceExact, Latency: o.Evidence.Latency,
			Reason: "answered before its thread could be seen",
		}
	}
	if o.Process != nil && (q.row.Direction == "inbound" || strings.HasPrefix(o.Process.Role, "odoo_")) {
		r.emitOwned(q.row, &o)
		return
	}
	// What another program of this host answers is a call of its caller, as the connection is.
	if o.Process == nil {
		if q.row.Evidence == nil {
			q.row.Evidence = &ledger.Evidence{}
		}
		q.row.Evidence.Reason = bothReasons(q.row.Evidence.Reason, "who answers is not known: "+o.Evidence.Reason)
	}
	r.emit(q.call, q.row)
}
