// Package hook lets the kernel record who calls: small BPF programs at the root of the cgroup v2 hierarchy run inside connect(2), and inside sendmsg(2) of UDP sockets without a peer, in the
// calling thread itself. They note process, thread, user, socket cookie and destination, and, for processes that Announce told them about, the Python stack. The thread cannot run meanwhile: what is
// recorded is of one moment, and no thread has to be searched for. Another program notes the ends of a connection's first packet, so that Lookup finds the call even after its socket was closed.
//
// Where the kernel describes itself (BTF), two more programs record in the same way who starts a process, and who sends on a kept connection after a while of quiet.
//
// The programs only read and record: every call and packet passes unchanged. They are attached by BPF links and vanish with the process that attached them, however it ends.
//
// It gives attribution/resolve the calls and knows nothing of addons. Sources: Linux Documentation/bpf (prog_cgroup_sockopt.rst, ringbuf.rst), include/uapi/linux/bpf.h; for Python's structures see
// attribution/pystack.
package hook

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"netaudit/attribution/pystack"
)

// Sizes of the maps.
const (
	ringSize    = 16 << 20 // bytes: 7,000 calls with a stack, 100,000 without
	mostPlans   = 16384    // processes
	mostPending = 8192     // UDP sockets between connect and their first datagram
	mostTalks   = 8192     // destinations of UDP sockets without a peer
)

// drainEvery is how often the ring is emptied when nobody asks and it does not fill.
const drainEvery = 250 * time.Millisecond

// Stats counts since the start.
type Stats struct {
	Calls     uint64 // recorded
	Stacks    uint64 // of them with a Python stack
	Lost      uint64 // calls, packets and forks for which the ring had no room
	Malformed uint64 // records that could not be read: none, unless this package is wrong
}

// Hook is attached. Its methods are safe for concurrent use.
type Hook struct {
	objects objects
	close   []func() error
	serial  atomic.Uint64
	noForks error
	noUses  error

	mu        sync.Mutex // guards what follows
	ring      *ring      // nil when closed
	losses    *atomic.Uint64
	clock     bootTime
	store     *store
	lost      uint64
	calls     uint64
	stacks    uint64
	malformed uint64
}

// Open attaches the programs. An error says in one sentence why this host does not let it; all else goes on without.
func Open() (*Hook, error) {
	h := &Hook{store: newStore()}
	if err := h.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("the kernel records no callers here: %w", explain(err)), h.Close())
	}
	return h, nil
}

// explain says what a refusal of the kernel means.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES):
		return fmt.Errorf("it takes CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (or CAP_SYS_ADMIN), and a kernel that is not locked down: %w", err)
	case errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("it takes Linux 5.14 or later with CONFIG_CGROUP_BPF: %w", err)
	default:
		return err
	}
}

func (h *Hook) open() error {
	group, err := rootGroup()
	if err != nil {
		return err
	}
	if err := h.createMaps(); err != nil {
		return err
	}
	if err := h.mapMemory(); err != nil {
		return err
	}
	directory, err := os.Open(group)
	if err != nil {
		return fmt.Errorf("open the cgroup v2 hierarchy: %w", err)
	}
	defer directory.Close()
	return h.attach(int(directory.Fd()))
}

func (h *Hook) createMaps() (err error) {
	for _, m := range []struct {
		to   **ebpf.Map
		spec ebpf.MapSpec
	}{
		{&h.objects.plans, ebpf.MapSpec{Name: "netaudit_plans", Type: ebpf.Hash, KeySize: 4, ValueSize: planSize, MaxEntries: mostPlans, Flags: unix.BPF_F_NO_PREALLOC}},
		{&h.objects.ring, ebpf.MapSpec{Name: "netaudit_calls", Type: ebpf.RingBuf, MaxEntries: ringSize}},
		{&h.objects.lost, ebpf.MapSpec{Name: "netaudit_lost", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE}},
		{&h.objects.scratch, ebpf.MapSpec{Name: "netaudit_walk", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: scratchSize, MaxEntries: scratchAreas}},
		{&h.objects.pending, ebpf.MapSpec{Name: "netaudit_pend", Type: ebpf.LRUHash, KeySize: 8, ValueSize: 8, MaxEntries: mostPending}},
		{&h.objects.spoken, ebpf.MapSpec{Name: "netaudit_spoke", Type: ebpf.LRUHash, KeySize: 8, ValueSize: 8, MaxEntries: mostSpoken}},
		{&h.objects.talks, ebpf.MapSpec{Name: "netaudit_talks", Type: ebpf.LRUHash, KeySize: wordTalkEnd + 8 - wordTalk, ValueSize: 8, MaxEntries: mostTalks}},
	} {
		if *m.to, err = ebpf.NewMap(&m.spec); err != nil {
			return fmt.Errorf("make the map %s: %w", m.spec.Name, err)
		}
		h.close = append(h.close, (*m.to).Close)
	}
	return nil
}

