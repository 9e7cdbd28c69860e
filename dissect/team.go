package dissect

import (
	"math"
	"net/netip"
	"sync"

	"golang.org/x/sys/cpu"

	"netaudit/tap"
)

// Position orders what the engines of a team hand out: by the frame under way, and the steps of following it.
type Position struct {
	Frame uint64 // its number, counted from 1
	Step  uint64
}

// Before says that p comes first.
func (p Position) Before(q Position) bool {
	return p.Frame < q.Frame || p.Frame == q.Frame && p.Step < q.Step
}

// Frames of Position behind the last one, for Close: fragments are given up, flows end.
const (
	closing = math.MaxUint64 - 1
	closed  = math.MaxUint64
)

// member is an engine's part in a team: several engines of which each follows the flows of its own shards. Together they hand out what one engine would that follows
// all of them: they have the same clock, and all put every datagram together that comes in fragments. What one learns from DNS it teaches the others, who ask about it only when they
// have been told all that stands before the frame under way.
type member struct {
	mine   [Shards]bool
	first  bool // has shard 0, and counts frames that belong to nobody
	counts bool // what is wrong with the frame under way is this engine's to count
	known  bool // the frame under way is for this engine alone

	// Of the first.
	pupils []*lessons
	taught []lesson

	// Of the others.
	teacher *lessons
	heard   Position // all lessons before it have been heard
	pending []lesson // that stand behind what was asked about last
	wait    func()   // called before the engine waits for its teacher

	_ cpu.CacheLinePad // engines of a team work side by side
}

// lesson is what the first engine learned.
type lesson struct {
	at              Position
	client, address netip.Addr
	name            string
	keys            bool  // the name is the public one of keys for Encrypted Client Hello
	id              uint8 // of keys
	ttl             uint32
	now             int64
}

// lessons are on their way from the first engine to another one. They are few: who hands out frames lets no engine get far ahead.
type lessons struct {
	mu   sync.Mutex
	come sync.Cond
	list []lesson
	all  Position // no lesson before it is still to come
}

func newLessons() *lessons {
	l := &lessons{}
	l.come.L = &l.mu
	return l
}

func (l *lessons) add(list []lesson, all Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list, l.all = append(l.list, list...), all
	l.come.Signal()
}

// take appends the lessons to list once all before a position are there.
func (l *lessons) take(list []lesson, before Position, wait func()) ([]lesson, Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all.Before(before) {
		l.mu.Unlock()
		wait()
		l.mu.Lock()
	}
	for l.all.Before(before) {
		l.come.Wait()
	}
	list = append(list, l.list...)
	l.list = l.list[:0]
	return list, l.all
}

// NewTeam returns engines that find together what one engine does that is Sharded. owner says which of them follows a shard, the first one shard 0; sinks are theirs. Names
// must be nil. Each engine has a goroutine, which calls Share every few thousand frames. wait(i) is called before the i-th engine waits for the first. All must be closed: they wait for each
// other. Who gives them frames asks a Sorter which ones; one engine alone gets all by Packet.
func NewTeam(c Config, owner [Shards]int, sinks []Sink, wait func(i int)) []*Engine {
	c.Sharded = true
	team := make([]*Engine, len(sinks))
	for i, sink := range sinks {
		c.Names = NewNames(0)
		team[i] = New(c, sink)
		if len(sinks) == 1 {
			return team
		}
		m := &member{first: i == 0, wait: func() { wait(i) }}
		for shard, of := range owner {
			m.mine[shard] = of == i
		}
		team[i].member = m
		if i > 0 {
			m.teacher = newLessons()
			team[0].member.pupils = append(team[0].member.pupils, m.teacher)
		}
	}
	return team
}

// Follow is Packet for an engine of a team: the frame is for all of them, or for this one.
func (e *Engine) Follow(p *tap.Packet, f Frame) {
	defer e.survive()
	e.begin(f.Number)
	e.advance(f.Now)
	if f.Owner != Everyone {
		e.member.counts, e.member.known = true, true
	}
	e.read(p)
}

// Pass tells an engine of a team that a frame for another one moves the clock so that flows may end.
func (e *Engine) Pass(f Frame) {
	defer e.survive()
	e.begin(f.Number)
	e.advance(f.Now)
}

// Position tells what is under way: it is that of whatever the sink is just told. In Close it says in which order the engines' next flows end.
func (e *Engine) Position() Position { return e.at }

// Reached is a position that nothing will stand before that the sink is still told.
func (e *Engine) Reached() Position {
	if e.at.Frame == closed {
		return Position{Frame: closed}
	}
	return e.at
}

// Share is called between two frames, before that of the given number. It tells the others of the team what was learned, or hears it.
func (e *Engine) Share(next uint64) {
	m := e.member
	if m == nil {
		return
	}
	e.begin(next)
	if m.first {
		m.teach(e.at)
		return
	}
	m.hear(e.at)
	e.learn()
}

// ShareEarly is called by a sink that must wait before it can take more: the first engine tells what it has learned so far, for whoever makes it wait may wait for that.
func (e *Engine) ShareEarly() {
	if e.member != nil && e.member.first {
		e.member.teach(e.at)
	}
}

func (m *member) teach(all Position) {
	for _, p := range m.pupils {
		p.add(m.taught, all)
	}
	m.taught = m.taught[:0]
}

func (m *member) hear(all Position) {
	if m.heard.Before(all) {
		m.pending, m.heard = m.teacher.take(m.pending, all, m.wait)
	}
}

// last ends the lessons: flows that end teach nothing.
func (m *member) last() {
	if m.first {
		m.teach(Position{closed, math.MaxUint64})
		m.pupils = nil // what is taught early from now on would take that back
		return
	}
	m.hear(Position{closed, math.MaxUint64})
}

// names returns what DNS has said before the frame under way.
func (e *Engine) names() *Names {
	if e.member != nil && !e.member.first {
		e.member.hear(e.at)
		e.learn()
	}
	return e.config.Names
}

// learn takes in the lessons that stand before the frame under way.
func (e *Engine) learn() {
	m := e.member
	for n := range m.pending {
		l := &m.pending[n]
		if !l.at.Before(e.at) {
			m.pending = m.pending[n:]
			return
		}
		if l.keys {
			e.config.Names.AddECH(l.name, l.id, l.ttl, l.now)
		} else {
			e.config.Names.Add(l.client, l.address, l.name, l.ttl, l.now)
		}
	}
	m.pending = m.pending[:0]
}

// learnName notes that a client was told that name has an address.
func (e *Engine) learnName(client, address netip.Addr, name string, ttl uint32, now int64) {
	e.config.Names.Add(client, address, name, ttl, now)
	e.teach(lesson{client: client, address: address, name: name, ttl: ttl, now: now})
}

// learnKeys notes the public name and the id of keys for Encrypted Client Hello.
func (e *Engine) learnKeys(publicName string, id uint8, ttl uint32, now int64) {
	e.config.Names.AddECH(publicName, id, ttl, now)
	e.teach(lesson{name: publicName, keys: true, id: id, ttl: ttl, now: now})
}

func (e *Engine) teach(l lesson) {
	if e.member != nil {
		l.at = e.at
		e.member.taught = append(e.member.taught, l)
	}
}
