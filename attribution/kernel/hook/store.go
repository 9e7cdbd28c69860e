package hook

import (
	"net/netip"
	"slices"
	"time"
)

// Bounds of what is kept until somebody asks for it; the oldest goes first.
const (
	mostCalls    = 16384
	mostSlots    = 24 << 20 // bytes of all stacks
	mostNatives  = 256      // machine stacks whose call comes next
	mostPackets  = 16384
	mostForks    = 4096
	mostForkSlot = 8 << 20 // bytes of all stacks of forks
	mostOfSocket = 8       // calls of one socket: a sender without a peer has many destinations; and its uses
	mostUses     = 4096
	mostUseSlot  = 8 << 20 // bytes of all stacks of uses
)

// ends name a connection by its packets.
type ends struct {
	netns         uint64 // cookie
	proto         uint8
	local, remote netip.AddrPort
}

// store joins calls and packets by the socket's cookie. It is not safe for concurrent use.
type store struct {
	byCookie map[uint64][]*Call // oldest first
	calls    queue[*Call]
	slots    int

	natives map[int]machineStack // by thread: its call is recorded just after

	byEnds map[ends]*sent
	sents  queue[*sent]

	byChild   map[int]*Fork // the latest with this child; of a descendant, the fork of the Python that began it all
	forks     queue[child]
	forkSlots int

	uses     map[uint64][]*Use // by cookie, oldest first
	used     queue[*Use]
	useSlots int
}

// child is an entry of byChild.
type child struct {
	pid  int
	fork *Fork
}

// sent is a packet that was joined to its call.
type sent struct {
	ends ends
	at   time.Time
	call *Call
}

func newStore() *store {
	return &store{byCookie: map[uint64][]*Call{}, natives: map[int]machineStack{}, byEnds: map[ends]*sent{}, byChild: map[int]*Fork{}, uses: map[uint64][]*Use{}}
}

// addNative keeps a machine stack for the call that its thread makes.
func (s *store) addNative(n machineStack) {
	if len(s.natives) >= mostNatives {
		clear(s.natives)
	}
	s.natives[n.tid] = n
}

// nativeOf takes the machine stack that was recorded just before this caller, nil when there is none.
func (s *store) nativeOf(c *Caller, cookie uint64) []byte {
	n, ok := s.natives[c.TID]
	delete(s.natives, c.TID)
	if !ok || n.pid != c.PID || n.cookie != cookie {
		return nil
	}
	return n.stack
}

func (s *store) addCall(c *Call) {
	c.Native = s.nativeOf(&c.Caller, c.Cookie)
	s.calls.push(c)
	s.slots += len(c.Slots) + len(c.Native)
	list := append(s.byCookie[c.Cookie], c)
	if len(list) > mostOfSocket {
		list = list[1:]
	}
	s.byCookie[c.Cookie] = list
	for s.calls.len() > mostCalls || s.slots > mostSlots {
		s.dropCall(s.calls.pop())
	}
}

func (s *store) dropCall(c *Call) {
	s.slots -= len(c.Slots) + len(c.Native)
	list := s.byCookie[c.Cookie]
	for i, other := range list {
		if other == c {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if s.byCookie[c.Cookie] = list; len(list) == 0 {
		delete(s.byCookie, c.Cookie)
	}
}

// addPacket joins a packet to the call that made its socket send it.
func (s *store) addPacket(p packet) {
	c := s.of(p.cookie, p.proto, p.remote)
	if c == nil {
		return // the call was not recorded, or it cannot be told from others
	}
	e := &sent{ends{c.NetNS, p.proto, p.local, p.remote}, p.at, c}
	s.byEnds[e.ends] = e
	s.sents.push(e)
	for s.sents.len() > mostPackets {
		if old := s.sents.pop(); s.byEnds[old.ends] == old {
			delete(s.byEnds, old.ends)
		}
	}
}

// of is the latest call of a socket towards an address. Where address translation has changed the destination, a connection has one call only that matters, its latest; a sender of datagrams may
// have several destinations, and then none is known.
func (s *store) of(cookie uint64, proto uint8, remote netip.AddrPort) *Call {
	const tcp = 6
	list := s.byCookie[cookie]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Remote == remote && list[i].Proto == proto {
			return list[i]
		}
	}
	if n := len(list); n > 0 && list[n-1].Proto == proto && (proto == tcp || n == 1) {
		return list[n-1]
	}
	return nil
}

// addFork notes who made a process: a Python with its stack, or a program that descends from such a fork (sh -c "curl …"). That it is another program shows in its name; a copy of the Python that is not announced yet has its own reasons to fork,
// which are not known. Every process is made by a fork: what was known of an earlier one with this id is forgotten.
func (s *store) addFork(f *Fork) {
	delete(s.byChild, f.Child)
	origin := s.byChild[f.PID]
	switch {
	case f.Slots != nil:
		s.keepFork(child{f.Child, f})
	case f.Serial == 0 && origin != nil && f.Comm != origin.Comm:
		s.keepFork(child{f.Child, origin})
	}
}

func (s *store) keepFork(c child) {
	s.byChild[c.pid] = c.fork
	s.forks.push(c)
	s.forkSlots += len(c.fork.Slots)
	for s.forks.len() > mostForks || s.forkSlots > mostForkSlot {
		old := s.forks.pop()
		s.forkSlots -= len(old.fork.Slots)
		if s.byChild[old.pid] == old.fork {
			delete(s.byChild, old.pid)
		}
	}
}

func (s *store) addUse(u *Use) {
	u.Native = s.nativeOf(&u.Caller, u.Cookie)
	s.used.push(u)
	s.useSlots += len(u.Slots) + len(u.Native)
	list := append(s.uses[u.Cookie], u)
	s.uses[u.Cookie] = list[max(0, len(list)-mostOfSocket):]
	for s.used.len() > mostUses || s.useSlots > mostUseSlot {
		old := s.used.pop()
		s.useSlots -= len(old.Slots) + len(old.Native)
		list := slices.DeleteFunc(s.uses[old.Cookie], func(u *Use) bool { return u == old })
		if s.uses[old.Cookie] = list; len(list) == 0 {
			delete(s.uses, old.Cookie)
		}
	}
}

// useOf is the use that a packet of this time began, nil when that was not recorded.
func (s *store) useOf(cookie uint64, at time.Time) *Use {
	for _, u := range s.uses[cookie] {
		if after := u.At.Sub(at); after >= -clocksDiffer {
			if after > madeWithin {
				return nil
			}
			return u
		}
	}
	return nil
}

// queue is a first-in, first-out list.
type queue[T any] struct {
	list []T
	head int
}

func (q *queue[T]) len() int { return len(q.list) - q.head }

func (q *queue[T]) push(v T) {
	if q.head > 1024 && q.head > len(q.list)/2 {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	q.list = append(q.list, v)
}

func (q *queue[T]) pop() T {
	var none T
	v := q.list[q.head]
	q.list[q.head] = none
	q.head++
	return v
}
