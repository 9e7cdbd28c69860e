package dissect

import (
	"runtime/debug"

	"netaudit/tap"
)

// Failure is a mistake in this package, or in the sink, that a frame has brought to light, or a fault of the file that the frame lies in (tap.IsFault): it would have ended the program.
type Failure struct {
	Value any    // of the panic
	Stack []byte // of the goroutine, as text
}

// failedFrames is what such frames are counted as.
const failedFrames = "netaudit: a mistake of its own in reading; please report it"

// survive is deferred by whatever reads frames or lets time pass: who sends frames shall not be able to end the watching of all others. The frame under way is counted, its conversation is not read any further, and its row says what
// was known before. An overflow of the stack and a data race that Go's runtime finds cannot be survived.
func (e *Engine) survive() {
	if e.config.Failed == nil {
		return // the panic goes on, so that tests see it
	}
	if value := recover(); value != nil {
		reason := failedFrames
		if tap.IsFault(value) {
			reason = "file: a part of it cannot be read any more"
		}
		e.damage(reason)
		e.config.Failed(Failure{value, debug.Stack()})
		e.abandon(e.underWay)
	}
}

// abandon stops reading a conversation, nil for none. One that was about to end is handed out as it is.
func (e *Engine) abandon(c *conn) {
	e.underWay = nil
	if c == nil {
		return
	}
	c.proto = nil
	if e.table.find(c.hash, &c.key) == c {
		return
	}
	defer func() { _ = recover() }() // it was the sink that failed
	c.flow.State = StateClosed
	e.sink.FlowClosed(&c.flow)
}
