package dissect

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	miekg "github.com/miekg/dns"

	"netaudit/tap"
	"netaudit/tap/decode"
)

// payloads returns the transport payloads of a capture's first conversation to a port, with who sent them.
func payloads(t *testing.T, name string, proto uint8, port uint16) (list []said, packets []tap.Packet) {
	t.Helper()
	client := uint16(0)
	for _, p := range capture(t, name) {
		var h decode.Headers
		if decode.Decode(p.Link, p.Data, p.Length, &h) != nil || h.Proto != proto || len(h.Payload) == 0 {
			continue
		}
		if client == 0 && h.DstPort == port {
			client = h.SrcPort
		}
		if up := h.SrcPort == client && h.DstPort == port; up || h.SrcPort == port && h.DstPort == client {
			list, packets = append(list, said{up, string(h.Payload)}), append(packets, p)
		}
	}
	return list, packets
}

// TestNameInACutHelloIsKept: a snap length that ends within the hello leaves the name in front, and no fingerprint of half a hello.
func TestNameInACutHelloIsKept(t *testing.T) {
	found := false
	for snap := 100; snap < 700; snap += 20 {
		c := &collector{}
		e := New(Config{Names: NewNames(64)}, c)
		for _, p := range capture(t, "curl.pcap") {
			p.Data = p.Data[:min(len(p.Data), snap)]
			e.Packet(&p)
		}
		e.Close()
		for _, f := range c.closed {
			if f.TLS == nil || f.Dst.Port() != 443 {
				continue
			}
			switch f.TLS.SNI {
			case "":
			case "license.mit-odoo.de", "upload.mit-odoo.de", "api.partner.example":
				found = found || f.TLS.JA3 == "" && f.Truncated
			default:
				t.Errorf("snap length %d: the name %q was never sent", snap, f.TLS.SNI)
			}
		}
	}
	if !found {
		t.Error("no cut hello gave its name")
	}
}

// TestEncryptedRefusalIsNoSuccess: a client of TLS 1.3 that does not like the certificate says so encrypted, in a record whose length tells.
func TestEncryptedRefusalIsNoSuccess(t *testing.T) {
	list, _ := payloads(t, "curl.pcap", 6, 443)
	hello, answer := list[0], list[1]
	if !hello.client || answer.client || answer.bytes[5] != 2 {
		t.Fatalf("the capture begins with %x and %x", hello.bytes[:6], answer.bytes[:6])
	}
	record := func(n int) said { // ChangeCipherSpec, then n encrypted bytes
		b := append([]byte("\x14\x03\x03\x00\x01\x01\x17\x03\x03"), byte(n>>8), byte(n))
		return said{true, string(append(b, bytes.Repeat([]byte{'x'}, n)...))}
	}
	more := said{false, "\x17\x03\x03\x00\x64" + string(bytes.Repeat([]byte{'y'}, 100))}
	for n, want := range map[int]struct {
		established bool
		alert       string
	}{19: {false, "client encrypted"}, 53: {true, ""}} {
		for cut := 1; cut < 40; cut += 6 {
			end := record(n)
			pieces := []said{hello, answer, more, {true, end.bytes[:min(cut, len(end.bytes))]}, {true, end.bytes[min(cut, len(end.bytes)):]}}
			f := onlyFlows(t, run(conversation(newWire(t), 443, pieces, nil)...), 1)[0]
			if f.TLS == nil || f.TLS.Version != "1.3" || f.TLS.Established != want.established || f.TLS.Alert != want.alert {
				t.Errorf("%d bytes, cut at %d: %+v", n, cut, f.TLS)
			}
		}
	}
}

// TestServersDatagramThatWasCapturedFirstIsRead: captures of several processors swap packets of both directions.
func TestServersDatagramThatWasCapturedFirstIsRead(t *testing.T) {
	list, packets := payloads(t, "quic.pcap", 17, 443)
	want := onlyFlows(t, run(packets...), 1)[0]
	var early, late []tap.Packet
	for i, s := range list {
		if !s.client && len(early) < 3 {
			early = append(early, packets[i])
		} else {
			late = append(late, packets[i])
		}
	}
	packets = append(early, late...)
	got := onlyFlows(t, run(packets...), 1)[0]
	if got.TLS == nil || want.TLS.JA3S == "" || *got.TLS != *want.TLS || got.Src != want.Src {
		t.Errorf("%+v, want %+v", got.TLS, want.TLS)
	}
}

