package tap

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/afpacket"
	"github.com/gopacket/gopacket/pcap"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// ringHandle reads a TPACKET_V3 ring (Linux, Documentation/networking/packet_mmap.rst): the kernel fills blocks of many frames and hands a block over when it is
// full, or after ringTimeout. So a busy port costs less a packet than immediate mode, and a quiet one waits some milliseconds.
type ringHandle struct {
	ring *afpacket.TPacket
	kind LinkType

	// afpacket begins to capture before it can be told of a filter and of those it shares the frames with: what came until then is not for us.
	began, settled time.Time
}

// settling is longer than a frame is on its way through the kernel, which may still have begun without the filter.
const settling = time.Millisecond

const (
	// Bytes; a frame must fit into one, also one of segmentation offload. On a quiet interface every ringTimeout uses a block up, however little is in it: 64 MiB last
	// half a second when the reader is off the processor.
	ringBlock   = 128 << 10
	ringFrame   = 2048             // bytes; a unit for the arithmetic of the kernel, frames may be longer
	ringTimeout = time.Millisecond // the kernel rounds it up to its tick
)

// openRing opens a ring in the calling thread's network namespace.
func openRing(c LiveConfig) (handle, error) {
	kind, loopback, err := ringLink(c.Iface)
	if err != nil {
		return nil, err
	}
	program, err := ringFilter(c, loopback)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	t, err := afpacket.NewTPacket(
		afpacket.OptInterface(c.Iface), afpacket.TPacketVersion3, afpacket.OptBlockSize(ringBlock), afpacket.OptFrameSize(ringFrame),
		afpacket.OptNumBlocks(max(2, c.BufferBytes/ringBlock)), afpacket.OptBlockTimeout(ringTimeout), afpacket.OptPollTimeout(idleAfter),
		afpacket.OptAddVLANHeader(true))
	if errors.Is(err, unix.EPERM) {
		return nil, &RightsError{Doing: "capture on " + c.Iface, Missing: "CAP_NET_RAW", Fix: grant("cap_net_raw"), Err: err}
	} else if err != nil {
		return nil, fmt.Errorf("open a ring on %s: %w", c.Iface, err)
	}
	if err := t.SetBPF(program); err != nil {
		t.Close()
		return nil, fmt.Errorf("set the filter on %s: %w", c.Iface, err)
	}
	if c.Promiscuous {
		if err := t.SetPromiscuous(true); err != nil {
			t.Close()
			return nil, fmt.Errorf("see frames for other machines on %s: %w", c.Iface, err)
		}
	}
	if c.Fanout != 0 {
		if err := t.SetFanout(afpacket.FanoutHashWithDefrag, c.Fanout); err != nil {
			t.Close()
			return nil, fmt.Errorf("share the frames of %s between workers: %w", c.Iface, err)
		}
	}
	time.Sleep(settling)
	return &ringHandle{ring: t, kind: kind, began: began, settled: time.Now()}, nil
}

// ringLink tells how frames of an interface begin (ARPHRD, include/uapi/linux/if_arp.h).
func ringLink(iface string) (kind LinkType, loopback bool, err error) {
	if iface == "any" {
		return 0, false, errors.New(`a ring belongs to one interface: name it, or capture on "any" without a ring`)
	}
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return 0, false, &InterfaceError{Iface: iface, Exists: existing(), Err: err}
	}
	hardware, err := hardwareType(iface)
	if err != nil {
		return 0, false, fmt.Errorf("ask what kind of interface %s is: %w", iface, err)
	}
	switch hardware {
	case unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK:
		kind = LinkEthernet
	case unix.ARPHRD_NONE, unix.ARPHRD_RAWIP, unix.ARPHRD_TUNNEL, unix.ARPHRD_SIT:
		kind = LinkRaw
	default:
		return 0, false, fmt.Errorf("%s is of a kind (ARPHRD %d) that a ring cannot read: capture without one", iface, hardware)
	}
	return kind, i.Flags&net.FlagLoopback != 0, nil
}

// hardwareType asks by SIOCGIFHWADDR, netdevice(7): /sys shows the interfaces of another network namespace than the one the thread has entered.
func hardwareType(iface string) (uint16, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(iface)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFHWADDR, request); err != nil {
		return 0, err
	}
	return request.Uint16(), nil
}

// wholeFrame is what a filter returns to keep a frame: more bytes than frames have (RFC 2675's longer ones are cut).
const wholeFrame = 256 << 10

// ringFilter compiles the filter. On the loopback interface every packet passes twice, going out and coming in; as libpcap does, only the second is kept.
func ringFilter(c LiveConfig, loopback bool) ([]bpf.RawInstruction, error) {
	var program []bpf.RawInstruction
	if loopback {
		const packetType = 0xfffff000 + 4 // SKF_AD_OFF + SKF_AD_PKTTYPE, include/uapi/linux/filter.h
		var err error
		program, err = bpf.Assemble([]bpf.Instruction{
			bpf.LoadAbsolute{Off: packetType, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 1},
			bpf.RetConstant{Val: 0},
		})
		if err != nil {
			return nil, fmt.Errorf("assemble the filter for %s: %w", c.Iface, err)
		}
	}
	if c.Filter == "" {
		return append(program, bpf.RawInstruction{Op: unix.BPF_RET | unix.BPF_K, K: wholeFrame}), nil
	}
	compiled, err := compileFilter(c)
	if err != nil {
		return nil, err
	}
	for _, i := range compiled {
		if i.Code == unix.BPF_RET|unix.BPF_K && i.K != 0 {
			i.K = wholeFrame
		}
		program = append(program, bpf.RawInstruction{Op: i.Code, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	return program, nil
}

// compileFilter compiles for this interface: VLAN tags are not in the frames that the kernel filters, and libpcap knows that only of a capture that runs.
func compileFilter(c LiveConfig) ([]pcap.BPFInstruction, error) {
	plain := c
	plain.Filter, plain.BufferBytes, plain.Promiscuous = "", filterBuffer, false
	h, err := openPcap(plain, filterBuffer/8)
	if err != nil {
		return nil, err
	}
	defer h.close()
	program, err := h.pcap.CompileBPFFilter(c.Filter)
	if err != nil {
		return nil, fmt.Errorf("filter %q (write it as for tcpdump): %w", c.Filter, err)
	}
	return program, nil
}

// filterBuffer is the buffer of a capture that only compiles a filter, in bytes.
const filterBuffer = 64 << 10

func (h *ringHandle) read() ([]byte, gopacket.CaptureInfo, error) {
	data, info, err := h.ring.ZeroCopyReadPacketData()
	for err == nil && info.Timestamp.Before(h.settled) && info.Timestamp.After(h.began) { // not any earlier time: the clock may be set back
		data, info, err = h.ring.ZeroCopyReadPacketData()
	}
	switch {
	case err == nil:
		return data, info, nil
	case errors.Is(err, afpacket.ErrTimeout):
		return nil, info, errNothing
	default:
		return nil, info, err
	}
}

func (h *ringHandle) losses() (kernelLosses, error) {
	_, s, err := h.ring.SocketStats()
	if err != nil {
		return kernelLosses{}, err
	}
	return kernelLosses{dropped: uint32(s.Drops()), freezes: uint32(s.QueueFreezes())}, nil
}

func (h *ringHandle) link() LinkType { return h.kind }
func (h *ringHandle) close()         { h.ring.Close() }
