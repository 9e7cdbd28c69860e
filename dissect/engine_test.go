package dissect

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"pgregory.net/rapid"

	"netaudit/tap"
	"netaudit/tap/decode"
)

// collector keeps what an engine hands out.
type collector struct {
	opened, updated, closed []Flow
	dns                     []DNS
	http                    []HTTP
}

func (c *collector) FlowOpened(f *Flow)              { c.opened = append(c.opened, *f) }
func (c *collector) FlowActive(*Flow, uint64)        {}
func (c *collector) FlowUpdated(f *Flow)             { c.updated = append(c.updated, *f) }
func (c *collector) FlowClosed(f *Flow)              { c.closed = append(c.closed, *f) }
func (c *collector) DNSMessage(_ *Flow, d *DNS)      { c.dns = append(c.dns, *d) }
func (c *collector) HTTPBegan(*Flow, *HTTP)          {}
func (c *collector) HTTPRequest(_ *Flow, h *HTTP)    { c.http = append(c.http, *h) }
func (c *collector) only(t testing.TB, n int) []Flow { return onlyFlows(t, c.closed, n) }

func onlyFlows(t testing.TB, list []Flow, n int) []Flow {
	t.Helper()
	if len(list) != n {
		t.Fatalf("%d flows, want %d: %+v", len(list), n, list)
	}
	return list
}

// capture reads the frames of one capture.
func capture(t testing.TB, name string) []tap.Packet {
	t.Helper()
	s, err := tap.OpenFile(filepath.Join("../tap/testdata/captures", name))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var list []tap.Packet
	for {
		var p tap.Packet
		err := s.Next(t.Context(), &p)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		p.Data = bytes.Clone(p.Data)
		list = append(list, p)
	}
}

// wire builds Ethernet frames of one conversation.
type wire struct {
	t              testing.TB
	client, server net.IP
	cport, sport   uint16
	now            time.Time
}

func newWire(t testing.TB) *wire {
	return &wire{t: t, client: net.IP{10, 0, 0, 2}, server: net.IP{203, 0, 113, 9}, cport: 40000, sport: 443, now: time.Unix(1_700_000_000, 0)}
}

// tcp makes a segment; fromClient says who sends.
func (w *wire) tcp(fromClient bool, seq, ack uint32, flags string, payload []byte) tap.Packet {
	w.t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: w.client, DstIP: w.server}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(w.cport), DstPort: layers.TCPPort(w.sport), Seq: seq, Ack: ack, Window: 60000}
	if !fromClient {
		ip.SrcIP, ip.DstIP, tcp.SrcPort, tcp.DstPort = w.server, w.client, tcp.DstPort, tcp.SrcPort
	}
	for _, f := range flags {
		switch f {
		case 'S':
			tcp.SYN = true
		case 'A':
			tcp.ACK = true
		case 'F':
			tcp.FIN = true
		case 'R':
			tcp.RST = true
		case 'P':
			tcp.PSH = true
		}
	}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		w.t.Fatal(err)
	}
	return w.frame(ip, tcp, gopacket.Payload(payload))
}

// datagram makes a UDP datagram between the client and a port of the server.
func (w *wire) datagram(fromClient bool, port uint16, payload []byte) tap.Packet {
	w.t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: w.client, DstIP: w.server}
	udp := &layers.UDP{SrcPort: layers.UDPPort(w.cport), DstPort: layers.UDPPort(port)}
	if !fromClient {
		ip.SrcIP, ip.DstIP, udp.SrcPort, udp.DstPort = w.server, w.client, udp.DstPort, udp.SrcPort
	}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		w.t.Fatal(err)
	}
	return w.frame(ip, udp, gopacket.Payload(payload))
}

// frame puts layers into an Ethernet frame, a millisecond after the one before.
func (w *wire) frame(list ...gopacket.SerializableLayer) tap.Packet {
	w.t.Helper()
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	b := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, options, append([]gopacket.SerializableLayer{eth}, list...)...); err != nil {
		w.t.Fatal(err)
	}
	w.now = w.now.Add(time.Millisecond)
	data := bytes.Clone(b.Bytes())
	return tap.Packet{Time: w.now.UnixNano(), Data: data, Length: len(data), Link: tap.LinkEthernet}
}

