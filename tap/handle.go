package tap

import (
	"errors"
	"fmt"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcap"
)

// handle is an open capture: a ring of our own, or libpcap's.
type handle interface {
	// read returns the next frame, which is valid until the following call, errNothing when none came within idleAfter, or what ended the capture.
	read() ([]byte, gopacket.CaptureInfo, error)
	// losses returns the kernel's counters since the handle was opened; they wrap.
	losses() (kernelLosses, error)
	link() LinkType
	close()
}

type kernelLosses struct{ dropped, ifDropped, freezes uint32 }

var errNothing = errors.New("no frame came")

// pcapHandle captures in libpcap's immediate mode: the kernel hands every packet over at once. It reads the kinds of interfaces that immediateHandle does not, and "any".
type pcapHandle struct{ pcap *pcap.Handle }

// pcapSnapLen takes a whole segment of segmentation offload (45 × 1448 bytes and headers) and with the kernel's own header stays just below 64 KiB. In libpcap's immediate mode every frame occupies a slot of the snap length, in
// blocks of a power of two: 64 MiB hold 1,024 frames with this value, 511 in twice the memory with 65,536 or on "any" even 128 with libpcap's 256 KiB.
const pcapSnapLen = 65280

// openPcap opens a capture of at most snapLen bytes a frame in the calling thread's network namespace.
func openPcap(c LiveConfig, snapLen int) (*pcapHandle, error) {
	inactive, err := pcap.NewInactiveHandle(c.Iface)
	if err != nil {
		return nil, fmt.Errorf("prepare a capture on %s: %w", c.Iface, err)
	}
	defer inactive.CleanUp()
	err = errors.Join(
		inactive.SetImmediateMode(true), inactive.SetTimeout(idleAfter), inactive.SetSnapLen(snapLen),
		inactive.SetBufferSize(c.BufferBytes), inactive.SetPromisc(c.Promiscuous))
	if err != nil {
		return nil, fmt.Errorf("set up the capture on %s: %w", c.Iface, err)
	}
	h, err := inactive.Activate()
	if err != nil {
		return nil, explainActivation(c.Iface, err, inactive.Error())
	}
	if linkOf(uint32(h.LinkType())) == LinkLinuxSLL {
		// The second version also says through which interface a frame came. An old libpcap does not know it: then rows say "any".
		_ = h.SetLinkType(layers.LinkType(LinkLinuxSLL2))
	}
	if c.Filter != "" {
		if err := h.SetBPFFilter(c.Filter); err != nil {
			h.Close()
			return nil, fmt.Errorf("filter %q (write it as for tcpdump): %w", c.Filter, err)
		}
	}
	return &pcapHandle{h}, nil
}

func (h *pcapHandle) read() ([]byte, gopacket.CaptureInfo, error) {
	data, info, err := h.pcap.ZeroCopyReadPacketData()
	switch {
	case err == nil:
		return data, info, nil
	case errors.Is(err, pcap.NextErrorTimeoutExpired):
		return nil, info, errNothing
	default:
		if detail := h.pcap.Error(); detail != nil && detail.Error() != "" {
			err = detail
		}
		return nil, info, err
	}
}

func (h *pcapHandle) losses() (kernelLosses, error) {
	s, err := h.pcap.Stats()
	if err != nil {
		return kernelLosses{}, err
	}
	return kernelLosses{dropped: uint32(s.PacketsDropped), ifDropped: uint32(s.PacketsIfDropped)}, nil
}

func (h *pcapHandle) link() LinkType { return linkOf(uint32(h.pcap.LinkType())) }
func (h *pcapHandle) close()         { h.pcap.Close() }