// TestRefusalWithoutItsQuestionBelongsToTheQuery: servers that do not want to talk answer with the header alone.
func TestRefusalWithoutItsQuestionBelongsToTheQuery(t *testing.T) {
	query := new(miekg.Msg).SetQuestion("www.partner.example.", miekg.TypeA)
	asked, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	refused := make([]byte, 12)
	binary.BigEndian.PutUint16(refused, query.Id)
	refused[2], refused[3] = 0x80, miekg.RcodeRefused
	w, c := newWire(t), &collector{}
	e := New(Config{Names: NewNames(64)}, c)
	for _, p := range []tap.Packet{w.datagram(true, 53, asked), w.datagram(false, 53, refused)} {
		e.Packet(&p)
	}
	e.Close()
	if len(c.dns) != 1 || c.dns[0].Name != "www.partner.example" || c.dns[0].RCode != "REFUSED" || c.dns[0].Latency == 0 {
		t.Errorf("%+v", c.dns)
	}
}

// TestTransportsBesideTCPAndUDPKeepTheirPorts: two conversations of UDP-Lite or SCTP between two hosts are two flows.
func TestTransportsBesideTCPAndUDPKeepTheirPorts(t *testing.T) {
	for proto, header := range map[uint8]int{132: 12, 136: 8} {
		c := &collector{}
		e := New(Config{}, c)
		for _, port := range []byte{1, 2} {
			b := make([]byte, 20+header+5)
			b[0], b[3], b[8], b[9] = 0x45, byte(len(b)), 64, proto
			copy(b[12:], []byte{10, 0, 0, 2, 203, 0, 113, 9, 0x40, port, 0x08, 0xae})
			feed(e, someTime, b)
		}
		e.Close()
		for i, f := range c.only(t, 2) {
			if f.Src.Port() != 0x4001+uint16(i) || f.Dst.Port() != 2222 || f.SrcBytes != 5 || f.Channel != "raw" {
				t.Errorf("protocol %d: %v → %v, %d bytes, channel %s", proto, f.Src, f.Dst, f.SrcBytes, f.Channel)
			}
		}
	}
}

// TestLinksThatAreNotKnownAreNamed: whoever captured on a radio must learn why there are no rows. A file that names all types takes no more than its share.
func TestLinksThatAreNotKnownAreNamed(t *testing.T) {
	e := New(Config{}, &collector{})
	for _, link := range []tap.LinkType{188, 188, 189} {
		e.Packet(&tap.Packet{Time: someTime, Data: make([]byte, 60), Length: 60, Link: link})
	}
	if why := e.Stats().Malformed; len(why) != 2 || why["link: type 188 not known"] != 2 || why["link: type 189 not known"] != 1 {
		t.Errorf("counted: %v", why)
	}
	for link := range tap.LinkType(1000) {
		e.Packet(&tap.Packet{Time: someTime, Data: make([]byte, 60), Length: 60, Link: 1000 + link})
	}
	if why := e.Stats().Malformed; len(why) != mostAlienLinks+1 {
		t.Errorf("%d kinds of damage are told apart, want %d", len(why), mostAlienLinks+1)
	}
}

// TestDTLSIsReadBehindManyProbes: browsers ask with STUN whether a way is open, over and over, before they encrypt on it.
func TestDTLSIsReadBehindManyProbes(t *testing.T) {
	list, _ := payloads(t, "dtls.pcap", 17, 4434)
	for _, probes := range []int{1, 9, 200} {
		w := newWire(t)
		var packets []tap.Packet
		for range probes {
			packets = append(packets, w.datagram(true, 5000, []byte("\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl")))
		}
		for _, s := range list {
			packets = append(packets, w.datagram(s.client, 5000, []byte(s.bytes)))
		}
		if f := onlyFlows(t, run(packets...), 1)[0]; f.Channel != "dtls" || f.TLS == nil || f.TLS.SNI == "" || f.TLS.Cipher == "" {
			t.Errorf("behind %d probes: channel %s, %+v", probes, f.Channel, f.TLS)
		}
	}
}

