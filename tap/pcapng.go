package tap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// Block types of pcapng (draft-ietf-opsawg-pcapng).
const (
	sectionHeaderBlock  = 0x0a0d0d0a
	interfaceBlock      = 1
	obsoletePacketBlock = 2
	simplePacketBlock   = 3
	enhancedPacketBlock = 6
)

const (
	byteOrderMagic      = 0x1a2b3c4d
	mostInterfaces      = 4096                    // of one section; more is damage
	largestKnownBlock   = largestRecord + 128<<10 // of packet and interface blocks, options included; longer is damage
	longestName         = 256                     // of an interface; the rest is cut off
	optionIfName        = 2
	optionTimeRes       = 9
	optionTimeOffset    = 14
	endOfOptions        = 0
	fixedInterfaceBlock = 8
	latestSecond        = math.MaxInt64/1_000_000_000 - 1 // the year 2262
)

// pcapng reads sections of blocks; each section has its own byte order and interfaces.
type pcapng struct {
	order  binary.ByteOrder
	ifaces []ngInterface
}

// ngInterface is what an interface description block says.
type ngInterface struct {
	link    LinkType
	name    string
	snapLen uint32
	offset  int64  // seconds to add
	perSec  uint64 // timestamp units in a second
}

// next reads blocks until one holds a packet.
func (f *pcapng) next(w *window, p *Packet) error {
	for {
		head, err := w.peek(12)
		if err != nil {
			return err
		}
		if binary.LittleEndian.Uint32(head) == sectionHeaderBlock { // the same in both byte orders
			if err := f.section(w, head); err != nil {
				return err
			}
			continue
		}
		if f.order == nil {
			return damage("a block before the first section header")
		}
		kind, length := f.order.Uint32(head), f.order.Uint32(head[4:])
		if length < 12 || length%4 != 0 {
			return damage(fmt.Sprintf("a block of type %d claims a length of %d", kind, length))
		}
		switch kind {
		case interfaceBlock, obsoletePacketBlock, simplePacketBlock, enhancedPacketBlock:
		default:
			if err := w.skip(int64(length)); err != nil {
				return err
			}
			continue
		}
		done, err := f.known(w, p, kind, length)
		if err != nil || done {
			return err
		}
	}
}

// known reads a block whose content matters; done says that it held a packet.
func (f *pcapng) known(w *window, p *Packet, kind, length uint32) (done bool, err error) {
	if length > largestKnownBlock {
		return false, damage(fmt.Sprintf("a block of type %d claims a length of %d", kind, length))
	}
	block, err := w.peek(int(length))
	if err != nil {
		return false, err
	}
	if trailer := f.order.Uint32(block[length-4:]); trailer != length {
		return false, damage(fmt.Sprintf("a block begins with length %d and ends with length %d", length, trailer))
	}
	body := block[8 : length-4]
	switch kind {
	case interfaceBlock:
		err = f.iface(body)
	case enhancedPacketBlock:
		done, err = true, f.enhanced(body, p)
	case simplePacketBlock:
		done, err = true, f.simple(body, p)
	case obsoletePacketBlock:
		done, err = true, f.obsolete(body, p)
	}
	if err != nil {
		return false, err // the window still stands at the beginning of the block: that is the place to report
	}
	w.begin += int(length)
	w.offset += int64(length)
	return done, nil
}

// section begins a new section: byte order and interfaces start anew.
func (f *pcapng) section(w *window, head []byte) error {
	switch uint32(byteOrderMagic) {
	case binary.LittleEndian.Uint32(head[8:]):
		f.order = binary.LittleEndian
	case binary.BigEndian.Uint32(head[8:]):
		f.order = binary.BigEndian
	default:
		return damage("a section header has no byte order")
	}
	length := f.order.Uint32(head[4:])
	if length < 28 || length%4 != 0 {
		return damage(fmt.Sprintf("a section header claims a length of %d", length))
	}
	f.ifaces = f.ifaces[:0]
	return w.skip(int64(length))
}