// clientHello returns the first TLS record of a capture's client.
func clientHello(t testing.TB) []byte {
	t.Helper()
	for _, p := range capture(t, "curl.pcap") {
		packet := gopacket.NewPacket(p.Data, layers.LayerTypeEthernet, gopacket.Default)
		if app := packet.ApplicationLayer(); app != nil && len(app.Payload()) > 100 && app.Payload()[0] == 22 {
			return bytes.Clone(app.Payload())
		}
	}
	t.Fatal("no ClientHello in curl.pcap")
	return nil
}

// TestStreamIsPutTogetherHoweverItArrives cuts a ClientHello and more anyhow, shuffles, repeats and overlaps the pieces: name and byte count stay.
func TestStreamIsPutTogetherHoweverItArrives(t *testing.T) {
	hello := clientHello(t)
	stream := append(bytes.Clone(hello), bytes.Repeat([]byte{23, 3, 3, 0, 40, 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x'}, 5)...)
	rapid.Check(t, func(r *rapid.T) {
		w := newWire(t)
		isn := rapid.Uint32().Draw(r, "initial sequence number") // also close to the wrap
		var pieces []tap.Packet
		for at := 0; at < len(stream); {
			n := min(rapid.IntRange(1, 400).Draw(r, "length"), len(stream)-at)
			back := rapid.IntRange(0, min(at, 30)).Draw(r, "overlap")
			pieces = append(pieces, w.tcp(true, isn+1+uint32(at-back), 5001, "PA", stream[at-back:at+n]))
			if rapid.IntRange(0, 4).Draw(r, "repeat") == 0 {
				pieces = append(pieces, pieces[len(pieces)-1])
			}
			at += n
		}
		pieces = rapid.Permutation(pieces).Draw(r, "order")
		c := &collector{}
		e := New(Config{Names: NewNames(64)}, c)
		w.converse(e, isn, pieces)
		e.Close()
		f := c.only(t, 1)[0]
		if f.TLS == nil || f.TLS.SNI != "license.mit-odoo.de" || f.Host != "license.mit-odoo.de" || f.Channel != "https" {
			r.Errorf("TLS %+v, host %q, channel %q", f.TLS, f.Host, f.Channel)
		}
		if f.SrcBytes != uint64(len(stream)) {
			r.Errorf("%d bytes, the client sent %d", f.SrcBytes, len(stream))
		}
	})
}

// converse sends a TCP handshake and then the client's pieces, in the order of the list.
func (w *wire) converse(e *Engine, isn uint32, pieces []tap.Packet) {
	w.now = w.now.Add(-time.Second) // the pieces were made before
	for _, p := range []tap.Packet{w.tcp(true, isn, 0, "S", nil), w.tcp(false, 5000, isn+1, "SA", nil), w.tcp(true, isn+1, 5001, "A", nil)} {
		e.Packet(&p)
	}
	for i := range pieces {
		pieces[i].Time = w.now.UnixNano() + int64(i)
		e.Packet(&pieces[i])
	}
}

// TestLostSegmentsAreSaidAndNeverInvented: whatever is lost on the way to the capture, what was seen is counted once, what lies between is counted as missed, and
// the name is either the right one or none.
func TestLostSegmentsAreSaidAndNeverInvented(t *testing.T) {
	hello := clientHello(t)
	stream := append(bytes.Clone(hello), bytes.Repeat([]byte{23, 3, 3, 0, 3, 'x', 'x', 'x'}, 40)...)
	rapid.Check(t, func(r *rapid.T) {
		w := newWire(t)
		isn := rapid.Uint32().Draw(r, "initial sequence number")
		seen := make([]bool, len(stream))
		last := 0
		var pieces []tap.Packet
		for at := 0; at < len(stream); {
			n := min(rapid.IntRange(1, 300).Draw(r, "length"), len(stream)-at)
			if rapid.IntRange(0, 3).Draw(r, "arrives") > 0 {
				pieces = append(pieces, w.tcp(true, isn+1+uint32(at), 5001, "PA", stream[at:at+n]))
				for i := at; i < at+n; i++ {
					seen[i] = true
				}
				last = at + n
			}
			at += n
		}
		pieces = rapid.Permutation(pieces).Draw(r, "order")
		c := &collector{}
		e := New(Config{Names: NewNames(64)}, c)
		w.converse(e, isn, pieces)
		acknowledged := w.tcp(false, 5001, isn+1+uint32(len(stream)), "A", nil) // the server got what the capture did not
		e.Packet(&acknowledged)
		e.Close()
		f := c.only(t, 1)[0]
		got, missed := uint64(0), uint64(0)
		for _, s := range seen {
			if s {
				got++
			} else {
				missed++
			}
		}
		if last == len(stream)-1 { // one that is acknowledged may be a FIN
			missed--
		}
		if f.SrcBytes != got || f.MissedBytes != missed {
			r.Errorf("%d bytes and %d missed, want %d and %d", f.SrcBytes, f.MissedBytes, got, missed)
		}
		if f.Host != "" && f.Host != "license.mit-odoo.de" {
			r.Errorf("the name %q was never sent", f.Host)
		}
		whole := !slices.Contains(seen[:len(hello)], false)
		if whole && (f.TLS == nil || f.TLS.SNI != "license.mit-odoo.de") {
			r.Errorf("the hello was seen whole, TLS is %+v", f.TLS)
		}
	})
}

// run sends packets through an engine and returns the flows.
func run(list ...tap.Packet) []Flow {
	c := &collector{}
	e := New(Config{Names: NewNames(64)}, c)
	for i := range list {
		e.Packet(&list[i])
	}
	e.Close()
	return c.closed
}

func TestBothSidesMayOpenAtOnce(t *testing.T) {
	w := newWire(t)
	list := run(w.tcp(true, 1000, 0, "S", nil), w.tcp(false, 5000, 0, "S", nil), w.tcp(true, 1000, 5001, "SA", nil), w.tcp(false, 5000, 1001, "SA", nil),
		w.tcp(true, 1001, 5001, "PA", []byte("from the client")), w.tcp(false, 5001, 1016, "PA", []byte("from the server")))
	f := onlyFlows(t, list, 1)[0]
	if f.TCPState != "S1" || f.SrcBytes != 15 || f.DstBytes != 15 || f.Src.Port() != 40000 || f.Retransmits != 0 {
		t.Errorf("%+v", f)
	}
}

func TestKeepAliveProbesAreNoRetransmissions(t *testing.T) {
	w := newWire(t)
	list := run(w.tcp(true, 1000, 0, "S", nil), w.tcp(false, 5000, 1001, "SA", nil), w.tcp(true, 1001, 5001, "PA", []byte("hello")),
		w.tcp(true, 1005, 5001, "A", []byte{0}), w.tcp(false, 5001, 1006, "A", nil), w.tcp(true, 1005, 5001, "A", nil), w.tcp(true, 1001, 5001, "PA", []byte("hello")))
	if f := onlyFlows(t, list, 1)[0]; f.SrcBytes != 5 || f.Retransmits != 1 {
		t.Errorf("%d bytes and %d retransmissions, want 5 and 1: %+v", f.SrcBytes, f.Retransmits, f)
	}
}

func TestPortsThatAreUsedAgainAreAnotherFlow(t *testing.T) {
	for name, end := range map[string]func(*wire) []tap.Packet{
		"after FIN": func(w *wire) []tap.Packet {
			return []tap.Packet{w.tcp(true, 1006, 5001, "FA", nil), w.tcp(false, 5001, 1007, "FA", nil), w.tcp(true, 1007, 5002, "A", nil)}
		},
		"after RST":               func(w *wire) []tap.Packet { return []tap.Packet{w.tcp(false, 5001, 1006, "R", nil)} },
		"without an end in sight": func(*wire) []tap.Packet { return nil },
	} {
		w := newWire(t)
		list := []tap.Packet{w.tcp(true, 1000, 0, "S", nil), w.tcp(false, 5000, 1001, "SA", nil), w.tcp(true, 1001, 5001, "PA", []byte("hello"))}
		list = append(list, end(w)...)
		list = append(list, w.tcp(true, 900_000, 0, "S", nil), w.tcp(false, 70_000, 900_001, "SA", nil), w.tcp(true, 900_001, 70_001, "PA", []byte("hello again")))
		flows := run(list...)
		if len(flows) != 2 || flows[0].SrcBytes != 5 || flows[1].SrcBytes != 11 || flows[1].MidStream {
			t.Errorf("%s: %+v, want two flows with 5 and 11 bytes", name, flows)
		}
	}
}

func TestFullTableWritesTheFlowItEvicts(t *testing.T) {
	c := &collector{}
	e := New(Config{MaxFlows: 100}, c)
	w := newWire(t)
	for i := range 1000 { // a flood from ever new sources
		w.cport = uint16(10000 + i)
		p := w.tcp(true, 1, 0, "S", nil)
		e.Packet(&p)
		if open := len(c.opened) - len(c.closed); open > 100 {
			t.Fatalf("%d flows are open, the limit is 100", open)
		}
	}
	e.Close()
	if len(c.opened) != 1000 || len(c.closed) != 1000 {
		t.Errorf("%d opened and %d closed, want 1000 of each: a flow without a row is a call that nobody sees", len(c.opened), len(c.closed))
	}
}

func TestSameAddressesOnTwoVLANsAreTwoFlows(t *testing.T) {
	c := &collector{}
	e := New(Config{}, c)
	w := newWire(t)
	p := w.tcp(true, 1, 0, "S", nil)
	for _, vlan := range []byte{7, 8} {
		tagged := append(bytes.Clone(p.Data[:12]), 0x81, 0, 0, vlan)
		tagged = append(tagged, p.Data[12:]...)
		e.Packet(&tap.Packet{Time: p.Time, Data: tagged, Length: len(tagged), Link: tap.LinkEthernet})
	}
	e.Close()
	list := c.only(t, 2)
	if list[0].VLANs[0] == list[1].VLANs[0] {
		t.Errorf("VLANs %v and %v", list[0].VLANs, list[1].VLANs)
	}
}

// TestTagOfAPriorityIsNoVLAN: one direction may have it and the other none.
func TestTagOfAPriorityIsNoVLAN(t *testing.T) {
	w := newWire(t)
	p, answer := w.tcp(true, 1, 0, "S", nil), w.tcp(false, 9, 2, "SA", nil)
	p.Data = slices.Concat(p.Data[:12], []byte{0x81, 0, 0xa0, 0}, p.Data[12:])
	p.Length = len(p.Data)
	if f := onlyFlows(t, run(p, answer), 1)[0]; f.DstPackets != 1 || len(f.VLANs) != 1 {
		t.Errorf("%+v", f)
	}
}

func TestAnswersNameLaterFlowsOfTheSameClientOnly(t *testing.T) {
	n := NewNames(0)
	client, other, server := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("203.0.113.9")
	n.Add(client, server, "mail.example", 60, 0)
	if name, ok := n.Lookup(client, server, int64(time.Second)); !ok || name != "mail.example" {
		t.Errorf("name %q, %v", name, ok)
	}
	if name, ok := n.Lookup(other, server, int64(time.Second)); ok {
		t.Errorf("another client's answer names the flow: %q", name)
	}
	if name, ok := n.Lookup(client, server, int64(100*time.Hour)); ok {
		t.Errorf("an answer of days ago names the flow: %q", name)
	}
}

// TestAnswersOfAResolverOnTheHostNameItsCalls: a stub on loopback answers from its cache, and the calls that follow leave from another address.
func TestAnswersOfAResolverOnTheHostNameItsCalls(t *testing.T) {
	names := NewNames(0)
	names.Add(netip.MustParseAddr("127.0.0.53"), netip.MustParseAddr("203.0.113.9"), "cached.example", 60, time.Unix(1_700_000_000, 0).UnixNano())
	for local, want := range map[bool]string{true: "cached.example", false: ""} {
		c := &collector{}
		e := New(Config{Names: names, Local: func(netip.Addr) bool { return local }}, c)
		w := newWire(t)
		p := w.datagram(true, 4444, []byte("hello"))
		e.Packet(&p)
		e.Close()
		if f := c.only(t, 1)[0]; f.Host != want {
			t.Errorf("address of this host %v: %q names %s, want %q", local, f.Host, f.Dst, want)
		}
	}
}

func TestNameThatDNSNeverGaveThisAddressIsAContradiction(t *testing.T) {
	n := NewNames(0)
	client, server := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("203.0.113.9")
	k := keyOf(decode.BitsOf(client), decode.BitsOf(server))
	if told := n.contradicts(k, "any.example", 0); told != "" {
		t.Errorf("without an answer nothing contradicts: %q", told)
	}
	for _, name := range []string{"a.example", "b.example", "c.example", "a.example"} {
		n.Add(client, server, name, 60, 0)
	}
	for _, name := range []string{"a.example", "b.example", "c.example"} {
		if told := n.contradicts(k, name, 1); told != "" {
			t.Errorf("%s was given this address, and %q contradicts it", name, told)
		}
	}
	if told := n.contradicts(k, "front.example", 1); told != "a.example" {
		t.Errorf("told %q; want the newest name", told)
	}
}

// FuzzEngine: any frames, any order; every opened flow is closed, none twice, and nothing panics.
func FuzzEngine(f *testing.F) {
	for _, name := range []string{"curl.pcap", "openssl.pcap", "dns.pcap", "starttls.pcap"} {
		var seed []byte
		for _, p := range capture(f, name) {
			if len(p.Data) > 0xffff || len(seed)+len(p.Data) > 12000 {
				break
			}
			seed = append(append(seed, byte(len(p.Data)>>8), byte(len(p.Data))), p.Data...)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		c := &collector{}
		e := New(Config{MaxFlows: 8, Names: NewNames(64)}, c)
		now := int64(1_700_000_000_000_000_000)
		for len(input) > 2 {
			n := min(int(input[0])<<8|int(input[1]), len(input)-2)
			frame := input[2 : 2+n]
			input = input[2+n:]
			now += 1_000_000
			e.Packet(&tap.Packet{Time: now, Data: frame, Length: len(frame), Link: tap.LinkEthernet})
		}
		e.Close()
		seen := map[uint64]bool{}
		for _, flow := range c.closed {
			if seen[flow.ID] {
				t.Errorf("flow %d was closed twice", flow.ID)
			}
			seen[flow.ID] = true
		}
		if len(c.opened) != len(c.closed) {
			t.Errorf("%d flows opened, %d closed", len(c.opened), len(c.closed))
		}
	})
}

// TestFloodDoesNotHideRealConnections: half-open connections of ever new sources go first.
func TestFloodDoesNotHideRealConnections(t *testing.T) {
	c := &collector{}
	e := New(Config{MaxFlows: 1000}, c)
	hello := clientHello(t)
	real := newWire(t)
	for _, p := range []tap.Packet{real.tcp(true, 1000, 0, "S", nil), real.tcp(false, 5000, 1001, "SA", nil), real.tcp(true, 1001, 5001, "A", nil)} {
		e.Packet(&p)
	}
	flood := newWire(t)
	flood.now = real.now
	for i := range 100_000 {
		flood.client = net.IP{198, byte(18 + i>>16), byte(i >> 8), byte(i)}
		p := flood.tcp(true, 7, 0, "S", nil)
		p.Time = real.now.UnixNano() + int64(i)
		e.Packet(&p)
	}
	p := real.tcp(true, 1001, 5001, "PA", hello)
	p.Time = real.now.UnixNano() + 1e8
	e.Packet(&p)
	e.Close()
	if len(c.opened) != 100_001 || len(c.closed) != 100_001 {
		t.Errorf("%d opened, %d closed, want 100001 of each", len(c.opened), len(c.closed))
	}
	for _, f := range c.closed {
		if f.ID == 1 && (f.TLS == nil || f.Host != "license.mit-odoo.de" || f.SrcBytes != uint64(len(hello))) {
			t.Errorf("the real connection was hidden: %+v", f)
		}
	}
}
