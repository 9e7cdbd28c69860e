package ledger

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"

	"netaudit/ledger/proof"
)

// storedGroup is a group of rows on its way into the store.
type storedGroup struct {
	first  uint64
	rows   []*Event
	leaves []tlog.Hash   // one for each row
	chain  [32]byte      // row hash of the newest row
	plain  int           // bytes
	value  []byte        // what is stored, once done is closed
	done   chan struct{} // closed when the value is there
}

// encodeGroups makes groups of the rows that wait, whose first gets the number `seq` and follows a row with this row hash. It hands them over in their order, until ctx ends.
func (s *sequencer) encodeGroups(ctx context.Context, seq uint64, chain [32]byte, now int64, groups chan<- *storedGroup) error {
	var newest *storedGroup // of those that were handed over
	defer func() {
		if newest != nil {
			<-newest.done // nobody takes the last one of a batch that was full before, and the next batch writes into the same memory
		}
	}()
	handOver := func(first int, leaves []tlog.Hash) (more bool) {
		if newest != nil {
			<-newest.done // the one before shares its memory with the group that begins now
		}
		newest = s.group.store(s.waiting[first:first+len(leaves)], leaves, chain)
		select {
		case groups <- newest:
			return true
		case <-ctx.Done():
			return false
		}
	}
	s.group.reset()
	begin, leaves := 0, make([]tlog.Hash, 0, len(s.waiting))
	for i, e := range s.waiting {
		text, err := s.encode(e, seq+uint64(i), now)
		if err != nil {
			return err
		}
		if !s.group.fits(e.Seq, text) {
			if !handOver(begin, leaves[begin:]) {
				return nil
			}
			begin = i
		}
		leaf := tlog.RecordHash(text)
		chain = proof.ChainHash(e.Seq, chain, leaf)
		leaves = append(leaves, leaf)
		s.group.add(e.Seq, &chain, text)
	}
	handOver(begin, leaves[begin:])
	return nil
}
