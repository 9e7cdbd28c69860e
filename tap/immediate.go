package tap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/gopacket/gopacket"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// immediateHandle reads a TPACKET_V2 ring (Linux, Documentation/networking/packet_mmap.rst): the kernel hands every frame over at once. Each takes a slot, and the slots are short, so that there are many; of a frame that is longer than
// its slot the kernel queues a whole copy at the socket as well (PACKET_COPY_THRESH). libpcap's immediate mode has no such copies: there every slot is as long as the longest frame, and 64 MiB are 1,024 of them instead of 32,768. (gopacket/afpacket has TPACKET_V2 too, and lends nobody its socket to ask for the copies.) It
// belongs to the goroutine that reads; close comes when nobody does.
type immediateHandle struct {
	iface       string
	promiscuous bool
	fd          int
	epoll       int                // an epoll instance with fd in it: however many frames come, it tells of one
	once        *os.File           // of epoll: Go's runtime waits for it
	raw         syscall.RawConn    // of once
	look        func(uintptr) bool // whether waiting has an end, as raw asks for it
	looked      bool               // since waiting began
	notArmed    syscall.Errno      // why nobody would tell of a frame; 0: somebody will
	deadline    time.Time          // of waiting
	kind        LinkType
	memory      []byte // the ring
	slots, next int
	taken       bool   // the slot before next is lent
	long        []byte // room for frames that are longer than a slot
	lost        uint32 // frames for which the ring had no slot
	down        bool   // the interface was, when no frame came
	pace        pace
}

const (
	slotSize   = 2048                // bytes: an Ethernet frame of 1,514 behind the kernel's header, and some more
	ringPiece  = 1 << 20             // bytes that the kernel allocates in one piece; where memory is in pieces it takes them from elsewhere
	vlanTag    = 4                   // bytes of an 802.1Q tag, for which there is room before each frame
	tagAt      = 12                  // where it stands: behind the two addresses
	longQueued = 16 << 20            // bytes of longer frames that may wait, by the kernel's count
	slotFull   = unix.TP_STATUS_USER // the kernel has filled the slot
)

// openImmediate opens such a ring in the calling thread's network namespace; where an interface is of a kind that it cannot read, libpcap's immediate mode.
func openImmediate(c LiveConfig) (handle, error) {
	kind, loopback, err := ringLink(c.Iface)
	if err != nil {
		return openPcap(c, pcapSnapLen) // "any", and what libpcap knows besides; else it says what is wrong
	}
	program, err := ringFilter(c, loopback)
	if err != nil {
		return nil, err
	}
	h := &immediateHandle{iface: c.Iface, promiscuous: c.Promiscuous, kind: kind, fd: -1, long: make([]byte, vlanTag+wholeFrame)}
	if err := h.open(c, program); err != nil {
		h.close()
		if errors.Is(err, unix.EPERM) {
			return nil, &RightsError{Doing: "capture on " + c.Iface, Missing: "CAP_NET_RAW", Fix: grant("cap_net_raw"), Err: err}
		}
		return nil, fmt.Errorf("capture on %s: %w", c.Iface, err)
	}
	return h, nil
}

func (h *immediateHandle) open(c LiveConfig, program []bpf.RawInstruction) (err error) {
	i, err := net.InterfaceByName(c.Iface)
	if err != nil {
		return err
	}
	// Of no protocol yet: frames come from bind on, when the filter is there.
	if h.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	if err := h.mapRing(c.BufferBytes); err != nil {
		return err
	}
	if err := h.filter(program); err != nil {
		return err
	}
	if c.Promiscuous {
		if err := unix.SetsockoptPacketMreq(h.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{Ifindex: int32(i.Index), Type: unix.PACKET_MR_PROMISC}); err != nil {
			return fmt.Errorf("see frames for other machines: %w", err)
		}
	}
	if err := unix.Bind(h.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: i.Index}); err != nil {
		return fmt.Errorf("bind the packet socket: %w", err)
	}
	if err := h.letRuntimeWait(); err != nil {
		return fmt.Errorf("wait for the packet socket: %w", err)
	}
	return h.state()
}

// letRuntimeWait lets Go's network poller wait. A thread that waits in poll(2) itself keeps the right to run Go code, and the runtime's monitor looks every 20 µs for 10 ms whether somebody else wants it: with packets that come one by
// one that took more processor time than the packets. The poller does not have the socket itself: it would be woken for each frame, also while others are being read, and once more for each that is given back.
func (h *immediateHandle) letRuntimeWait() error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(epoll, true); err != nil {
		return errors.Join(err, unix.Close(epoll))
	}
	h.epoll = epoll
	h.once = os.NewFile(uintptr(epoll), "capture on "+h.iface)
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, h.fd, &unix.EpollEvent{}); err != nil {
		return err
	}
	h.look = func(uintptr) bool {
		if h.looked { // woken by a frame, or by news of the interface
			return true
		}
		h.looked = true
		// What came before does not count any more, what comes from now on does.
		arm := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}
		_, _, failed := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epoll), unix.EPOLL_CTL_MOD, uintptr(h.fd), uintptr(unsafe.Pointer(&arm)), 0, 0)
		h.notArmed = failed
		return failed != 0 || h.filled()
	}
	if h.raw, err = h.once.SyscallConn(); err != nil {
		return err
	}
	return h.once.SetReadDeadline(time.Time{}) // an error when it cannot be waited for
}

