// Package tap gets packets in: from live interfaces through libpcap, and from pcap and pcapng files (plain, compressed,
// or on standard input). It is the first room of the house: it hands every frame to dissect and counts what it lost.
//
// Promises. A Source is owned by one goroutine; Next reuses its buffers, so a Packet's Data is valid only until the
// following call. A Source never transmits. What could not be captured is counted in Stats, never silently missing.
package tap

import (
	"context"
	"errors"
)

// LinkType is a libpcap link-layer type (the DLT/LINKTYPE registry, https://www.tcpdump.org/linktypes.html).
// Values are those of capture files (LINKTYPE_), which differ from DLT_ only for a few old types.
type LinkType uint16

// Link types that decode understands.
const (
	LinkNull      LinkType = 0   // BSD loopback, host byte order address family
	LinkEthernet  LinkType = 1   // IEEE 802.3
	LinkPPP       LinkType = 9   // PPP, RFC 1661
	LinkRaw       LinkType = 101 // raw IPv4 or IPv6
	LinkLoop      LinkType = 108 // OpenBSD loopback, network byte order address family
	LinkLinuxSLL  LinkType = 113 // Linux "cooked" capture v1, what "any" gives
	LinkIPv4      LinkType = 228 // raw IPv4
	LinkIPv6      LinkType = 229 // raw IPv6
	LinkLinuxSLL2 LinkType = 276 // Linux "cooked" capture v2

	LinkPPPSerial LinkType = 50  // PPP in HDLC-like framing, RFC 1662
	LinkPPPEther  LinkType = 51  // PPPoE session packets, RFC 2516
	LinkCHDLC     LinkType = 104 // Cisco HDLC

	LinkPPPDirection LinkType = 204 // PPP behind a byte that tells the direction
	LinkMPLS         LinkType = 219 // MPLS label stack
	LinkNFLOG        LinkType = 239 // netfilter log messages

	LinkTokenRing  LinkType = 6   // IEEE 802.5
	LinkFDDI       LinkType = 10  // FDDI
	LinkATM        LinkType = 100 // LLC of ATM, RFC 2684
	LinkWiFi       LinkType = 105 // IEEE 802.11
	LinkFrameRelay LinkType = 107 // RFC 2427
	LinkPrism      LinkType = 119 // IEEE 802.11 behind what older drivers say of the reception
	LinkRadiotap   LinkType = 127 // … what newer ones do
	LinkAVS        LinkType = 163 // … a form between them
	LinkPPI        LinkType = 192 // frames behind CACE's Per-Packet Information

	LinkENC         LinkType = 109 // IPsec as BSD's enc(4) shows it: what was, or will be, encrypted
	LinkPFLOG       LinkType = 117 // what BSD's packet filter logs, pflog(4)
	LinkNetANALYZER LinkType = 240 // frames of a capture card of Hilscher's, behind four bytes
	LinkPKTAP       LinkType = 258 // frames of several interfaces of macOS, each with its own link type
)

// Packet is one captured frame.
type Packet struct {
	Time   int64    // capture time, nanoseconds since the Unix epoch, UTC
	Data   []byte   // captured bytes; valid until the next call to Source.Next
	Length int      // length on the wire in bytes; larger than len(Data) when a snap length cut the frame
	Link   LinkType // how Data begins
	Iface  string   // interface name; for a file the name the pcapng block gives, else ""
}

// ErrIdle says that no packet arrived for a while (at most 100 ms). The source is healthy: do housekeeping, call again.
var ErrIdle = errors.New("no packet waiting")

// Source yields packets in capture order. One goroutine owns a Source, except for Stats and Close, which any may call.
type Source interface {
	// Next fills p. It returns io.EOF at the end of a file, ErrIdle when a live source has nothing to give, ctx's
	// error when ctx ends, a *FileError for a damaged file (packets before the damage have been delivered), and
	// an *InterfaceError when a live interface went away (call Next again: the source reopens it when it is back).
	Next(ctx context.Context, p *Packet) error
	// Stats returns the counters since the source was opened.
	Stats() Stats
	// Close releases the source. Next then returns an error.
	Close() error
}

// Stats counts what a Source saw and what it lost, since it was opened.
type Stats struct {
	Packets        uint64 // frames delivered by Next
	Bytes          uint64 // their lengths on the wire
	KernelDropped  uint64 // frames the kernel dropped because the ring was full (ps_drop)
	IfaceDropped   uint64 // frames the interface or its driver dropped (ps_ifdrop)
	Freezes        uint64 // how often a ring was full and the kernel stopped filling it (tp_freeze_q_cnt)
	Truncated      uint64 // frames cut by the snap length
	InterfaceLost  uint64 // how often the interface went away
	InterfaceUp    bool   // whether the interface is capturing now; true for files until their end
	FileBytesRead  uint64 // for files: bytes consumed, before decompression
	FileBytesTotal uint64 // for files: size on disk; 0 when unknown (standard input)
}