func (f *pcapng) iface(body []byte) error {
	if len(body) < fixedInterfaceBlock {
		return damage("an interface block is too short")
	}
	if len(f.ifaces) >= mostInterfaces {
		return damage(fmt.Sprintf("more than %d interfaces in one section", mostInterfaces))
	}
	i := ngInterface{link: linkOf(uint32(f.order.Uint16(body))), snapLen: f.order.Uint32(body[4:]), perSec: 1e6}
	for options := body[fixedInterfaceBlock:]; len(options) >= 4; {
		code, n := f.order.Uint16(options), int(f.order.Uint16(options[2:]))
		padded := (n + 3) &^ 3
		if code == endOfOptions || len(options) < 4+padded {
			break
		}
		value := options[4 : 4+n]
		switch {
		case code == optionIfName:
			i.name = strings.ToValidUTF8(string(bytes.TrimRight(value[:min(n, longestName)], "\x00")), "?")
		case code == optionTimeRes && n == 1:
			i.perSec = unitsPerSecond(value[0])
		case code == optionTimeOffset && n == 8:
			i.offset = int64(f.order.Uint64(value))
		}
		options = options[4+padded:]
	}
	f.ifaces = append(f.ifaces, i)
	return nil
}

// unitsPerSecond reads if_tsresol: a power of ten, or of two when the highest bit is set. What does not fit counts as nanoseconds.
func unitsPerSecond(resolution byte) uint64 {
	exponent := resolution & 0x7f
	if resolution&0x80 != 0 {
		if exponent > 62 {
			return 1e9
		}
		return 1 << exponent
	}
	if exponent > 18 {
		return 1e9
	}
	return uint64(math.Pow10(int(exponent)))
}

// time turns a timestamp into nanoseconds since the Unix epoch, in 128 bits so that nothing overflows on the way.
func (i *ngInterface) time(stamp uint64) int64 {
	sec, rest := stamp/i.perSec, stamp%i.perSec
	if sec > uint64(latestSecond) || i.offset < -latestSecond || i.offset > latestSecond {
		return 0 // far beyond what 64 bits of nanoseconds hold: not a time
	}
	hi, lo := bits.Mul64(rest, 1e9)
	nanos, _ := bits.Div64(hi, lo, i.perSec) // rest < perSec, so the quotient fits
	return min(max(int64(sec)+i.offset, -latestSecond), latestSecond)*1e9 + int64(nanos)
}

func (f *pcapng) packet(p *Packet, iface, captured, length uint32, stamp uint64, data []byte) error {
	if int(iface) >= len(f.ifaces) {
		return damage(fmt.Sprintf("a packet of interface %d, but only %d are described", iface, len(f.ifaces)))
	}
	if captured > largestRecord || int(captured) > len(data) {
		return damage(fmt.Sprintf("a packet claims %d captured bytes in a block with room for %d", captured, len(data)))
	}
	i := &f.ifaces[iface]
	p.Time, p.Data, p.Link, p.Iface = i.time(stamp), data[:captured], i.link, i.name
	p.Length = max(int(min(length, 1<<30)), int(captured))
	return nil
}

func (f *pcapng) enhanced(b []byte, p *Packet) error {
	if len(b) < 20 {
		return damage("an enhanced packet block is too short")
	}
	stamp := uint64(f.order.Uint32(b[4:]))<<32 | uint64(f.order.Uint32(b[8:]))
	return f.packet(p, f.order.Uint32(b), f.order.Uint32(b[12:]), f.order.Uint32(b[16:]), stamp, b[20:])
}

// simple packets have no time and belong to interface 0; their captured length follows from the snap length.
func (f *pcapng) simple(b []byte, p *Packet) error {
	if len(b) < 4 || len(f.ifaces) == 0 {
		return damage("a simple packet block without an interface or a length")
	}
	length := f.order.Uint32(b)
	captured := min(length, uint32(len(b)-4))
	if snap := f.ifaces[0].snapLen; snap > 0 {
		captured = min(captured, snap)
	}
	return f.packet(p, 0, captured, length, 0, b[4:])
}

func (f *pcapng) obsolete(b []byte, p *Packet) error {
	if len(b) < 20 {
		return damage("a packet block is too short")
	}
	stamp := uint64(f.order.Uint32(b[4:]))<<32 | uint64(f.order.Uint32(b[8:]))
	return f.packet(p, uint32(f.order.Uint16(b)), f.order.Uint32(b[12:]), f.order.Uint32(b[16:]), stamp, b[20:])
}
