// Command links writes the first conversation with a port, of a capture, once for each of the rarer link types, each with a port of its own, as interfaces of one pcapng file. Headers are
// written as their specifications draw them. links.pcapng beside it was made so:
//
//	go run ./tap/testdata/captures/links 80 tap/testdata/captures/web.pcap tap/testdata/captures/links.pcapng
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "links:", err)
		os.Exit(1)
	}
}

// form is a link type and what makes its frames out of Ethernet frames with IPv4.
type form struct {
	link layers.LinkType
	make func(ether []byte) []byte
}

const (
	ethernet   = layers.LinkTypeEthernet
	wifi       = layers.LinkType(105)
	radiotap   = layers.LinkType(127)
	prism      = layers.LinkType(119)
	avs        = layers.LinkType(163)
	ppi        = layers.LinkType(192)
	fddi       = layers.LinkType(10)
	tokenRing  = layers.LinkType(6)
	atm        = layers.LinkType(100)
	frameRelay = layers.LinkType(107)
)

var llc = []byte{0xaa, 0xaa, 3, 0, 0, 0}

// air is a frame of IEEE 802.11 from a station to its access point.
func air(ether []byte, more ...byte) []byte {
	kind, qos := byte(0x08), []byte(nil)
	if len(more) > 0 {
		kind, qos = 0x88, more
	}
	return slices.Concat([]byte{kind, 1, 0, 0}, ether[:6], ether[6:12], ether[:6], []byte{0x10, 0}, qos, llc, ether[12:])
}

var forms = []form{
	{wifi, func(e []byte) []byte { return air(e) }},
	{radiotap, func(e []byte) []byte { return slices.Concat([]byte{0, 0, 8, 0, 0, 0, 0, 0}, air(e, 0, 0)) }},
	{radiotap, func(e []byte) []byte { // a clock, and flags that say the header is padded
		return slices.Concat([]byte{0, 0, 28, 0, 3, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 8), []byte{0x20, 0, 0, 0}, air(e, 0, 0, 0, 0))
	}},
	{prism, func(e []byte) []byte {
		return slices.Concat([]byte{0, 0, 0, 0x44, 0, 0, 0, 144}, make([]byte, 136), air(e))
	}},
	{avs, func(e []byte) []byte {
		return slices.Concat([]byte{0x80, 0x21, 0x10, 1, 0, 0, 0, 64}, make([]byte, 56), air(e))
	}},
	{ppi, func(e []byte) []byte { return slices.Concat([]byte{0, 0, 8, 0, 105, 0, 0, 0}, air(e)) }},
	{ppi, func(e []byte) []byte { return slices.Concat([]byte{0, 0, 8, 0, 1, 0, 0, 0}, e) }},
	{fddi, func(e []byte) []byte { return slices.Concat([]byte{0x50}, e[:12], llc, e[12:]) }},
	{tokenRing, func(e []byte) []byte { return slices.Concat([]byte{0x10, 0x40}, e[:12], llc, e[12:]) }},
	{atm, func(e []byte) []byte { return slices.Concat(llc, e[12:]) }},
	{frameRelay, func(e []byte) []byte { return slices.Concat([]byte{0x18, 0x41, 3, 0xcc}, e[14:]) }},
	{frameRelay, func(e []byte) []byte { return slices.Concat([]byte{0x18, 0x41, 3, 0, 0x80, 0, 0, 0}, e[12:]) }},
	{ethernet, func(e []byte) []byte { // IP by LLC's own number
		return slices.Concat(e[:12], binary.BigEndian.AppendUint16(nil, uint16(len(e)-14+3)), []byte{6, 6, 3}, e[14:])
	}},
	{ethernet, func(e []byte) []byte { // FabricPath, with the sum that switches leave behind the frame
		return slices.Concat(make([]byte, 11), []byte{1, 0x89, 0x03, 0, 0x4a}, e, make([]byte, 4))
	}},
	{ethernet, func(e []byte) []byte { return slices.Concat(e[:12], []byte{0x22, 0xf3, 0, 1, 0, 1, 0, 2}, e) }},   // TRILL
	{ethernet, func(e []byte) []byte { return slices.Concat(e[:12], []byte{0x88, 0x47, 0, 0x06, 0x41, 64}, e) }},  // MPLS, a frame without a control word
	{ethernet, func(e []byte) []byte { return slices.Concat(e[:12], []byte{0x89, 0x2f, 0, 0x34, 0, 1}, e[12:]) }}, // HSR
	{ethernet, func(e []byte) []byte {
		return slices.Concat(e[:12], []byte{0x88, 0x47, 0, 0x06, 0x41, 64, 0, 0, 0, 0}, e)
	}}, // … with one
}

func run(port, in, out string) error {
	frames, infos, err := conversation(port, in)
	if err != nil {
		return err
	}
	target, err := os.Create(out)
	if err != nil {
		return err
	}
	defer target.Close()
	w, err := pcapgo.NewNgWriterInterface(target, iface(forms[0], 0), pcapgo.DefaultNgWriterOptions)
	if err != nil {
		return err
	}
	for i, f := range forms[1:] {
		if _, err := w.AddInterface(iface(f, i+1)); err != nil {
			return err
		}
	}
	for n, f := range forms {
		for i, frame := range frames {
			info := infos[i]
			frame = f.make(withPort(frame, uint16(n)))
			info.InterfaceIndex, info.CaptureLength, info.Length = n, len(frame), len(frame)
			if err := w.WritePacket(info, frame); err != nil {
				return err
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return target.Close()
}

func iface(f form, n int) pcapgo.NgInterface {
	return pcapgo.NgInterface{Name: fmt.Sprint("link", n), LinkType: f.link, SnapLength: 65535}
}

// conversation reads the frames of the first TCP conversation with a port over IPv4, with addresses of a real maker.
func conversation(port, path string) (frames [][]byte, infos []gopacket.CaptureInfo, err error) {
	source, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer source.Close()
	r, err := pcapgo.NewReader(source)
	if err != nil {
		return nil, nil, err
	}
	var first []byte
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return frames, infos, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if len(data) < 54 || data[12] != 8 || data[13] != 0 || data[23] != 6 {
			continue
		}
		ports := slices.Clone(data[34:38])
		if binary.BigEndian.Uint16(ports) < client {
			ports = slices.Concat(ports[2:], ports[:2])
		}
		if first == nil && fmt.Sprint(binary.BigEndian.Uint16(ports[2:])) == port {
			first = ports
		}
		if slices.Equal(first, ports) {
			copy(data, []byte{0x00, 0x1b, 0x21, 1, 2, 3, 0x00, 0x50, 0x56, 4, 5, 6})
			frames, infos = append(frames, data), append(infos, info)
		}
	}
}

const client = 32768 // the first port of clients

// withPort moves the client's port, so that every copy is a conversation of its own. Checksums become wrong, as offload makes them.
func withPort(frame []byte, n uint16) []byte {
	frame = slices.Clone(frame)
	at := 34
	if binary.BigEndian.Uint16(frame[at:]) < client {
		at += 2
	}
	binary.BigEndian.PutUint16(frame[at:], 40000+n)
	return frame
}
