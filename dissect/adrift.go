package dissect

// adrift finds the way again behind missing bytes, in a stream of records that each begin with their length.
type adrift struct {
	skip  int   // bytes left of a record that has a hole
	looks int16 // how many segments are still looked at for one that begins with a record; 0: it is known where they begin
}

// hole notes n missing bytes where left bytes of a record were to come, 0 if none was under way: within a record its length tells where the next one begins.
func (a *adrift) hole(left, n int) {
	if a.skip = left - n; a.skip < 0 || left == 0 {
		a.skip, a.looks = 0, mostLateLooks
	}
}

// pass passes over what is left of a record that has a hole.
func (a *adrift) pass(b []byte) []byte {
	n := min(a.skip, len(b))
	a.skip -= n
	return b[n:]
}
