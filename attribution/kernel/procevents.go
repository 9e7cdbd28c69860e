package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// ProcessEventKind is what happened to a process.
type ProcessEventKind uint32

// Kinds of events (include/uapi/linux/cn_proc.h).
const (
	ProcessForked ProcessEventKind = 0x00000001
	ProcessExeced ProcessEventKind = 0x00000002
	ProcessExited ProcessEventKind = 0x80000000
)

// ProcessEvent says that a process began, runs another program from now on, or ended. Threads make none.
type ProcessEvent struct {
	Kind   ProcessEventKind
	PID    int
	Parent int // of a process that was forked
}

// ErrEventsLost says that events were lost because they were not read fast enough: what is known of processes is no more certain.
var ErrEventsLost = errors.New("events of processes were lost")

// ProcessEvents is the kernel's process connector (Documentation/driver-api/connector.rst). One goroutine reads it; Close may be called by another.
type ProcessEvents struct {
	file   *os.File
	buffer []byte
	list   []ProcessEvent // read and not handed out yet
	closed atomic.Bool
}

// Sizes of the headers before an event: netlink, connector, then kind, processor and time.
const (
	netlinkHeader   = 16
	connectorHeader = 20
	eventHeader     = 16
	eventAt         = netlinkHeader + connectorHeader
	idsAt           = eventAt + eventHeader
)

// WatchProcesses subscribes. It takes CAP_NET_ADMIN and the host's first network, pid and user namespaces.
func WatchProcesses() (*ProcessEvents, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, fmt.Errorf("open the process connector: %w", err)
	}
	e := &ProcessEvents{file: os.NewFile(uintptr(fd), "process connector"), buffer: make([]byte, 64<<10)}
	if err := e.subscribe(fd); err != nil {
		return nil, errors.Join(fmt.Errorf("subscribe to the process connector: %w", err), e.file.Close())
	}
	return e, nil
}

func (e *ProcessEvents) subscribe(fd int) error {
	const channel, listen = 1, 1 // CN_IDX_PROC and CN_VAL_PROC, PROC_CN_MCAST_LISTEN
	if err := onlyProcesses(fd); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: channel}); err != nil {
		return err
	}
	m := make([]byte, eventAt+4)
	binary.NativeEndian.PutUint32(m, uint32(len(m)))
	binary.NativeEndian.PutUint16(m[4:], unix.NLMSG_DONE)
	binary.NativeEndian.PutUint32(m[netlinkHeader:], channel)
	binary.NativeEndian.PutUint32(m[netlinkHeader+4:], channel)
	binary.NativeEndian.PutUint16(m[netlinkHeader+16:], 4)
	binary.NativeEndian.PutUint32(m[eventAt:], listen)
	return unix.Sendto(fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// onlyProcesses lets the kernel drop events of threads and of kinds that nobody asks for: a threaded Odoo starts a thread for every request. Filters read numbers in network order, which these are not.
func onlyProcesses(fd int) error {
	swapped := func(k ProcessEventKind) uint32 {
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(k))
		return binary.BigEndian.Uint32(b[:])
	}
	const pid, child = idsAt, idsAt + 8 // each is followed by the thread group's id
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: eventAt, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: swapped(ProcessForked), SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: swapped(ProcessExeced), SkipTrue: 10},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: swapped(ProcessExited), SkipTrue: 5},
		bpf.RetConstant{Val: 0},
		bpf.LoadAbsolute{Off: child, Size: 4}, // a fork
		bpf.TAX{},
		bpf.LoadAbsolute{Off: child + 4, Size: 4},
		bpf.Jump{Skip: 3},
		bpf.LoadAbsolute{Off: pid, Size: 4}, // an exit
		bpf.TAX{},
		bpf.LoadAbsolute{Off: pid + 4, Size: 4},
		bpf.JumpIfX{Cond: bpf.JumpEqual, SkipFalse: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return fmt.Errorf("assemble the filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(program))
	for i, p := range program {
		filter[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

// Next waits for an event. ErrEventsLost is no end; os.ErrClosed is, after Close.
func (e *ProcessEvents) Next() (ProcessEvent, error) {
	for len(e.list) == 0 {
		n, err := e.file.Read(e.buffer)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			return ProcessEvent{}, ErrEventsLost
		case e.closed.Load():
			return ProcessEvent{}, os.ErrClosed
		case err != nil:
			return ProcessEvent{}, fmt.Errorf("read the process connector: %w", err)
		}
		e.list = parseProcessEvents(e.buffer[:n], e.list)
	}
	event := e.list[0]
	e.list = e.list[1:]
	return event, nil
}

// parseProcessEvents reads the messages of one datagram; others than events of processes are left out.
func parseProcessEvents(b []byte, list []ProcessEvent) []ProcessEvent {
	for len(b) >= netlinkHeader {
		size := int(binary.NativeEndian.Uint32(b))
		if size < netlinkHeader || size > len(b) {
			return list
		}
		m := b[:size]
		b = b[min((size+3)&^3, len(b)):]
		if len(m) < idsAt+16 {
			continue
		}
		id := func(n int) int { return int(int32(binary.NativeEndian.Uint32(m[idsAt+4*n:]))) }
		switch kind := ProcessEventKind(binary.NativeEndian.Uint32(m[eventAt:])); {
		case kind == ProcessForked && id(2) == id(3):
			list = append(list, ProcessEvent{Kind: kind, PID: id(3), Parent: id(1)})
		case kind == ProcessExeced || kind == ProcessExited && id(0) == id(1):
			list = append(list, ProcessEvent{Kind: kind, PID: id(1)})
		}
	}
	return list
}

// Close ends the subscription and a waiting Next.
func (e *ProcessEvents) Close() error {
	e.closed.Store(true)
	return e.file.Close()
}
