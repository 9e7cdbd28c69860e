// Command benchcapture writes captures for measuring: the committed captures of real clients multiplied by giving every copy other
// addresses and ports.
//
//	go run ./tap/benchcapture -kind bulk|flows|dns -size 128 -o FILE
//
// bulk is TLS downloads of 200 kB each, flows are short TLS calls, dns is questions and answers over UDP.
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
	"slices"
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

// between says whether one of the ports is this one.
func (f frame) between(port uint16) bool {
	return binary.BigEndian.Uint16(f.data[f.transport:]) == port || binary.BigEndian.Uint16(f.data[f.transport+2:]) == port
}

// fromServer says who sent the frame, by the port.
func (f frame) fromServer() bool {
	port := binary.BigEndian.Uint16(f.data[f.transport:])
	return port == 53 || port == 80 || port == 443
}

// Hosts of the measured network.
const (
	clients = 250
	servers = 1000
)

// host gives client and server other addresses and the client another port, the same for every frame of a copy. No two copies within a minute of
// capture time share all of them.
func (f frame) host(n uint32) {
	client, server := f.data[26:30], f.data[30:34]
	if f.v6 {
		client, server = f.data[34:38], f.data[50:54]
	}
	port := f.data[f.transport:]
	if f.fromServer() {
		client, server, port = server, client, f.data[f.transport+2:]
	}
	client[0], client[1], client[2] = 10, 0, byte(n%clients)
	server[0], server[1], server[2] = 20, byte(n%servers>>8), byte(n%servers)
	binary.BigEndian.PutUint16(port, 1024+uint16(n/clients*61+uint32(binary.BigEndian.Uint16(port))%61)%60000)
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
	if kind == "flows" {
		frames = slices.DeleteFunc(frames, func(f frame) bool { return !f.between(443) })
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

// bulkSegments is how many full segments a download has: 200 kB.
const bulkSegments = 140

// bulk writes downloads: a real handshake, then an answer with 1,448 bytes a segment, acknowledged every second segment.
func (w *writer) bulk(list []frame, size int) error {
	d, err := newDownload(list)
	if err != nil {
		return err
	}
	for n := uint32(0); w.written < size; n++ {
		if err := d.write(w, n); err != nil {
			return err
		}
	}
	return nil
}

// download is one connection: its beginning as it was captured, and templates for what follows.
type download struct {
	head                 []frame
	segment, acknowledge frame
	seq                  uint32 // of the first segment
}

// newDownload takes the first connection to port 443 up to the first segment that nearly fills a frame.
func newDownload(list []frame) (*download, error) {
	d := &download{}
	var port uint16
	for _, f := range list {
		client := binary.BigEndian.Uint16(f.data[f.transport:])
		if f.fromServer() {
			client = binary.BigEndian.Uint16(f.data[f.transport+2:])
		}
		if port == 0 {
			port = client
		}
		if client != port {
			continue
		}
		d.head = append(d.head, f)
		if header := f.transport + int(f.data[f.transport+12]>>4)*4; f.fromServer() && len(f.data) > header+500 {
			d.seq = binary.BigEndian.Uint32(f.data[f.transport+4:]) + uint32(len(f.data)-header)
			d.segment = f.bare(bytes.Repeat([]byte{23, 3, 3, 64, 0, 'x'}, 242)[:1448])
			continue
		}
		if d.seq != 0 && !f.fromServer() {
			d.acknowledge = f.bare(nil)
			return d, nil
		}
	}
	return nil, errors.New("the capture holds no answer from port 443")
}

// bare is the frame with a TCP header without options, the flag ACK alone, and another payload.
func (f frame) bare(payload []byte) frame {
	const header = 20
	f.data = append(bytes.Clone(f.data[:f.transport+header]), payload...)
	f.data[f.transport+12], f.data[f.transport+13] = header/4<<4, 0x10
	f.length(f.data)
	return f
}

func (d *download) write(w *writer, n uint32) error {
	for _, f := range d.head {
		f.host(n)
		if err := w.write(f.data); err != nil {
			return err
		}
	}
	d.segment.host(n)
	d.acknowledge.host(n)
	seq := d.seq
	for i := range bulkSegments {
		binary.BigEndian.PutUint32(d.segment.data[d.segment.transport+4:], seq)
		seq += 1448
		if err := w.write(d.segment.data); err != nil {
			return err
		}
		if i%2 == 1 {
			binary.BigEndian.PutUint32(d.acknowledge.data[d.acknowledge.transport+8:], seq)
			if err := w.write(d.acknowledge.data); err != nil {
				return err
			}
		}
	}
	return nil
}
