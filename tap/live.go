package tap

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopacket/gopacket"
)

// LiveConfig says what to capture. The zero value of every field but Iface is sensible.
type LiveConfig struct {
	Iface       string // an interface's name, or "any"
	NetNS       string // path of the network namespace the interface is in (/run/netns/x, /proc/PID/ns/net), "" = own
	Filter      string // BPF filter in tcpdump's language, "" = everything
	BufferBytes int    // kernel buffer, default 64 MiB
	Ring        bool   // a TPACKET_V3 ring instead of immediate mode: cheaper a packet on a busy port, some milliseconds later on a quiet one
	Fanout      uint16 // with Ring: sources of this number share the interface's frames, and a flow always meets the same source; 0 = alone
	Promiscuous bool   // also frames for other machines: for mirror ports. Only then the kernel tells IfaceDropped
	Logger      *slog.Logger
}

const (
	defaultBuffer = 64 << 20
	idleAfter     = 100 * time.Millisecond // how long Next waits before it says ErrIdle
	reopenEvery   = 500 * time.Millisecond // how often an interface that went away is tried again
	statsEvery    = 512                    // packets between two looks at the kernel's drop counters
)

// liveSource captures from one interface, by default in immediate mode: the kernel hands every packet over at once. Without it packets
// arrive 5 to 500 ms late and the calling thread is gone.
type liveSource struct {
	config LiveConfig

	mu      sync.Mutex // guards the four below: Close comes from any goroutine
	handle  handle
	closed  bool
	reading bool // Next is inside libpcap
	lent    bool // the last packet's Data lies in the kernel's ring, which ends with the handle

	// Owned by the goroutine that calls Next.
	link       LinkType
	nextOpen   time.Time
	sinceStats int
	seen       kernelLosses // the kernel's 32-bit counters when they were last looked at
	names      ifaceNames

	packets, bytes, truncated, kernelDropped, ifaceDropped, freezes, lost atomic.Uint64
	up                                                                    atomic.Bool
}

// OpenLive begins to capture. It returns a *RightsError when a capability is missing, an *InterfaceError when there is no such
// interface, and an error that quotes libpcap when the filter does not compile.
func OpenLive(c LiveConfig) (Source, error) {
	if c.Iface == "" {
		return nil, &InterfaceError{Exists: existing(), Err: errors.New("no name given")}
	}
	if c.BufferBytes <= 0 {
		c.BufferBytes = defaultBuffer
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

// open opens a handle in the interface's namespace.
func (s *liveSource) open() error {
	var h handle
	err := InNamespace(s.config.NetNS, func() (err error) {
		if s.config.Ring {
			h, err = openRing(s.config)
		} else {
			h, err = openImmediate(s.config)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		h.close()
		return io.EOF
	}
	s.handle, s.seen = h, kernelLosses{}
	s.link = h.link()
	s.up.Store(true)
	return nil
}

// Next implements Source.
func (s *liveSource) Next(ctx context.Context, p *Packet) error {
	h, closed := s.enter()
	if closed {
		return io.EOF
	}
	if h == nil {
		return s.reopen(ctx)
	}
	var data []byte
	var info gopacket.CaptureInfo
	err := ctx.Err()
	if err == nil {
		data, info, err = h.read()
	}
	if err == nil {
		s.count(h, info)
		p.Time, p.Data, p.Length = info.Timestamp.UnixNano(), data, info.Length
		p.Link, p.Iface = s.link, s.config.Iface
		if s.link == LinkLinuxSLL2 && len(data) >= 8 {
			p.Iface = s.names.of(s.config, int(binary.BigEndian.Uint32(data[4:])))
		}
	} else if errors.Is(err, errNothing) {
		s.readLosses(h)
	}
	closed = s.leave(err == nil)
	switch {
	case closed:
		return io.EOF
	case err == nil, ctx.Err() != nil:
		return err
	case errors.Is(err, errNothing):
		return ErrIdle
	default:
		return s.wentAway(h, err)
	}
}

// enter begins a call of Next: what was lent before comes back.
func (s *liveSource) enter() (h handle, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lent = false
	if s.closed {
		s.release()
		return nil, true
	}
	s.reading = s.handle != nil
	return s.handle, false
}

// leave ends it. A Close that came meanwhile is carried out now.
func (s *liveSource) leave(lent bool) (closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = false
	if s.closed {
		s.release()
		return true
	}
	s.lent = lent
	return false
}

// release gives the kernel's buffer back. The caller holds mu.
func (s *liveSource) release() {
	if s.handle != nil {
		s.handle.close()
		s.handle = nil
	}
}

func (s *liveSource) count(h handle, info gopacket.CaptureInfo) {
	s.packets.Add(1)
	s.bytes.Add(uint64(info.Length))
	if info.CaptureLength < info.Length {
		s.truncated.Add(1)
	}
	if s.sinceStats++; s.sinceStats >= statsEvery {
		s.readLosses(h)
	}
}

// readLosses adds what the kernel dropped since the last look. Its counters have 32 bits and wrap; differences do not mind.
func (s *liveSource) readLosses(h handle) {
	s.sinceStats = 0
	now, err := h.losses()
	if err != nil {
		return // the interface is going away; wentAway will hear of it
	}
	s.kernelDropped.Add(uint64(now.dropped - s.seen.dropped))
	s.freezes.Add(uint64(now.freezes - s.seen.freezes))
	if s.config.NetNS == "" { // libpcap reads them from /sys, which shows the interfaces of our own namespace
		s.ifaceDropped.Add(uint64(now.ifDropped - s.seen.ifDropped))
	}
	s.seen = now
}

// wentAway gives the handle up; later calls of Next try to open the interface again.
func (s *liveSource) wentAway(h handle, err error) error {
	s.readLosses(h)
	s.mu.Lock()
	s.release()
	s.mu.Unlock()
	s.up.Store(false)
	s.lost.Add(1)
	s.nextOpen = time.Now().Add(reopenEvery)
	return &InterfaceError{Iface: s.config.Iface, Err: err}
}

// reopen tries to capture again, at most every reopenEvery, and says ErrIdle meanwhile.
func (s *liveSource) reopen(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
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
	if err := s.open(); errors.Is(err, io.EOF) {
		return err
	} else if err != nil {
		s.config.Logger.Debug("interface is not back yet", "interface", s.config.Iface, "error", err)
	}
	return ErrIdle
}

// Stats implements Source.
func (s *liveSource) Stats() Stats {
	return Stats{
		Packets: s.packets.Load(), Bytes: s.bytes.Load(), Truncated: s.truncated.Load(),
		KernelDropped: s.kernelDropped.Load(), IfaceDropped: s.ifaceDropped.Load(), Freezes: s.freezes.Load(),
		InterfaceLost: s.lost.Load(), InterfaceUp: s.up.Load(),
	}
}

// Close implements Source. It does not wait: a Next under way returns within idleAfter and gives the kernel's buffer back. While a
// packet is lent the buffer stays until the owner calls Next, or until nobody holds the source any more.
func (s *liveSource) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.up.Store(false)
	switch {
	case s.reading: // leave releases it
	case s.lent:
		runtime.SetFinalizer(s, func(s *liveSource) { s.release() })
	default:
		s.release()
	}
	return nil
}
