package appliance

import (
	"context"
	"slices"
	"sync/atomic"

	"netaudit/dissect"
	"netaudit/tap"
)

// replayReader reads a file in pieces and says which worker gets which frame. Its goroutine owns it.
type replayReader struct {
	team   *replayTeam
	source tap.Source
	sorter *dissect.Sorter
	piece  *piece
	unused chan *piece // for further parts
}

// piece is a part of a file and the frames that lie in it, for each worker its own.
type piece struct {
	frames [dissect.Shards][]sortedFrame
	ifaces []string
	first  uint64 // number of its first frame
	next   uint64 // number of the first frame behind it; 0 while there is none
	users  atomic.Int32
	done   func() // gives its memory back
	unused chan *piece
}

// sortedFrame is one for a worker: a packet, or only what another's does to the clock. It is kept short: it goes from one processor to another.
type sortedFrame struct {
	data      []byte
	time, now int64
	number    uint32 // counted from piece.first
	length    uint32
	link      tap.LinkType
	iface     uint16 // in piece.ifaces
	kind      frameKind
}

// frameKind says who follows a frame.
type frameKind uint8

const (
	forMe frameKind = iota
	forAll
	passes
)

func (t *replayTeam) newReader(path string) (r *replayReader, err error) {
	r = &replayReader{team: t, sorter: dissect.NewSorter(t.owner), unused: make(chan *piece, 2*mostPieces)}
	r.source, err = tap.OpenPieces(path, pieceSize, r.begin)
	return r, err
}

// begin begins a piece. What lies in the last one goes to the workers before the next frame does.
func (r *replayReader) begin(release func()) {
	r.handOut()
	select {
	case r.piece = <-r.unused:
		r.piece.next, r.piece.ifaces = 0, r.piece.ifaces[:0]
		for i := range r.piece.frames {
			r.piece.frames[i] = r.piece.frames[i][:0]
		}
	default:
		r.piece = &piece{unused: r.unused}
	}
	r.piece.done = release
}

func (r *replayReader) run(ctx context.Context) {
	r.team.read(ctx, r.source, func(p *tap.Packet) { r.give(p, r.sorter.Sort(p)) })
	r.handOut()
	for _, w := range r.team.workers {
		close(w.pieces)
	}
}

// give puts a frame where its worker finds it.
func (r *replayReader) give(p *tap.Packet, f dissect.Frame) {
	piece := r.piece
	if piece.next == 0 {
		piece.first = f.Number
	}
	piece.next = f.Number + 1
	s := sortedFrame{p.Data, p.Time, f.Now, uint32(f.Number - piece.first), uint32(p.Length), p.Link, piece.iface(p.Iface), forMe}
	if f.Owner != dissect.Everyone && !f.Due {
		piece.frames[f.Owner] = append(piece.frames[f.Owner], s)
		return
	}
	for i := range r.team.workers {
		switch f.Owner {
		case i:
			s.kind = forMe
		case dissect.Everyone:
			s.kind = forAll
		default:
			s.kind = passes
		}
		piece.frames[i] = append(piece.frames[i], s)
	}
}

// iface returns the place of an interface's name.
func (p *piece) iface(name string) uint16 {
	if n := len(p.ifaces); n > 0 && p.ifaces[n-1] == name {
		return uint16(n - 1)
	}
	if i := slices.Index(p.ifaces, name); i >= 0 {
		return uint16(i)
	}
	p.ifaces = append(p.ifaces, name)
	return uint16(len(p.ifaces) - 1)
}

// handOut gives the workers what lies in the piece.
func (r *replayReader) handOut() {
	if r.piece == nil {
		return
	}
	if r.piece.next == 0 { // nothing lies in it
		r.piece.done()
		return
	}
	r.piece.users.Store(int32(len(r.team.workers)))
	for _, w := range r.team.workers {
		w.pieces <- r.piece
	}
}

// release is called by a worker that is done with a piece.
func (p *piece) release() {
	if p.users.Add(-1) > 0 {
		return
	}
	p.done()
	select {
	case p.unused <- p:
	default:
	}
}
