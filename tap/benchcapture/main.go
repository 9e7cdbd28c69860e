// Command benchcapture writes captures for measuring: the committed captures of real clients multiplied by giving every copy other
// addresses and ports.
//
//	go run ./tap/benchcapture -kind bulk|flows|dns -size 128 -o FILE
//
// bulk is one TLS download, flows are short TLS calls, dns is questions and answers over UDP.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"netaudit/tap"
)

func main() {
	kind := flag.String("kind", "flows", "bulk, flows or dns")
	size := flag.Int("size", 128, "MiB")
	out := flag.String("o", "", "file to write")
	captures := flag.String("captures", "tap/testdata/captures", "directory of the committed captures")
	flag.Parse()
	if err := generate(*kind, *size<<20, *captures, *out); err != nil {
		fmt.Fprintln(os.Stderr, "benchcapture:", err)
		os.Exit(1)
	}
}

// frame is an Ethernet frame with IP and TCP or UDP, and where its parts are.
type frame struct {
	data      []byte
	transport int // offset of the TCP or UDP header
	tcp, v6   bool
}

// parse finds the parts; ok is false for anything else.
func parse(data []byte) (f frame, ok bool) {
	if len(data) < 54 {
		return f, false
	}
	proto := layers.IPProtocol(data[23])
	f = frame{data: data, transport: 14 + int(data[14]&15)*4}
	switch binary.BigEndian.Uint16(data[12:]) {
	case 0x0800:
	case 0x86dd:
		proto, f.transport, f.v6 = layers.IPProtocol(data[20]), 54, true
	default:
		return f, false
	}
	f.tcp = proto == layers.IPProtocolTCP
	return f, f.tcp || proto == layers.IPProtocolUDP
}

// host gives both ends other addresses, the same for every frame of a copy.
func (f frame) host(n uint32) {
	src, dst := f.data[26:30], f.data[30:34]
	if f.v6 {
		src, dst = f.data[34:38], f.data[50:54]
	}
	binary.BigEndian.PutUint16(src[1:], uint16(n))
	binary.BigEndian.PutUint16(dst[1:], uint16(n))
	src[0], dst[0] = 10+byte(n>>16), 20+byte(n>>16)
}

// length writes the IP length field for a frame of len(data).
func (f frame) length(data []byte) {
	if f.v6 {
		binary.BigEndian.PutUint16(data[18:], uint16(len(data)-54))
	} else {
		binary.BigEndian.PutUint16(data[16:], uint16(len(data)-14))
	}
}

func generate(kind string, size int, captures, path string) (err error) {
	source := map[string]string{"bulk": "requests.pcap.gz", "flows": "curl.pcap", "dns": "dns.pcap"}[kind]
	if source == "" {
		return fmt.Errorf("kind %q: use bulk, flows or dns", kind)
	}
	frames, err := read(filepath.Join(captures, source), kind != "dns")
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buffered := bufio.NewWriterSize(f, 1<<20)
	w := &writer{out: pcapgo.NewWriter(buffered)}
	if err := w.out.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		return err
	}
	if kind == "bulk" {
		err = w.bulk(frames, size)
	} else {
		err = w.copies(frames, size)
	}
	return errors.Join(err, buffered.Flush())
}

// read takes the frames of one transport protocol out of a capture.
func read(path string, tcp bool) ([]frame, error) {
	s, err := tap.OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var list []frame
	var p tap.Packet
	for {
		err := s.Next(context.Background(), &p)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		if f, ok := parse(bytes.Clone(p.Data)); ok && f.tcp == tcp {
			list = append(list, f)
		}
	}
}

var start = time.Unix(1_790_000_000, 0)

type writer struct {
	out     *pcapgo.Writer
	written int
	packets int
}

// write takes 10 µs of capture time a packet.
func (w *writer) write(data []byte) error {
	w.written += len(data) + 16
	w.packets++
	at := gopacket.CaptureInfo{CaptureLength: len(data), Length: len(data)}
	at.Timestamp = start.Add(time.Duration(w.packets) * 10 * time.Microsecond)
	return w.out.WritePacket(at, data)
}

// copies writes the frames again and again, each time between another pair of hosts.
func (w *writer) copies(list []frame, size int) error {
	for n := uint32(0); w.written < size; n++ {
		for _, f := range list {
			f.host(n)
			if err := w.write(f.data); err != nil {
				return err
			}
		}
	}
	return nil
}

// bulk writes one real handshake and then a long answer with 1,448 bytes a segment, acknowledged every second segment.
func (w *writer) bulk(list []frame, size int) error {
	var server, client *frame
	for i, f := range list {
		if f.tcp && binary.BigEndian.Uint16(f.data[f.transport:]) == 443 {
			server = &list[i]
		} else if server != nil {
			client = &list[i]
		}
		if err := w.write(f.data); err != nil {
			return err
		}
		if server != nil && client != nil && i > 20 {
			break
		}
	}
	if server == nil || client == nil {
		return errors.New("the capture holds no answer from port 443")
	}
	head := 20 // of TCP, without options
	segment := append(bytes.Clone(server.data[:server.transport+head]), bytes.Repeat([]byte{23, 3, 3, 64, 0, 'x'}, 242)[:1448]...)
	segment[server.transport+12], segment[server.transport+13] = 5<<4, 0x10
	server.length(segment)
	acknowledge := bytes.Clone(client.data[:client.transport+head])
	acknowledge[client.transport+12], acknowledge[client.transport+13] = 5<<4, 0x10
	client.length(acknowledge)
	seq := binary.BigEndian.Uint32(server.data[server.transport+4:]) + uint32(len(server.data)-server.transport-int(server.data[server.transport+12]>>4)*4)
	for w.written < size {
		for range 2 {
			binary.BigEndian.PutUint32(segment[server.transport+4:], seq)
			seq += 1448
			if err := w.write(segment); err != nil {
				return err
			}
		}
		binary.BigEndian.PutUint32(acknowledge[client.transport+8:], seq)
		if err := w.write(acknowledge); err != nil {
			return err
		}
	}
	return nil
}
