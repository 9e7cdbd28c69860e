package dissect

import (
	"encoding/binary"

	"netaudit/tap"
	"netaudit/tap/decode"
)

// Shards is how many parts the flows of a replay are divided into. What flows share (room in the table, places for those that linger, announced conversations) they share within their
// shard only, so that a shard's rows are the same whichever engine follows it. Shard 0 has whatever DNS may be learned from, and shares that with the others: all of UDP, and port 53 of TCP.
const Shards = 5

// placement says whether flows are sharded.
type placement bool

func (s placement) shards() int {
	if s {
		return Shards
	}
	return 1
}

// of returns the shard of a packet's flow.
func (s placement) of(h *decode.Headers) uint8 {
	switch {
	case !bool(s), h.Proto == decode.ProtoUDP:
		return 0
	case h.Proto == decode.ProtoTCP:
		return shardOfTCP(h.SrcBits, h.DstBits, h.SrcPort, h.DstPort)
	default:
		return shardOf(h.SrcBits, h.DstBits, 0, 0)
	}
}

func shardOfTCP(src, dst decode.Bits, sport, dport uint16) uint8 {
	switch {
	case sport == portDNS || dport == portDNS:
		return 0
	case !spread(sport) && !spread(dport):
		return shardOf(src, dst, 0, 0)
	default:
		return shardOf(src, dst, sport, dport)
	}
}

const portDNS = 53

// spread says that connections between two hosts that have this port lie in several shards: a proxy and its server have no others. Those of other ports lie in one, so that a
// dialogue of FTP meets the data connections that it announces.
func spread(port uint16) bool {
	switch port {
	case 0, 20, 21, 989, 990: // FTP (RFC 959, RFC 4217)
		return false
	case 5432, 8069, 8072: // PostgreSQL, Odoo
		return true
	default:
		return port < 1024
	}
}

// shardOf is the same for both directions. It is no secret: who chooses addresses so that all flows meet in one shard gets a fifth of the table and of the processors.
func shardOf(src, dst decode.Bits, sport, dport uint16) uint8 {
	sum := (src.High+dst.High)*0xe7037ed1a0b428db + (src.Low+dst.Low)*0x8ebc6af09c88c6e3 + (uint64(sport)+uint64(dport))*0x589965cc75374cc3
	return 1 + uint8(fold(sum, 0xa0761d6478bd642f)>>32*(Shards-1)>>32)
}

// ShardOf tells the shard of a frame by a look at its headers; ok is false for whatever is not plain TCP or UDP over Ethernet. It says what an engine says that reads all of the frame.
func ShardOf(p *tap.Packet) (shard uint8, ok bool) {
	const ethernet, ipv4, ipv6, least = 14, 20, 40, 8 // bytes; least are a UDP header, and the ports and more of TCP
	b := p.Data
	if p.Link != tap.LinkEthernet || len(b) < ethernet+ipv4+least {
		return 0, false
	}
	kind, ip := binary.BigEndian.Uint16(b[12:]), b[ethernet:]
	if kind == 0x8100 { // IEEE 802.1Q
		kind, ip = binary.BigEndian.Uint16(b[16:]), b[ethernet+4:]
	}
	var src, dst decode.Bits
	var proto uint8
	switch {
	case kind == 0x0800 && len(ip) >= ipv4 && ip[0]>>4 == 4 && binary.BigEndian.Uint16(ip[6:])&0x3fff == 0: // no fragment
		header, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
		if header < ipv4 || len(ip) < header+least || total != 0 && total < header+least {
			return 0, false
		}
		proto, src, dst = ip[9], decode.BitsOf4(ip[12:]), decode.BitsOf4(ip[16:])
		ip = ip[header:]
	case kind == 0x86dd && len(ip) >= ipv6+least && ip[0]>>4 == 6:
		if length := binary.BigEndian.Uint16(ip[4:]); length != 0 && length < least {
			return 0, false
		}
		proto, src, dst = ip[6], decode.BitsOf16(ip[8:]), decode.BitsOf16(ip[24:])
		ip = ip[ipv6:]
	default:
		return 0, false
	}
	sport, dport := binary.BigEndian.Uint16(ip), binary.BigEndian.Uint16(ip[2:])
	switch proto {
	case decode.ProtoTCP:
		return shardOfTCP(src, dst, sport, dport), true
	case decode.ProtoUDP:
		return 0, !decode.TunnelPorts(sport, dport)
	default:
		return 0, false
	}
}

// Sorter says which engine of a team gets a frame. One goroutine owns it.
type Sorter struct {
	owner           [Shards]int
	number          uint64
	now, nextExpiry int64
}

// Everyone is the owner of frames that all engines must read: to know whose they are, or to put fragments together.
const Everyone = -1

// Frame is what an engine of a team must know about one.
type Frame struct {
	Number uint64 // counted from 1
	Now    int64  // the clock: the latest time of this frame and those before it, nanoseconds since the Unix epoch
	Owner  int    // which engine follows it, or Everyone
	Due    bool   // flows may end, of all engines: those who do not follow it must be told by Pass
}

// NewSorter returns a Sorter for NewTeam's owner.
func NewSorter(owner [Shards]int) *Sorter { return &Sorter{owner: owner} }

// Sort takes the next frame.
func (s *Sorter) Sort(p *tap.Packet) Frame {
	s.number++
	f := Frame{Number: s.number, Owner: Everyone}
	if p.Time > s.now {
		s.now = p.Time
		if f.Due = s.now >= s.nextExpiry; f.Due {
			s.nextExpiry = s.now + expireEvery
		}
	}
	f.Now = s.now
	if shard, ok := ShardOf(p); ok {
		f.Owner = s.owner[shard]
	}
	return f
}
