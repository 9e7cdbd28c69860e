package dissect

import (
	"bytes"
	"container/list"
	"net/netip"
	"slices"

	"netaudit/tap"
	"netaudit/tap/decode"
)

// Bounds of what waits for missing fragments.
const (
	mostDatagrams   = 512
	mostFragments   = 128             // of one datagram
	largestDatagram = 65535           // bytes of payload
	mostPieces      = 4 << 20         // bytes that wait altogether
	mostWhole       = 8               // datagrams that are remembered to tell copies of their fragments
	copyWithin      = int64(1e9)      // nanoseconds
	fragmentTimeout = int64(30 * 1e9) // nanoseconds; Linux waits as long (net.ipv4.ipfrag_time)
)

// Reasons why a datagram was given up.
var (
	errFragmentOverlap = &decode.Reason{Layer: "ip", Text: "overlapping fragments"}
	errFragmentLength  = &decode.Reason{Layer: "ip", Text: "fragment beyond the end of its datagram"}
	errFragmentMissing = &decode.Reason{Layer: "ip", Text: "fragments are missing"}
)

// fragments puts datagrams together (RFC 791 §3.2, RFC 8200 §4.5). One engine owns it.
type fragments struct {
	waiting map[fragmentKey]*datagram
	oldest  list.List // of *datagram, in order of arrival
	bytes   int

	whole [mostWhole]*datagram // that were put together last: some captures have every packet twice
	next  int                  // of whole
}

type fragmentKey struct {
	src, dst netip.Addr
	id       uint32
	next     uint8
	path     uint64 // VLANs and tunnels
}

// datagram is one that is not whole yet.
type datagram struct {
	key    fragmentKey
	place  *list.Element // in fragments.oldest
	begun  int64
	pieces []fragmentPiece
	got    int
	end    int        // length of the whole payload, -1 until the last fragment came
	frame  uint64     // number of first
	first  tap.Packet // a copy of the fragment with the ports: when others never come it speaks for all
	bad    bool       // pieces overlap: nothing is put together (RFC 5722), later ones are ignored
}

type fragmentPiece struct {
	offset int
	data   []byte
}

// whole takes a fragment that is a frame of its own, or, without p, inside a datagram. True means that h now speaks of the whole datagram.
func (e *Engine) whole(h *decode.Headers, p *tap.Packet, now int64) bool {
	k := fragmentKey{h.Src, h.Dst, h.FragmentID, h.FragmentNext, pathHash(h)}
	d := e.fragments.waiting[k]
	if d == nil {
		if e.fragments.copied(k, h, now) {
			return false
		}
		d = e.beginDatagram(k, now)
	}
	if p != nil && h.FragmentOffset == 0 && d.first.Data == nil { // also of a datagram that is given up: it has the ports
		d.first, d.frame = *p, e.at.Frame
		d.first.Data = bytes.Clone(p.Data)
	}
	if d.bad {
		return false
	}
	if reason := d.take(h); reason != nil {
		e.count(reason)
		e.fragments.bytes -= d.got
		d.bad, d.pieces, d.got = true, nil, 0
		return false
	}
	e.fragments.bytes += len(h.Piece)
	if d.got != d.end {
		return false
	}
	payload := make([]byte, d.end)
	for _, piece := range d.pieces {
		copy(payload[piece.offset:], piece.data)
	}
	e.forget(d)
	e.fragments.finished(d, now)
	if err := decode.Whole(payload, h); err != nil {
		e.count(err)
	}
	return true
}

// finished remembers a datagram that was put together.
func (f *fragments) finished(d *datagram, now int64) {
	d.begun, d.first = now, tap.Packet{}
	f.whole[f.next] = d
	f.next = (f.next + 1) % len(f.whole)
}

// copied knows a fragment of a datagram that is whole already.
func (f *fragments) copied(k fragmentKey, h *decode.Headers, now int64) bool {
	for _, d := range f.whole {
		if d == nil || d.key != k || now-d.begun > copyWithin {
			continue
		}
		return slices.ContainsFunc(d.pieces, func(p fragmentPiece) bool {
			return p.offset == h.FragmentOffset && bytes.Equal(p.data, h.Piece)
		})
	}
	return false
}

func (e *Engine) beginDatagram(k fragmentKey, now int64) *datagram {
	f := &e.fragments
	if f.waiting == nil {
		f.waiting = map[fragmentKey]*datagram{}
	}
	for f.oldest.Len() > 0 && (len(f.waiting) >= mostDatagrams || f.bytes > mostPieces) {
		e.giveUpOldest()
	}
	d := &datagram{key: k, begun: now, end: -1}
	f.waiting[k] = d
	d.place = f.oldest.PushBack(d)
	return d
}

// take keeps a piece. A repeated one is ignored and taken out of h; any other overlap ends the datagram.
func (d *datagram) take(h *decode.Headers) *decode.Reason {
	from, to := h.FragmentOffset, h.FragmentOffset+len(h.Piece)
	if h.PieceLength != len(h.Piece) || len(d.pieces) >= mostFragments {
		return errFragmentMissing // cut by the snap length, or more pieces than honest networks make
	}
	if !h.FragmentMore {
		if d.end >= 0 && d.end != to || d.reaches(to) {
			return errFragmentLength
		}
		d.end = to
	}
	if to > largestDatagram || d.end >= 0 && to > d.end {
		return errFragmentLength
	}
	for _, piece := range d.pieces {
		if from == piece.offset && len(piece.data) == len(h.Piece) {
			h.Piece = nil
			return nil
		}
		if from < piece.offset+len(piece.data) && to > piece.offset {
			return errFragmentOverlap
		}
	}
	d.pieces = append(d.pieces, fragmentPiece{from, bytes.Clone(h.Piece)})
	d.got += len(h.Piece)
	return nil
}

// reaches says that a piece which came before lies beyond an end.
func (d *datagram) reaches(end int) bool {
	return slices.ContainsFunc(d.pieces, func(p fragmentPiece) bool { return p.offset+len(p.data) > end })
}

func (e *Engine) forget(d *datagram) {
	delete(e.fragments.waiting, d.key)
	e.fragments.oldest.Remove(d.place)
	e.fragments.bytes -= d.got
}

// expireFragments gives up what waits since too long.
func (e *Engine) expireFragments(now int64) {
	for front := e.fragments.oldest.Front(); front != nil; front = e.fragments.oldest.Front() {
		if now-front.Value.(*datagram).begun < fragmentTimeout {
			return
		}
		e.giveUpOldest()
	}
}

// giveUpOldest follows the first fragment alone: the call must not be invisible because a part of it is.
func (e *Engine) giveUpOldest() {
	d := e.fragments.oldest.Front().Value.(*datagram)
	e.forget(d)
	if !d.bad {
		e.count(errFragmentMissing)
	}
	if d.first.Data == nil {
		return
	}
	var h decode.Headers
	if err := decode.First(d.first.Link, d.first.Data, d.first.Length, &h); err == nil {
		e.follow(&h, &d.first, d.frame)
	}
}
