package tap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/pcap"
)

// LiveConfig says what to capture. The zero value of every field but Iface is sensible.
type LiveConfig struct {
	Iface       string // an interface's name, or "any"
	NetNS       string // path of the network namespace the interface is in (/run/netns/x, /proc/PID/ns/net), "" = own
	Filter      string // BPF filter in tcpdump's language, "" = everything
	BufferBytes int    // kernel buffer, default 64 MiB
	SnapLen     int    // most bytes taken of one frame, default 256 KiB: segmentation offload makes frames of 64 KiB and more
	Promiscuous bool   // also frames for other machines: for mirror ports
	Logger      *slog.Logger
}

const (
	defaultBuffer  = 64 << 20
	defaultSnapLen = largestRecord
	idleAfter      = 100 * time.Millisecond // how long Next waits before it says ErrIdle
	reopenEvery    = 500 * time.Millisecond // how often an interface that went away is tried again
	statsEvery     = 512                    // packets between two looks at the kernel's drop counters
)

// liveSource captures from one interface in immediate mode: the kernel hands every packet over at once. Without it packets
// arrive 5 to 500 ms late and the calling thread is gone.
type liveSource struct {
	config LiveConfig

	mu     sync.Mutex // guards handle against Close
	handle *pcap.Handle
	closed bool

	// Owned by the goroutine that calls Next.
	info         gopacket.CaptureInfo
	link         LinkType
	nextOpen     time.Time
	kernelBefore kernelDrops // the kernel's 32-bit counters when they were last looked at
	sinceStats   int

	packets, bytes, truncated, kernelDropped, ifaceDropped, lost atomic.Uint64
	up                                                           atomic.Bool
}

type kernelDrops struct{ dropped, ifDropped uint32 }

