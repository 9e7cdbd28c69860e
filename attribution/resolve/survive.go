package resolve

import (
	"context"
	"runtime/debug"

	"netaudit/attribution"
)

// Failure is a mistake in attribution that the memory of another process has brought to light: it would have ended the program.
type Failure struct {
	Value any    // of the panic
	Stack []byte // of the goroutine, as text
}

// failed is the reason of an answer that such a mistake has taken away.
const failed = "a mistake of netaudit's own while the caller was looked for; please report it"

// survive is deferred by whatever reads other processes: none of them shall be able to end the watching of all others. instead is called after a panic.
func (r *Resolver) survive(instead func()) {
	if r.config.Failed == nil {
		return // the panic goes on, so that tests see it
	}
	if value := recover(); value != nil {
		r.config.Failed(Failure{value, debug.Stack()})
		instead()
	}
}

// answerAnyway is answer, and after a mistake of its own an answer that says so.
func (r *Resolver) answerAnyway(ctx context.Context, q question) (o attribution.Owner) {
	defer r.survive(func() { o = unknown(failed) })
	return r.answer(ctx, q)
}

// aside runs f in the background.
func (r *Resolver) aside(f func()) {
	r.background.Go(func() {
		defer r.survive(func() {})
		f()
	})
}