func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// mapRing lets the kernel make the ring and maps it.
func (h *immediateHandle) mapRing(size int) (err error) {
	for _, option := range []struct {
		what        string
		name, value int
	}{
		{"ask for TPACKET_V2", unix.PACKET_VERSION, unix.TPACKET_V2},
		{"keep room for VLAN tags", unix.PACKET_RESERVE, vlanTag},
		{"ask for whole copies of long frames", unix.PACKET_COPY_THRESH, 1},
	} {
		if err := unix.SetsockoptInt(h.fd, unix.SOL_PACKET, option.name, option.value); err != nil {
			return fmt.Errorf("%s: %w", option.what, err)
		}
	}
	if unix.SetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, longQueued) != nil { // it takes CAP_NET_ADMIN
		if err := unix.SetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, longQueued); err != nil { // as much as net.core.rmem_max lets
			return fmt.Errorf("make room for copies of long frames: %w", err)
		}
	}
	pieces := max(1, size/ringPiece)
	h.slots = pieces * ringPiece / slotSize
	request := unix.TpacketReq{Block_size: ringPiece, Block_nr: uint32(pieces), Frame_size: slotSize, Frame_nr: uint32(h.slots)}
	if err := unix.SetsockoptTpacketReq(h.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &request); err != nil {
		return fmt.Errorf("make a ring of %d bytes: %w", size, err)
	}
	if h.memory, err = unix.Mmap(h.fd, 0, pieces*ringPiece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("map the ring: %w", err)
	}
	return nil
}

func (h *immediateHandle) filter(program []bpf.RawInstruction) error {
	list := make([]unix.SockFilter, len(program))
	for i, p := range program {
		list[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	if err := unix.SetsockoptSockFprog(h.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(list)), Filter: &list[0]}); err != nil {
		return fmt.Errorf("set the filter: %w", err)
	}
	return nil
}

// state says what the kernel has to tell of the socket, nil when nothing.
func (h *immediateHandle) state() error {
	code, err := unix.GetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return fmt.Errorf("ask whether the interface is up: %w", err)
	case code != 0:
		return unix.Errno(code)
	default:
		return nil
	}
}

// ended says what ended the capture, nil when nothing did. When an interface is taken down the socket stays bound to it, and sees its frames again when it is up. One that is deleted is taken down first, and the socket hears of that
// alone: so it is asked then whether it still is bound (packet_notifier, net/packet/af_packet.c).
func (h *immediateHandle) ended() error {
	err := h.state()
	if h.down = h.down || errors.Is(err, unix.ENETDOWN); !h.down {
		return err
	}
	address, nameErr := unix.Getsockname(h.fd)
	if link, ok := address.(*unix.SockaddrLinklayer); nameErr == nil && ok && link.Ifindex > 0 {
		return nil
	}
	return unix.ENETDOWN
}

// read implements handle.
func (h *immediateHandle) read() ([]byte, gopacket.CaptureInfo, error) {
	if h.taken {
		h.giveBack()
	}
	if !h.filled() {
		if err := h.wait(); err != nil {
			return nil, gopacket.CaptureInfo{}, err
		}
	}
	h.taken, h.down = true, false
	h.pace.frames++
	return h.frame(h.memory[h.next*slotSize : (h.next+1)*slotSize])
}

// giveBack returns the slot that was lent to the kernel.
func (h *immediateHandle) giveBack() {
	atomic.StoreUint32(h.status(), unix.TP_STATUS_KERNEL)
	h.taken = false
	if h.next++; h.next == h.slots {
		h.next = 0
	}
}

// status is the first field of the slot's header: whoever it belongs to writes it last.
func (h *immediateHandle) status() *uint32 {
	return (*uint32)(unsafe.Pointer(&h.memory[h.next*slotSize]))
}

func (h *immediateHandle) filled() bool { return atomic.LoadUint32(h.status())&slotFull != 0 }