// TestSecondConnectionOfQUICOnThePortsOfTheFirstIsAnotherFlow: programs have many connections on one port, and the second one may call another name.
func TestSecondConnectionOfQUICOnThePortsOfTheFirstIsAnotherFlow(t *testing.T) {
	first, _ := payloads(t, "quic.pcap", 17, 443)
	second, _ := payloads(t, "quic2.pcap", 17, 443)
	for cut := 1; cut <= len(first); cut++ { // the first one ends somewhere
		w := newWire(t)
		c := &ended{}
		e := New(Config{}, c)
		answered := 0 // datagrams of the first connection up to the server's hello
		for i, s := range slices.Concat(first[:cut], second) {
			p := w.datagram(s.client, 443, []byte(s.bytes))
			e.Packet(&p)
			if i < cut && answered == 0 && len(c.open) == 1 && c.open[0].TLS != nil && c.open[0].TLS.Cipher != "" {
				answered = i + 1
			}
		}
		e.Close()
		if answered == 0 {
			continue // nobody can tell it from a connection that was begun anew
		}
		if len(c.names) != 2 || c.names[0] != "www.partner.example" || c.names[1] != "v2.partner.example" || c.packets[0] != uint64(cut) {
			t.Errorf("%d datagrams of the first: names %q, datagrams %d", cut, c.names, c.packets)
		}
	}
}

// ended notes flows at their end: what they point to is used again.
type ended struct {
	collector
	open    []*Flow
	names   []string
	packets []uint64
}

func (c *ended) FlowOpened(f *Flow) { c.open = append(c.open, f) }

func (c *ended) FlowClosed(f *Flow) {
	c.names, c.packets = append(c.names, f.TLS.SNI), append(c.packets, f.SrcPackets+f.DstPackets)
}

// TestSecondHandshakeOfDTLSOnThePortsOfTheFirstIsAnotherFlow: a client that forgot everything begins anew on its port; a hello that is sent again begins nothing.
func TestSecondHandshakeOfDTLSOnThePortsOfTheFirstIsAnotherFlow(t *testing.T) {
	first, _ := payloads(t, "dtls.pcap", 17, 4434)
	second, _ := payloads(t, "dtls.pcap", 17, 4435)
	w := newWire(t)
	var list []tap.Packet
	for _, s := range slices.Concat(first, first[:1], second) {
		list = append(list, w.datagram(s.client, 5000, []byte(s.bytes)))
	}
	flows := run(list...)
	if len(flows) != 2 || flows[0].SrcPackets+flows[0].DstPackets != uint64(len(first)+1) || flows[1].SrcPackets+flows[1].DstPackets != uint64(len(second)) {
		t.Errorf("%+v, want %d and %d datagrams", flows, len(first)+1, len(second))
	}
}

// TestDirectionsOfATunnelAreOneFlow: both ends of L2TP, PPTP, GTP-U and MPLS choose numbers of their own for what is sent to them.
func TestDirectionsOfATunnelAreOneFlow(t *testing.T) {
	w := newWire(t)
	inside := func(up bool, flags string) []byte { return w.tcp(up, 100, 501, flags, nil).Data[14:] }
	for name, wrap := range map[string]func(up bool, number byte, packet []byte) tap.Packet{
		"L2TP": func(up bool, number byte, packet []byte) tap.Packet {
			return w.datagram(up, 1701, slices.Concat([]byte{0x00, 0x02, 0, number, 0, number + 1, 0xff, 0x03, 0x00, 0x21}, packet))
		},
		"PPTP": func(up bool, number byte, packet []byte) tap.Packet {
			return w.tunnelled(up, layers.IPProtocolGRE, slices.Concat([]byte{0x30, 0x01, 0x88, 0x0b, 0, byte(len(packet) + 1), 0, number, 0, 0, 0, 1, 0x21}, packet))
		},
		"GTP-U": func(up bool, number byte, packet []byte) tap.Packet {
			w := *w
			w.cport = 2152 // whatever carries packets goes there
			return w.datagram(up, 2152, slices.Concat([]byte{0x30, 255, 0, byte(len(packet)), 0, 0, 0, number}, packet))
		},
		"GRE": func(up bool, _ byte, packet []byte) tap.Packet {
			return w.tunnelled(up, layers.IPProtocolGRE, slices.Concat([]byte{0x20, 0, 8, 0, 0, 0, 0, 9}, packet))
		},
	} {
		list := []tap.Packet{wrap(true, 7, inside(true, "S")), wrap(false, 40, inside(false, "SA"))}
		if flows := run(list...); len(flows) != 1 || flows[0].DstPackets != 1 || flows[0].Tunnel == nil {
			t.Errorf("%s: %+v", name, flows)
		}
	}
}

