package ledger

// minimum is the row from which on every row is kept; earlier ones may have been taken away by retention.
func (l *Ledger) minimum() uint64 {
	if dropped := l.state.Load().dropped; len(dropped) > 0 {
		return dropped[len(dropped)-1].last + 1
	}
	return 0
}
