// Command wrap puts the packets of a capture into the encapsulations that the kernel at hand cannot make, one copy of the conversations for each, each with ports of its own.
// Headers are written as their specifications draw them. Used by peers.sh.
//
//	wrap IN.pcap OUT.pcap
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "wrap:", err)
		os.Exit(1)
	}
}

// wrapping makes a frame out of an Ethernet frame that holds an IPv4 packet. back says that the packet goes from the server to the client.
type wrapping func(frame []byte, back bool) []byte

func run(in, out string) error {
	source, err := os.Open(in)
	if err != nil {
		return err
	}
	defer source.Close()
	r, err := pcapgo.NewReader(source)
	if err != nil {
		return err
	}
	var frames [][]byte
	var infos []gopacket.CaptureInfo
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if len(data) > 34 && data[12] == 8 && data[13] == 0 && data[23] == 6 { // TCP over IPv4
			frames, infos = append(frames, data), append(infos, info)
		}
	}
	target, err := os.Create(out)
	if err != nil {
		return err
	}
	defer target.Close()
	w := pcapgo.NewWriter(target)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		return err
	}
	for n, wrap := range wrappings {
		for i, frame := range frames {
			back := binary.BigEndian.Uint16(frame[34:]) < 32768
			frame = wrap(withPort(frame, back, uint16(n)), back)
			info := infos[i]
			info.CaptureLength, info.Length = len(frame), len(frame)
			if err := w.WritePacket(info, frame); err != nil {
				return err
			}
		}
	}
	return target.Close()
}

// withPort moves the client's port, so that every copy is a conversation of its own. Checksums become wrong, as offload makes them.
func withPort(frame []byte, back bool, n uint16) []byte {
	frame = slices.Clone(frame)
	at := 34
	if back {
		at = 36
	}
	binary.BigEndian.PutUint16(frame[at:], 40000+n*100+binary.BigEndian.Uint16(frame[at:])%100)
	return frame
}

// between are the ends of the tunnels.
func between(back, v6 bool) (src, dst []byte) {
	a, b := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	if v6 {
		a, b = netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("2001:db8:1::2")
	}
	if back {
		a, b = b, a
	}
	return a.AsSlice(), b.AsSlice()
}

func ether(frame []byte, kind uint16, parts ...[]byte) []byte {
	return slices.Concat(frame[:12], binary.BigEndian.AppendUint16(nil, kind), slices.Concat(parts...))
}

func ip4(frame []byte, back bool, proto byte, parts ...[]byte) []byte {
	payload := slices.Concat(parts...)
	src, dst := between(back, false)
	head := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, proto, 0, 0}
	binary.BigEndian.PutUint16(head[2:], uint16(20+len(payload)))
	return ether(frame, 0x0800, head, src, dst, payload)
}

func ip6(frame []byte, back bool, proto byte, parts ...[]byte) []byte {
	payload := slices.Concat(parts...)
	src, dst := between(back, true)
	head := []byte{0x60, 0, 0, 0, 0, 0, proto, 64}
	binary.BigEndian.PutUint16(head[4:], uint16(len(payload)))
	return ether(frame, 0x86dd, head, src, dst, payload)
}

func udp(port uint16, parts ...[]byte) []byte {
	payload := slices.Concat(parts...)
	head := binary.BigEndian.AppendUint16(nil, 50000)
	head = binary.BigEndian.AppendUint16(head, port)
	head = binary.BigEndian.AppendUint16(head, uint16(8+len(payload)))
	return slices.Concat(head, []byte{0, 0}, payload)
}

func length(b []byte, more int) []byte {
	return binary.BigEndian.AppendUint16(nil, uint16(len(b)+more))
}

const greProto = 47

var wrappings = []wrapping{
	func(f []byte, _ bool) []byte { return ether(f, 0x8100, []byte{0x20, 7}, f[12:]) },
	func(f []byte, _ bool) []byte { return ether(f, 0x88a8, []byte{0, 100, 0x81, 0, 0, 8}, f[12:]) },
	func(f []byte, _ bool) []byte { return ether(f, 0x8847, []byte{0, 1, 0, 64, 0, 2, 0x61, 64}, f[14:]) },
	func(f []byte, _ bool) []byte {
		return ether(f, 0x8864, []byte{0x11, 0, 0, 9}, length(f[14:], 2), []byte{0, 0x21}, f[14:])
	},
	func(f []byte, b bool) []byte { return ip4(f, b, greProto, []byte{0, 0, 8, 0}, f[14:]) },
	func(f []byte, b bool) []byte {
		return ip4(f, b, greProto, []byte{0xb0, 0, 0x65, 0x58, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1}, f)
	}, // checksum, key, sequence
	func(f []byte, b bool) []byte { return ip6(f, b, greProto, []byte{0x20, 0, 8, 0, 0, 0, 0, 6}, f[14:]) },
	func(f []byte, b bool) []byte { return ip4(f, b, greProto, []byte{0, 0, 0x88, 0xbe}, f) }, // ERSPAN I
	func(f []byte, b bool) []byte {
		return ip4(f, b, greProto, []byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 33, 0, 0, 0, 0}, f)
	},
	func(f []byte, b bool) []byte {
		return ip4(f, b, greProto, []byte{0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 34, 0, 0, 0, 0, 0, 0, 0, 0}, f)
	},
	func(f []byte, b bool) []byte { return ip6(f, b, 17, udp(4789, []byte{8, 0, 0, 0, 0, 0, 42, 0}, f)) },
	func(f []byte, b bool) []byte { // VXLAN in VXLAN
		return ip4(f, b, 17, udp(4789, []byte{8, 0, 0, 0, 0, 0, 43, 0}, ip4(f, b, 17, udp(4789, []byte{8, 0, 0, 0, 0, 0, 44, 0}, f))))
	},
	func(f []byte, b bool) []byte {
		return ip4(f, b, 17, udp(6081, []byte{0, 0, 0x65, 0x58, 0, 0, 45, 0}, f))
	},
	func(f []byte, b bool) []byte { // as load balancers of clouds send it: options, and the packet without Ethernet
		return ip4(f, b, 17, udp(6081, []byte{6, 0, 8, 0, 0, 0, 46, 0, 1, 8, 1, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 8, 3, 1, 0, 0, 0, 3, 0, 0, 0, 0}, f[14:]))
	},
	func(f []byte, b bool) []byte { return ip4(f, b, 4, f[14:]) },
	func(f []byte, b bool) []byte { return ip6(f, b, 4, f[14:]) },
	func(f []byte, b bool) []byte { // 6in4, and in that IPv4 again
		inner := ip6(f, b, 4, f[14:])
		return ip4(f, b, 41, inner[14:])
	},
	func(f []byte, b bool) []byte {
		return ip4(f, b, 17, udp(2152, []byte{0x30, 255}, length(f[14:], 0), []byte{0, 0, 0, 35}, f[14:]))
	},
	func(f []byte, b bool) []byte { // with an extension header: 5G's session container
		return ip4(f, b, 17, udp(2152, []byte{0x34, 255}, length(f[14:], 8), []byte{0, 0, 0, 36, 0, 0, 0, 0x85, 1, 0, 1, 0}, f[14:]))
	},
	func(f []byte, b bool) []byte { // Teredo carries IPv6, here with IPv4 inside
		inner := ip6(f, b, 4, f[14:])
		return ip4(f, b, 17, udp(3544, inner[14:]))
	},
}
