package dissect

// pool keeps the memory of what has ended for what begins next: a flood of short conversations then costs no garbage collection. One engine owns it.
type pool[T any] struct{ unused []*T }

// mostUnused bounds what a pool keeps; the rest is the garbage collector's.
const mostUnused = 4096

// take returns memory whose contents are those of an earlier user.
func (p *pool[T]) take() *T {
	n := len(p.unused)
	if n == 0 {
		return new(T)
	}
	t := p.unused[n-1]
	p.unused = p.unused[:n-1]
	return t
}

// give takes memory back that nobody points to any more.
func (p *pool[T]) give(t *T) {
	if len(p.unused) < mostUnused {
		p.unused = append(p.unused, t)
	}
}