// wait waits for a frame, idleAfter at most.
func (h *immediateHandle) wait() error {
	now := time.Now()
	if h.pace.rest(now) && h.filled() {
		return nil
	}
	if h.deadline.Sub(now) < idleAfter/2 { // to set it takes longer than to wait a little less
		h.deadline = now.Add(idleAfter)
		if err := h.once.SetReadDeadline(h.deadline); err != nil {
			return fmt.Errorf("wait for a frame: %w", err)
		}
	}
	h.looked = false
	if err := h.raw.Read(h.look); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wait for a frame: %w", err)
	}
	h.hush()
	switch {
	case h.filled():
		return nil
	case h.notArmed != 0:
		return fmt.Errorf("wait for a frame: %w", h.notArmed)
	default:
		return h.poll()
	}
}

// hush takes what epoll has to tell: only then it is silent about the frames that come next (EPOLLONESHOT in epoll_ctl(2)).
func (h *immediateHandle) hush() {
	var told unix.EpollEvent
	_, _, _ = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(h.epoll), uintptr(unsafe.Pointer(&told)), 1, 0, 0, 0) // should it fail, it tells of more frames than it need
}

// poll looks for news of the interface, and for a frame that is being written.
func (h *immediateHandle) poll() error {
	poll := []unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(poll, 0); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for a frame: %w", err)
	}
	if (h.down || poll[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0) && !h.filled() {
		if err := h.ended(); err != nil {
			return err
		}
	}
	for range busySlots {
		if h.filled() {
			return nil
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			break
		}
		runtime.Gosched() // another processor still writes this slot, and one behind it is written
	}
	return errNothing
}

// busySlots is how often it is looked at a slot that is being written.
const busySlots = 1000

// frame is what the kernel put into a slot (struct tpacket2_hdr, include/uapi/linux/if_packet.h).
func (h *immediateHandle) frame(slot []byte) ([]byte, gopacket.CaptureInfo, error) {
	status := binary.NativeEndian.Uint32(slot)
	length, captured := int(binary.NativeEndian.Uint32(slot[4:])), int(binary.NativeEndian.Uint32(slot[8:]))
	at := int(binary.NativeEndian.Uint16(slot[12:]))
	seconds, nanoseconds := binary.NativeEndian.Uint32(slot[16:]), binary.NativeEndian.Uint32(slot[20:])
	info := gopacket.CaptureInfo{Timestamp: time.Unix(int64(seconds), int64(nanoseconds)), Length: length}
	if at < vlanTag || at+captured > len(slot) {
		return nil, info, fmt.Errorf("a slot of the ring with %d bytes at %d, which the kernel does not write", captured, at)
	}
	data := slot[at : at+captured]
	room := slot[at-vlanTag : at+captured]
	if status&unix.TP_STATUS_COPY != 0 {
		if n, _, err := unix.Recvfrom(h.fd, h.long[vlanTag:], unix.MSG_DONTWAIT); err == nil && n > captured {
			data, room = h.long[vlanTag:vlanTag+n], h.long[:vlanTag+n]
		}
	}
	if status&unix.TP_STATUS_VLAN_VALID != 0 && h.kind == LinkEthernet && len(data) >= tagAt {
		data = withTag(room, binary.NativeEndian.Uint16(slot[26:]), binary.NativeEndian.Uint16(slot[24:]), status)
		info.Length += vlanTag
	}
	info.CaptureLength = len(data)
	return data, info, nil
}

// withTag puts the tag that the kernel took out of a frame back, in place: room begins with as many free bytes.
func withTag(room []byte, protocol, tag uint16, status uint32) []byte {
	if status&unix.TP_STATUS_VLAN_TPID_VALID == 0 {
		protocol = unix.ETH_P_8021Q
	}
	copy(room, room[vlanTag:vlanTag+tagAt])
	binary.BigEndian.PutUint16(room[tagAt:], protocol)
	binary.BigEndian.PutUint16(room[tagAt+2:], tag)
	return room
}

// losses implements handle. The kernel's counter begins anew each time it is read.
func (h *immediateHandle) losses() (kernelLosses, error) {
	s, err := unix.GetsockoptTpacketStats(h.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return kernelLosses{}, err
	}
	h.lost += s.Drops
	all := kernelLosses{dropped: h.lost}
	if h.promiscuous { // as libpcap: else frames for other machines, that nobody wants, count
		all.ifDropped = counter(h.iface, "rx_missed_errors") + counter(h.iface, "rx_fifo_errors")
	}
	return all, nil
}

// counter reads one of an interface's counters, 0 when it has none (Documentation/ABI/testing/sysfs-class-net-statistics).
func counter(iface, name string) uint32 {
	text, err := os.ReadFile("/sys/class/net/" + iface + "/statistics/" + name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func (h *immediateHandle) link() LinkType { return h.kind }

func (h *immediateHandle) close() {
	if h.memory != nil {
		_ = unix.Munmap(h.memory) // it was mapped
		h.memory = nil
	}
	if h.once != nil {
		_ = h.once.Close() // nothing was written to it
		h.once = nil
	}
	if h.fd >= 0 {
		_ = unix.Close(h.fd)
		h.fd = -1
	}
}