// mapMemory maps what is read for each question.
func (h *Hook) mapMemory() (err error) {
	var unmap func() error
	if h.losses, unmap, err = mapCounter(h.objects.lost); err != nil {
		return err
	}
	h.close = append(h.close, unmap)
	if h.ring, err = mapRing(h.objects.ring, ringSize); err != nil {
		return err
	}
	h.close = append(h.close, h.ring.close)
	return nil
}

// attach loads the programs and links them to the directory of a cgroup. The one for packets comes first: a call is only recorded when its packets are.
func (h *Hook) attach(group int) error {
	h.objects.pointer = pointerOffset()
	namespaces := features.HaveProgramHelper(ebpf.CGroupSockAddr, asm.FnGetNsCurrentPidTgid) == nil // Linux 6.10; before, only processes of the first pid namespace have stacks
	for _, a := range []struct {
		name string
		kind ebpf.ProgramType
		to   ebpf.AttachType
		code asm.Instructions
	}{
		{"netaudit_packet", ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, onPacket(&h.objects)},
		{"netaudit_conn4", ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect, onCall(&h.objects, false, false, namespaces)},
		{"netaudit_conn6", ebpf.CGroupSockAddr, ebpf.AttachCGroupInet6Connect, onCall(&h.objects, true, false, namespaces)},
		{"netaudit_send4", ebpf.CGroupSockAddr, ebpf.AttachCGroupUDP4Sendmsg, onCall(&h.objects, false, true, namespaces)},
		{"netaudit_send6", ebpf.CGroupSockAddr, ebpf.AttachCGroupUDP6Sendmsg, onCall(&h.objects, true, true, namespaces)},
	} {
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: a.name, Type: a.kind, AttachType: a.to, Instructions: a.code, License: "GPL"})
		if err != nil {
			return fmt.Errorf("load the program %s: %w", a.name, err)
		}
		h.close = append(h.close, program.Close)
		l, err := link.AttachRawLink(link.RawLinkOptions{Target: group, Program: program, Attach: a.to})
		if err != nil {
			return fmt.Errorf("attach the program %s: %w", a.name, err)
		}
		h.close = append(h.close, l.Close)
	}
	if err := h.attachFork(namespaces); err != nil {
		h.noForks = err
	}
	if err := h.attachUses(namespaces); err != nil {
		h.noUses = err
	}
	return nil
}

// NoForks says why the kernel does not record who starts programs; nil when it does. Then a program's starter is looked for while it waits.
func (h *Hook) NoForks() error { return h.noForks }

// Close detaches the programs and frees what they recorded.
func (h *Hook) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for i := len(h.close) - 1; i >= 0; i-- {
		errs = append(errs, h.close[i]())
	}
	h.close, h.ring = nil, nil
	return errors.Join(errs...)
}

// Run empties the ring until ctx ends, from time to time and when a quarter of it is full, so that calls that nobody asks for do not fill it.
func (h *Hook) Run(ctx context.Context) error {
	wake, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("wait for the ring: %w", err)
	}
	defer unix.Close(wake)
	// Edge-triggered: only a wake-up counts, not that there is data.
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}
	if err := unix.EpollCtl(wake, unix.EPOLL_CTL_ADD, h.objects.ring.FD(), &event); err != nil {
		return fmt.Errorf("wait for the ring: %w", err)
	}
	for ctx.Err() == nil {
		var events [1]unix.EpollEvent
		if _, err := unix.EpollWait(wake, events[:], int(drainEvery.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for the ring: %w", err)
		}
		h.mu.Lock()
		h.drain()
		h.mu.Unlock()
	}
	return nil
}

