package tap

import (
	"encoding/binary"
	"fmt"
)

// classicPcap is the old form (draft-ietf-opsawg-pcap): a 24-byte header, then records of 16 bytes and the frame.
type classicPcap struct {
	order    binary.ByteOrder
	little   bool
	fraction int64 // nanoseconds in one unit of the second timestamp field
	record   int   // bytes before each frame
	swapped  bool  // the two lengths may stand in the other order
	link     LinkType
}

const (
	magicMicro    = 0xa1b2c3d4
	magicNano     = 0xa1b23c4d
	magicModified = 0xa1b2cd34 // of libpcap as Alexey Kuznetsov changed it: records tell interface, protocol and direction, too

	pcapHeader         = 24
	pcapRecord         = 16
	modifiedPcapRecord = 24
	lastSwapped        = 3 // minor version up to which some writers swapped the lengths (libpcap, sf-pcap.c)
)

func newPcap(w *window, order binary.ByteOrder) (*classicPcap, error) {
	h, err := w.take(pcapHeader)
	if err != nil {
		return nil, err
	}
	f := &classicPcap{order: order, little: order == binary.LittleEndian, fraction: 1000, record: pcapRecord, swapped: order.Uint16(h[6:]) <= lastSwapped}
	switch order.Uint32(h) {
	case magicNano:
		f.fraction = 1
	case magicModified:
		f.record = modifiedPcapRecord
	}
	if major := order.Uint16(h[4:]); major != 2 {
		return nil, damage(fmt.Sprintf("pcap version %d.%d; only 2.x is known", major, order.Uint16(h[6:])))
	}
	f.link = linkOf(order.Uint32(h[20:]) & 0xffff) // the upper bits tell of a frame check sequence
	return f, nil
}

func (f *classicPcap) next(w *window, p *Packet) error {
	b := w.buffer[w.begin:w.end]
	if len(b) < pcapRecord {
		var err error
		if b, err = w.peek(pcapRecord); err != nil {
			return err
		}
	}
	h := (*[pcapRecord]byte)(b) // of known length: nothing is to be checked field by field
	var sec, frac, captured, length uint32
	if f.little { // spelt out: the interface would cost a call a field
		sec, frac = binary.LittleEndian.Uint32(h[0:]), binary.LittleEndian.Uint32(h[4:])
		captured, length = binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:])
	} else {
		sec, frac = binary.BigEndian.Uint32(h[0:]), binary.BigEndian.Uint32(h[4:])
		captured, length = binary.BigEndian.Uint32(h[8:]), binary.BigEndian.Uint32(h[12:])
	}
	if f.swapped && captured > length {
		captured, length = length, captured
	}
	if captured > largestRecord {
		return damage(fmt.Sprintf("a record claims %d captured bytes; %d is the most a capture can hold", captured, largestRecord))
	}
	end := f.record + int(captured)
	if len(b) < end {
		var err error
		if b, err = w.peek(end); err != nil {
			return err
		}
	}
	if end < len(b) {
		prefetch(&b[end])
	}
	w.begin += end
	w.offset += int64(end)
	p.Time = int64(sec)*1e9 + int64(frac)*f.fraction
	p.Data = b[f.record:end]
	p.Length = max(int(min(length, 1<<30)), int(captured))
	p.Link, p.Iface = f.link, ""
	return nil
}

// linkOf maps a DLT to the LINKTYPE of capture files. On Linux they differ for raw IP only (12, and 14 on OpenBSD); some writers put
// the DLT into files too.
func linkOf(dlt uint32) LinkType {
	if dlt == 12 || dlt == 14 {
		return LinkRaw
	}
	return LinkType(dlt)
}