// tunnelled is a packet of an IP protocol between the two ends.
func (w *wire) tunnelled(fromClient bool, proto layers.IPProtocol, payload []byte) tap.Packet {
	w.t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: w.client, DstIP: w.server}
	if !fromClient {
		ip.SrcIP, ip.DstIP = ip.DstIP, ip.SrcIP
	}
	return w.frame(ip, gopacket.Payload(payload))
}

// TestServerIsKnownInTheMiddleOfAConnection: by what it says, and by its port when one of the two is a client's.
func TestServerIsKnownInTheMiddleOfAConnection(t *testing.T) {
	hello := []byte("\x16\x03\x03\x00\x5a\x02\x00\x00\x56\x03\x03")
	for _, c := range []struct {
		client, server uint16
		fromClient     bool
		payload        []byte
	}{
		{40000, 4501, false, nil},
		{40000, 4501, true, nil},
		{40000, 50000, false, hello},
		{3000, 40000, false, hello},
		{50000, 40000, false, []byte("HTTP/1.1 200 OK\r\n\r\n")},
		{443, 40000, true, []byte("GET / HTTP/1.1\r\n\r\n")},
		{3000, 40000, true, clientHello(t)},
		{40000, 443, false, nil},
		{20000, 8069, true, nil},
	} {
		w := newWire(t)
		w.cport, w.sport = c.client, c.server
		if f := onlyFlows(t, run(w.tcp(c.fromClient, 100, 200, "A", c.payload)), 1)[0]; f.Src.Port() != c.client || !f.MidStream {
			t.Errorf("%d → %d, want the client at %d", f.Src.Port(), f.Dst.Port(), c.client)
		}
	}
}

// resumptions notes for each server's port whether a session was resumed there.
type resumptions struct {
	collector
	ports map[uint16]bool
}

func (r *resumptions) FlowClosed(f *Flow) {
	if f.TLS != nil && f.TLS.Version == "1.3" {
		r.ports[f.Dst.Port()] = r.ports[f.Dst.Port()] || f.TLS.Resumed
	}
}

// TestKeyThatWasAgreedOnIsNoResumption: the same extension says both; a session's ticket has an age.
func TestKeyThatWasAgreedOnIsNoResumption(t *testing.T) {
	r := &resumptions{ports: map[uint16]bool{}}
	for _, name := range []string{"stacks.pcap", "tls2.pcap"} {
		e := New(Config{Names: NewNames(64)}, r)
		for _, p := range capture(t, name) {
			e.Packet(&p)
		}
		e.Close()
	}
	if _, seen := r.ports[4514]; !seen || r.ports[4514] || !r.ports[4511] || !r.ports[4439] { // gnutls-cli --pskkey, tickets, tickets
		t.Errorf("resumed by port: %v", r.ports)
	}
}

// TestAnswersOfICMPAloneAreTheirRequests: whatever of an echo the capture begins with, or has, it is one flow between the same ends with the same Community ID.
func TestAnswersOfICMPAloneAreTheirRequests(t *testing.T) {
	w := newWire(t)
	for _, c := range []struct {
		proto           layers.IPProtocol
		request, answer uint8
	}{{layers.IPProtocolICMPv4, 8, 0}, {layers.IPProtocolICMPv6, 128, 129}} {
		request, answer := w.tunnelled(true, c.proto, []byte{c.request, 0, 0, 0, 1, 2, 0, 1}), w.tunnelled(false, c.proto, []byte{c.answer, 0, 0, 0, 1, 2, 0, 1})
		ask := onlyFlows(t, run(request, answer), 1)[0]
		for name, list := range map[string][]tap.Packet{"answer": {answer}, "answer first": {answer, request, answer}} {
			f := onlyFlows(t, run(list...), 1)[0]
			want := c.request
			if len(list) == 1 {
				want = c.answer
			}
			kind, code := icmpTypeCode(&f)
			if f.Src.Addr() != ask.Src.Addr() || string(f.AppendCommunityID(nil)) != string(ask.AppendCommunityID(nil)) || kind != want || code != 0 {
				t.Errorf("%s of %s: %s → %s, type %d code %d, %s; asked: %s, %s", name, c.proto, f.Src, f.Dst, kind, code, f.AppendCommunityID(nil), ask.Src, ask.AppendCommunityID(nil))
			}
		}
	}
}