// OpenLive begins to capture. It returns a *RightsError when a capability is missing, an *InterfaceError when there is no such
// interface, and an error that quotes libpcap when the filter does not compile.
func OpenLive(c LiveConfig) (Source, error) {
	if c.BufferBytes == 0 {
		c.BufferBytes = defaultBuffer
	}
	if c.SnapLen == 0 {
		c.SnapLen = defaultSnapLen
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	s := &liveSource{config: c}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// open activates a handle in the interface's namespace.
func (s *liveSource) open() error {
	var handle *pcap.Handle
	err := inNamespace(s.config.NetNS, func() (err error) {
		handle, err = activate(s.config)
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		handle.Close()
		return io.EOF
	}
	s.handle, s.kernelBefore = handle, kernelDrops{}
	s.link = linkOf(int(handle.LinkType()))
	s.up.Store(true)
	return nil
}

// linkOf maps a DLT to the LINKTYPE of capture files; they differ for raw IP only (DLT_RAW is 12 on Linux).
func linkOf(dlt int) LinkType {
	if dlt == 12 || dlt == 14 {
		return LinkRaw
	}
	return LinkType(dlt)
}

func activate(c LiveConfig) (*pcap.Handle, error) {
	inactive, err := pcap.NewInactiveHandle(c.Iface)
	if err != nil {
		return nil, fmt.Errorf("prepare a capture on %s: %w", c.Iface, err)
	}
	defer inactive.CleanUp()
	err = errors.Join(
		inactive.SetImmediateMode(true), inactive.SetTimeout(idleAfter), inactive.SetSnapLen(c.SnapLen),
		inactive.SetBufferSize(c.BufferBytes), inactive.SetPromisc(c.Promiscuous))
	if err != nil {
		return nil, fmt.Errorf("set up the capture on %s: %w", c.Iface, err)
	}
	handle, err := inactive.Activate()
	if err != nil {
		return nil, explainActivation(c.Iface, err, inactive.Error())
	}
	if c.Filter != "" {
		if err := handle.SetBPFFilter(c.Filter); err != nil {
			handle.Close()
			return nil, fmt.Errorf("filter %q (write it as for tcpdump): %w", c.Filter, err)
		}
	}
	return handle, nil
}

// explainActivation turns libpcap's answer into what the user can do about it.
func explainActivation(iface string, err, detail error) error {
	text := err.Error()
	if detail != nil && !strings.Contains(text, detail.Error()) {
		text += " " + detail.Error()
	}
	lower := strings.ToLower(text)
	if strings.Contains(lower, "permission") || strings.Contains(lower, "not permitted") {
		return &RightsError{Doing: "capture on " + iface, Missing: "CAP_NET_RAW", Fix: "sudo setcap cap_net_raw,cap_net_admin,cap_sys_ptrace,cap_dac_read_search+ep " + executable(), Err: errors.New(text)}
	}
	gone := &InterfaceError{Iface: iface, Err: errors.New(text)}
	if list, err := net.Interfaces(); err == nil {
		for _, i := range list {
			gone.Exists = append(gone.Exists, i.Name)
		}
	}
	return gone
}

func executable() string {
	path, err := os.Executable()
	if err != nil {
		return "netaudit"
	}
	return path
}

// Next implements Source.
func (s *liveSource) Next(ctx context.Context, p *Packet) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.up.Load() {
		return s.reopen(ctx)
	}
	handle := s.current()
	if handle == nil {
		return io.EOF
	}
	data, info, err := handle.ZeroCopyReadPacketData()
	switch {
	case err == nil:
		s.count(handle, info)
		p.Time, p.Data, p.Length = info.Timestamp.UnixNano(), data, info.Length
		p.Link, p.Iface = s.link, s.config.Iface
		return nil
	case errors.Is(err, pcap.NextErrorTimeoutExpired):
		s.readDrops(handle)
		return ErrIdle
	case s.current() == nil:
		return io.EOF // closed from another goroutine
	default:
		return s.wentAway(handle, err)
	}
}

func (s *liveSource) current() *pcap.Handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handle
}

func (s *liveSource) count(handle *pcap.Handle, info gopacket.CaptureInfo) {
	s.packets.Add(1)
	s.bytes.Add(uint64(info.Length))
	if info.CaptureLength < info.Length {
		s.truncated.Add(1)
	}
	if s.sinceStats++; s.sinceStats >= statsEvery {
		s.readDrops(handle)
	}
}

// readDrops adds what the kernel dropped since the last look. Its counters have 32 bits and wrap; differences do not mind.
func (s *liveSource) readDrops(handle *pcap.Handle) {
	s.sinceStats = 0
	stats, err := handle.Stats()
	if err != nil {
		return // the interface is going away; wentAway will hear of it
	}
	now := kernelDrops{uint32(stats.PacketsDropped), uint32(stats.PacketsIfDropped)}
	s.kernelDropped.Add(uint64(now.dropped - s.kernelBefore.dropped))
	s.ifaceDropped.Add(uint64(now.ifDropped - s.kernelBefore.ifDropped))
	s.kernelBefore = now
}

// wentAway gives the handle up; later calls of Next try to open the interface again.
func (s *liveSource) wentAway(handle *pcap.Handle, err error) error {
	if detail := handle.Error(); detail != nil && detail.Error() != "" {
		err = detail
	}
	s.readDrops(handle)
	s.mu.Lock()
	if s.handle == handle {
		s.handle = nil
		handle.Close()
	}
	s.mu.Unlock()
	s.up.Store(false)
	s.lost.Add(1)
	s.nextOpen = time.Now().Add(reopenEvery)
	return &InterfaceError{Iface: s.config.Iface, Err: err}
}

// reopen tries to capture again, at most every reopenEvery, and says ErrIdle meanwhile.
func (s *liveSource) reopen(ctx context.Context) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return io.EOF
	}
	if wait := time.Until(s.nextOpen); wait > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(wait, idleAfter)):
			return ErrIdle
		}
	}
	s.nextOpen = time.Now().Add(reopenEvery)
	if err := s.open(); err != nil {
		s.config.Logger.Debug("interface is not back yet", "interface", s.config.Iface, "error", err)
	}
	return ErrIdle
}

// Stats implements Source.
func (s *liveSource) Stats() Stats {
	return Stats{
		Packets: s.packets.Load(), Bytes: s.bytes.Load(), Truncated: s.truncated.Load(),
		KernelDropped: s.kernelDropped.Load(), IfaceDropped: s.ifaceDropped.Load(),
		InterfaceLost: s.lost.Load(), InterfaceUp: s.up.Load(),
	}
}

// Close implements Source.
func (s *liveSource) Close() error {
	s.mu.Lock()
	handle := s.handle
	s.handle, s.closed = nil, true
	s.mu.Unlock()
	s.up.Store(false)
	if handle != nil {
		handle.Close()
	}
	return nil
}