// Announce tells the programs where the Python stacks of a process are. The serial that it returns comes back in Call.Serial: only a stack with it was read by this plan.
func (h *Hook) Announce(pid int, w pystack.WalkPlan) (serial uint64, err error) {
	serial = h.serial.Add(1)
	if err := h.put(pid, serial, &w, false); err != nil {
		return 0, err
	}
	return serial, nil
}

func (h *Hook) put(pid int, serial uint64, w *pystack.WalkPlan, native bool) error {
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/pid", pid), &st); err != nil {
		return fmt.Errorf("announce process %d: %w", pid, err)
	}
	// The program compares with the kernel's own form of a device number, which differs from that of stat(2).
	dev := uint64(unix.Major(st.Dev))<<20 | uint64(unix.Minor(st.Dev))
	if err := h.objects.plans.Put(uint32(pid), encodePlan(serial, w, dev, st.Ino, native)); err != nil {
		return fmt.Errorf("announce process %d: %w", pid, err)
	}
	return nil
}

// Forget takes back what Announce told of a process.
func (h *Hook) Forget(pid int) error {
	if err := h.objects.plans.Delete(uint32(pid)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("forget process %d: %w", pid, err)
	}
	return nil
}

// Lookup finds the call that opened a connection whose first packet has been seen: the packet was recorded before anybody could see it, so what is not there now will not come. netns is a cookie
// (kernel.Diag.NetNSCookie). The call is shared and must not be changed.
func (h *Hook) Lookup(netns uint64, proto uint8, local, remote netip.AddrPort) (*Call, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drain()
	s := h.store.byEnds[ends{netns, proto, local, remote}]
	if s == nil {
		return nil, false
	}
	return s.call, true
}

// OfSocket finds the latest call of a socket towards an address.
func (h *Hook) OfSocket(cookie uint64, proto uint8, remote netip.AddrPort) (*Call, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drain()
	c := h.store.of(cookie, proto, remote)
	return c, c != nil
}

// ForkOf finds the fork of a Python process, with that process's stack, from which a process comes: made by that fork itself, or by programs that it became (sh -c "curl …"). The fork is shared and must not be changed.
func (h *Hook) ForkOf(child int) (*Fork, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drain()
	f := h.store.byChild[child]
	return f, f != nil
}

// drain takes all records. When some were lost, what was kept is forgotten: a lost one could have been of a later connection between the same ends. The caller holds the lock.
func (h *Hook) drain() {
	if h.ring == nil {
		return
	}
	if lost := h.losses.Load(); lost != h.lost {
		h.lost = lost
		defer func() { h.store = newStore() }()
	}
	if h.ring.empty() {
		return
	}
	h.clock.look()
	if !h.ring.each(h.take) {
		h.malformed++
		h.store = newStore()
	}
}

// take keeps what a record says, and nothing of the record itself.
func (h *Hook) take(b []byte) {
	at := h.clock.day
	kind := uint32(0)
	if len(b) >= 4 {
		kind = binary.NativeEndian.Uint32(b)
	}
	switch kind {
	case kindCall:
		c, err := parseCall(b, at)
		if err != nil {
			h.malformed++
			return
		}
		h.calls++
		if c.Slots != nil {
			h.stacks++
		}
		h.store.addCall(&c)
	case kindPacket:
		p, err := parsePacket(b, at)
		if err != nil {
			h.malformed++
			return
		}
		h.store.addPacket(p)
	case kindNative:
		n, err := parseNative(b)
		if err != nil {
			h.malformed++
			return
		}
		h.store.addNative(n)
	case kindFork:
		f, err := parseFork(b, at)
		if err != nil {
			h.malformed++
			return
		}
		h.store.addFork(&f)
	case kindUse:
		caller, err := parseCaller(b, at)
		if err != nil {
			h.malformed++
			return
		}
		h.store.addUse(&Use{Caller: caller, Cookie: binary.NativeEndian.Uint64(b[offCookie:])})
	default:
		h.malformed++
	}
}

// Stats returns the counters.
func (h *Hook) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drain()
	return Stats{Calls: h.calls, Stacks: h.stacks, Lost: h.lost, Malformed: h.malformed}
}
