package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/cpu"

	"netaudit/appliance/recorder"
	"netaudit/dissect"
	"netaudit/ledger"
	"netaudit/tap"
)

// replayTeam is the workers that share the flows of one file.
type replayTeam struct {
	replay         *Replay
	owner          [dissect.Shards]int // which worker has a shard
	workers        []*replayWorker
	packets, bytes uint64
	err            error       // of the file
	unreadable     atomic.Bool // a part of it is
	failed         error       // of Out
}

// replayWorker follows the flows of its shards. Its goroutine owns it.
type replayWorker struct {
	replay *Replay
	engine *dissect.Engine
	rows   *rows
	full   chan *rows  // in their order
	used   chan *rows  // memory for others
	pieces chan *piece // of the file

	_ cpu.CacheLinePad // what one worker writes must not keep another waiting
}

// rows are what a worker found since it handed out some.
type rows struct {
	text    []byte
	ends    []rowEnd
	reached dissect.Position // what comes later stands behind it
	last    bool
}

// rowEnd says where a row ends in the text, and where it belongs.
type rowEnd struct {
	at  dissect.Position
	end int
}

const (
	mostRows   = 256 << 10 // bytes that a worker keeps before it hands them out
	mostAhead  = 4         // how many times a worker may hand out rows before others have caught up
	mostPieces = 4         // of the file that wait for a worker
	pieceSize  = 512 << 10 // bytes of each; many are in use at a time
	largePiece = 4 << 20   // of the only one: to map it hardly counts, and it is little beside what a replay may use
)

func (r *Replay) newTeam(workers int, owner [dissect.Shards]int) (*replayTeam, error) {
	t := &replayTeam{replay: r, owner: owner}
	runID := r.RunID
	if runID == "" {
		runID = "r"
	}
	sinks := make([]dissect.Sink, workers)
	for i := range sinks {
		w := &replayWorker{replay: r, rows: &rows{}, full: make(chan *rows, mostAhead), used: make(chan *rows, mostAhead+2), pieces: make(chan *piece, mostPieces)}
		c := recorder.Config{Parties: r.Parties, RunID: runID, Emit: r.Emit}
		switch {
		case r.Line != nil && workers > 1:
			c.Lend = w.keep
		case r.Line != nil:
			c.Lend = t.write
		}
		if r.Strict {
			c.Strict = recorder.NewRedaction(r.Key)
		}
		rec, err := recorder.New(c)
		if err != nil {
			return nil, err
		}
		sinks[i] = rec
		t.workers = append(t.workers, w)
	}
	engines := dissect.NewTeam(dissect.Config{FingerprintKey: r.Key, RunID: runID, Failed: t.mistake}, owner, sinks, func(i int) { t.workers[i].handOut() })
	for i, e := range engines {
		t.workers[i].engine = e
	}
	return t, nil
}

// run reads the file to its end.
func (t *replayTeam) run(ctx context.Context, path string) error {
	run := t.together
	if len(t.workers) == 1 {
		run = t.alone
	}
	err := run(ctx, path)
	if errors.Is(t.err, io.EOF) {
		t.err = nil
	}
	return errors.Join(t.err, t.failed, err)
}

// alone is run for one worker.
func (t *replayTeam) alone(ctx context.Context, path string) error {
	release := func() {}
	defer func() { release() }()
	source, err := t.open(path, func(next func()) { release(); release = next })
	if err != nil {
		return err
	}
	engine := t.workers[0].engine
	t.read(ctx, source, engine.Packet)
	engine.Close()
	return t.end(path, source)
}

// open opens the file for one worker. Where rows go to Emit it is copied: a ledger has mapped files of its own, and nobody must go on after a fault in those.
func (t *replayTeam) open(path string, began func(release func())) (tap.Source, error) {
	if t.replay.Emit != nil {
		return tap.OpenFile(path)
	}
	return tap.OpenPieces(path, largePiece, began)
}

// read reads the file until its end, or until a part of it cannot be read.
func (t *replayTeam) read(ctx context.Context, source tap.Source, each func(p *tap.Packet)) {
	run := tap.UntilFault
	if t.replay.Emit != nil {
		run = func(read func()) (fault bool) { read(); return false }
	}
	fault := run(func() {
		var p tap.Packet
		for !t.unreadable.Load() {
			if t.err = source.Next(ctx, &p); t.err != nil {
				return
			}
			each(&p)
			t.count(&p, source)
		}
	})
	if fault {
		t.unreadable.Store(true)
	}
}

// end closes the file.
func (t *replayTeam) end(path string, source tap.Source) error {
	if t.unreadable.Load() {
		t.err = tap.Unreadable(path, source.Stats())
	}
	return source.Close()
}

// mistake is told of panics in dissection, by several goroutines. The file may be to blame.
func (t *replayTeam) mistake(f dissect.Failure) {
	switch {
	case tap.IsFault(f.Value):
		t.unreadable.Store(true)
	case t.replay.Failed != nil:
		t.replay.Failed(f)
	default:
		panic(f.Value)
	}
}

