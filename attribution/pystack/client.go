package pystack

import (
	"fmt"
	"net/netip"
	"strings"

	"netaudit/attribution/pystack/memory"
)

// clientOf reads whom a server's frame serves: the third argument of socketserver's and Odoo's functions that handle one accepted connection,
//
//	socketserver.ThreadingMixIn.process_request_thread(self, request, client_address)
//	odoo.service.server.WorkerHTTP.process_request(self, client, addr)
//
// is the address that accept(2) gave, a tuple of a string and an int. The zero AddrPort when the function is another one, or when it cannot be read.
func (p *Process) clientOf(r memory.Reader, f rawFrame, function string, arguments int32) netip.AddrPort {
	name := function[strings.LastIndexByte(function, '.')+1:]
	if arguments < 3 || name != "process_request_thread" && name != "process_request" {
		return netip.AddrPort{}
	}
	tuple, err := memory.Uint64(r, f.addr+p.rt.layout.fLocals+16)
	if err != nil {
		return netip.AddrPort{}
	}
	if p.rt.layout.minor >= 14 {
		tuple &^= 3
	}
	client, err := p.rt.layout.socketAddress(p.mem, tuple)
	if err != nil {
		return netip.AddrPort{} // deleted or rebound: that makes no stack wrong
	}
	return client
}

// outermost is how many frames from a thread's root are searched for the one that serves: some four in socketserver's threads, eight in Odoo's workers.
const outermost = 16

// Serving reads the stack of the thread that serves this client, see Frame.Client; of all others only a few frames are looked at. Errors: ErrNoThread when nobody does, else as
// Thread.
func (p *Process) Serving(client netip.AddrPort) (Thread, error) {
	states, err := p.states()
	if err != nil {
		return Thread{}, asPermission(p.pid, err)
	}
	for _, s := range states {
		if p.mayServe(s, client) {
			return p.readServing(s, client)
		}
	}
	return Thread{}, fmt.Errorf("a thread of process %d that serves %s: %w", p.pid, client, ErrNoThread)
}

// mayServe looks once at the thread's outermost frames. What it sees of a running thread may be torn: it only chooses whose stack is read.
func (p *Process) mayServe(s threadState, client netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	view := memory.Over(p.mem)
	defer view.Close()
	p.reading++
	raw, _, err := p.rawStack(view, s.addr)
	if err != nil {
		return false
	}
	for _, f := range raw[max(0, len(raw)-outermost):] {
		if c, err := p.code(p.mem, f.code); err == nil && p.clientOf(view, f, c.function, c.head.argcount) == client {
			return true
		}
	}
	return false
}

func (p *Process) readServing(s threadState, client netip.AddrPort) (Thread, error) {
	t, err := p.readByState(s)
	if err != nil {
		return Thread{}, err
	}
	for _, f := range t.Frames {
		if f.Client == client {
			return t, nil
		}
	}
	return Thread{}, fmt.Errorf("thread %d of process %d serves another: %w", t.TID, p.pid, ErrNoThread)
}

// socketAddress reads a tuple (host, port, …) as the socket module makes it.
func (l *layout) socketAddress(r memory.Reader, tuple uint64) (netip.AddrPort, error) {
	var none netip.AddrPort
	if tuple == 0 {
		return none, fmt.Errorf("reading an address: %w", errImplausible)
	}
	kind, err := l.nameOfType(r, tuple)
	if err != nil || kind != "tuple" {
		return none, fmt.Errorf("reading an address: %w", errImplausible)
	}
	size, err := memory.Uint64(r, tuple+tupleSize)
	if err != nil || size < 2 || size > 4 {
		return none, fmt.Errorf("reading an address: %w", errImplausible)
	}
	host, err := memory.Uint64(r, tuple+l.tupleItems())
	if err != nil {
		return none, err
	}
	port, err := memory.Uint64(r, tuple+l.tupleItems()+8)
	if err != nil {
		return none, err
	}
	text, err := l.str(r, host)
	if err != nil {
		return none, err
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return none, fmt.Errorf("reading an address: %w", err)
	}
	number, err := l.smallInt(r, port)
	if err != nil || number > 65535 {
		return none, fmt.Errorf("reading a port: %w", errImplausible)
	}
	return netip.AddrPortFrom(address.Unmap().WithZone(""), uint16(number)), nil
}

// smallInt reads a PyLongObject of one digit (cpython/longintrepr.h): positive and below 2^30.
func (l *layout) smallInt(r memory.Reader, obj uint64) (uint32, error) {
	var head [28]byte // refcount, type, size or tag, first digit
	if err := r.ReadAt(obj, head[:]); err != nil {
		return 0, fmt.Errorf("reading a number: %w", err)
	}
	one := uint64(1) // ob_size
	if l.minor >= 12 {
		one = 1 << 3 // lv_tag: digits << 3 | sign
	}
	if le64(head[:], 16) != one {
		return 0, fmt.Errorf("reading a number: %w", errImplausible)
	}
	return le32(head[:], 24), nil
}
