package hook

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"netaudit/attribution/pystack"
)

// Caller is a thread of which the kernel recorded what it did, in the moment in which it did it.
type Caller struct {
	At       time.Time     // when, before anything came of it
	Uptime   time.Duration // the same since the host started, on the clock of process start times
	PID, TID int           // as the host sees them
	UID      uint32
	Comm     string // of the thread

	Serial uint64 // what Announce gave for the plan that the stack was read by; 0: there was none
	Slots  []byte // of the Python stack, for pystack.Process.Recorded; nil without a plan or when the walk failed
	Deep   bool   // the stack has more frames than slots
	Reason string // why there are no slots, "" when there are
}

// Call is one call of connect(2), or of sendmsg(2) on a UDP socket without a peer, as the calling thread made it: before anything was sent.
type Call struct {
	Caller
	Cookie uint64 // of the socket, the one that sock_diag gives too
	NetNS  uint64 // cookie of the network namespace (SO_NETNS_COOKIE), not its inode
	Proto  uint8
	Remote netip.AddrPort // asked for; address translation may send the packets elsewhere
	Native []byte         // innermost part of the machine stack, at most 16 KiB; nil unless WithNative asked for it
}

// Fork is the beginning of a process, by the thread that made it.
type Fork struct {
	Caller
	Child int // process id
}

// parseCaller reads what calls and forks have in common. when turns a time of CLOCK_BOOTTIME into one of the day.
func parseCaller(b []byte, when func(ns uint64) time.Time) (c Caller, err error) {
	if len(b) < callSize {
		return c, fmt.Errorf("a record of a caller has %d bytes", len(b))
	}
	at32 := func(off int) uint32 { return binary.NativeEndian.Uint32(b[off:]) }
	at64 := func(off int) uint64 { return binary.NativeEndian.Uint64(b[off:]) }
	c = Caller{
		At: when(at64(offTime)), Uptime: time.Duration(at64(offTime)), PID: int(at64(offPID) >> 32), TID: int(uint32(at64(offPID))), UID: uint32(at64(offUID)),
		Serial: at64(offSerial),
	}
	name, _, _ := bytes.Cut(b[offComm:offComm+commSize], []byte{0})
	c.Comm = strings.ToValidUTF8(string(name), "?")
	switch outcome, frames := at32(offOutcome), uint64(at32(offFrames)); outcome {
	case outcomeWhole, outcomeDeep:
		if frames > maxFrames || callSize+frames*pystack.SlotSize > uint64(len(b)) {
			return Caller{}, fmt.Errorf("a record of %d bytes says it has %d frames", len(b), frames)
		}
		c.Slots, c.Deep = bytes.Clone(b[callSize:callSize+frames*pystack.SlotSize]), outcome == outcomeDeep
	case outcomeNoPlan:
		c.Reason = "the process was not known yet"
	case outcomeBusy:
		c.Reason = "another call was being recorded on the same processor"
	case outcomeReplaced: // userspace has not heard of its execve(2) yet; the plan is of what it was
		c.Serial, c.Reason = 0, "the process was not known yet"
	case outcomeNoThread:
		c.Reason = "the calling thread was not among the interpreter's"
	default:
		c.Reason = "the calling thread's stack was not in memory"
	}
	return c, nil
}

func parseCall(b []byte, when func(ns uint64) time.Time) (Call, error) {
	caller, err := parseCaller(b, when)
	if err != nil {
		return Call{}, err
	}
	address := netip.AddrFrom4([4]byte(b[offIP:]))
	if binary.NativeEndian.Uint32(b[offFamily:]) == 6 {
		address = netip.AddrFrom16([16]byte(b[offIP:])).Unmap()
	}
	return Call{
		Caller: caller, Cookie: binary.NativeEndian.Uint64(b[offCookie:]), NetNS: binary.NativeEndian.Uint64(b[offNetNS:]),
		Proto: uint8(binary.NativeEndian.Uint32(b[offProtocol:])), Remote: netip.AddrPortFrom(address, binary.BigEndian.Uint16(b[offPort:])),
	}, nil
}

func parseFork(b []byte, when func(ns uint64) time.Time) (Fork, error) {
	caller, err := parseCaller(b, when)
	if err != nil {
		return Fork{}, err
	}
	return Fork{caller, int(int32(binary.NativeEndian.Uint64(b[offCookie:])))}, nil
}

// packet is the beginning of a connection on the wire.
type packet struct {
	cookie        uint64
	proto         uint8
	local, remote netip.AddrPort
	at            time.Time
}

func parsePacket(b []byte, when func(ns uint64) time.Time) (p packet, err error) {
	const v4, v6, ports = 20, 40, 4
	if len(b) < packetSize {
		return p, fmt.Errorf("a record of a packet has %d bytes", len(b))
	}
	p.cookie, p.at = binary.NativeEndian.Uint64(b[offPacketCookie:]), when(binary.NativeEndian.Uint64(b[offTime:]))
	length := binary.NativeEndian.Uint32(b[offLength:])
	ip := b[offPacket:]
	var source, destination netip.Addr
	switch length {
	case v4 + ports:
		p.proto, source, destination = ip[9], netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:]))
	case v6 + ports:
		p.proto, source, destination = ip[6], netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:]))
	default:
		return p, fmt.Errorf("a record of a packet says it has %d bytes of it", length)
	}
	ends := ip[length-ports:]
	p.local = netip.AddrPortFrom(source, binary.BigEndian.Uint16(ends))
	p.remote = netip.AddrPortFrom(destination, binary.BigEndian.Uint16(ends[2:]))
	return p, nil
}