func (t *replayTeam) count(p *tap.Packet, source tap.Source) {
	t.packets++
	t.bytes += uint64(p.Length)
	if t.packets%progressEvery == 0 && t.replay.Progress != nil {
		s := source.Stats()
		t.replay.Progress(s.FileBytesRead, s.FileBytesTotal)
	}
}

// together is run for several: one goroutine reads the file, one for each worker follows flows, and this one writes.
func (t *replayTeam) together(ctx context.Context, path string) error {
	reader, err := t.newReader(path)
	if err != nil {
		return err
	}
	var done sync.WaitGroup
	done.Go(func() { reader.run(ctx) })
	for i, w := range t.workers {
		done.Go(func() { w.run(i) })
	}
	t.merge()
	done.Wait()
	return t.end(path, reader.source)
}

func (w *replayWorker) run(me int) {
	tap.SurviveFaults()
	var p tap.Packet
	n := 0
	for piece := range w.pieces {
		for i := range piece.frames[me] {
			f := &piece.frames[me][i]
			at := dissect.Frame{Number: piece.first + uint64(f.number), Now: f.now, Owner: me}
			switch f.kind {
			case passes:
				w.engine.Pass(at)
				continue
			case forAll:
				at.Owner = dissect.Everyone
			}
			p = tap.Packet{Time: f.time, Data: f.data, Length: int(f.length), Link: f.link, Iface: piece.ifaces[f.iface]}
			w.engine.Follow(&p, at)
		}
		w.engine.Share(piece.next)
		if n++; len(w.rows.ends) > 0 || n%mostPieces == 0 {
			w.handOut()
		}
		piece.release()
	}
	w.engine.Close()
	w.rows.last = true
	w.handOut()
}

// write is for one worker alone.
func (t *replayTeam) write(e *ledger.Event) {
	w := t.workers[0]
	w.rows.text = t.replay.Line(w.rows.text[:0], e)
	t.out(w.rows.text)
}

func (t *replayTeam) out(text []byte) {
	if t.failed != nil || len(text) == 0 {
		return
	}
	if _, err := t.replay.Out.Write(text); err != nil {
		t.failed = fmt.Errorf("write the events: %w", err)
	}
}

// keep adds a row to those that wait for their turn.
func (w *replayWorker) keep(e *ledger.Event) {
	n := len(w.rows.text)
	w.rows.text = w.replay.Line(w.rows.text, e)
	if len(w.rows.text) == n {
		return
	}
	w.rows.ends = append(w.rows.ends, rowEnd{w.engine.Position(), len(w.rows.text)})
	if len(w.rows.text) >= mostRows {
		w.engine.ShareEarly()
		w.handOut()
	}
}

// handOut gives away the rows, none too: that the worker has come so far lets others' rows be written.
func (w *replayWorker) handOut() {
	w.rows.reached = w.engine.Reached()
	w.full <- w.rows
	select {
	case w.rows = <-w.used:
		*w.rows = rows{text: w.rows.text[:0], ends: w.rows.ends[:0]}
	default:
		w.rows = &rows{}
	}
}

// turn is what is next of a worker.
type turn struct {
	worker *replayWorker
	rows   *rows // nil before the first
	row    int   // of rows
}

// next is the position of the next row, or, when it is not known yet, one that it does not stand before.
func (t *turn) next() (at dissect.Position, known bool) {
	switch {
	case t.rows == nil:
		return at, false
	case t.row < len(t.rows.ends):
		return t.rows.ends[t.row].at, true
	default:
		return t.rows.reached, false
	}
}

// merge writes the rows of all workers in their order.
func (t *replayTeam) merge() {
	turns := make([]turn, len(t.workers))
	for i, w := range t.workers {
		turns[i].worker = w
	}
	for len(turns) > 0 {
		first := 0
		for i := range turns[1:] {
			if turns[i+1].before(&turns[first]) {
				first = i + 1
			}
		}
		if !t.take(&turns[first]) {
			turns = append(turns[:first], turns[first+1:]...)
		}
	}
}

// before says whose turn it is. What is known goes before what is not: two workers have no row at the same position.
func (t *turn) before(u *turn) bool {
	a, known := t.next()
	b, other := u.next()
	return a.Before(b) || a == b && known && !other
}

// take writes a worker's next row, or waits for it; false when there is none.
func (t *replayTeam) take(u *turn) bool {
	if _, known := u.next(); known {
		begin := 0
		if u.row > 0 {
			begin = u.rows.ends[u.row-1].end
		}
		t.out(u.rows.text[begin:u.rows.ends[u.row].end])
		u.row++
		return true
	}
	if u.rows != nil {
		if u.rows.last {
			return false
		}
		select {
		case u.worker.used <- u.rows:
		default:
		}
	}
	u.rows, u.row = <-u.worker.full, 0
	return true
}
