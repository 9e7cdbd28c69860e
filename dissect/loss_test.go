package dissect

import (
	"slices"
	"testing"

	"netaudit/tap"
	"netaudit/tap/decode"
)

// TestHandshakeGoesOnBehindAHole: of real handshakes one frame after the other is lost. What the others say stays, and whether the handshake succeeded.
func TestHandshakeGoesOnBehindAHole(t *testing.T) {
	for _, name := range []string{"tls.pcap", "curl.pcap"} {
		frames := capture(t, name)
		whole := handshakes(frames)
		for i, p := range frames {
			var h decode.Headers
			if decode.Decode(p.Link, p.Data, p.Length, &h) != nil || h.Proto != decode.ProtoTCP || h.PayloadLength == 0 {
				continue
			}
			port := max(h.SrcPort, h.DstPort)
			hello := h.Payload[0] == recordHandshake && h.Payload[recordHeader] <= 2
			want, got := whole[port], handshakes(slices.Delete(slices.Clone(frames), i, i+1))[port]
			if !want.Established || want.EarlyData { // without the server's hello nobody can tell early data from later data
				continue
			}
			if !got.Established {
				t.Errorf("%s without frame %d (%x…): not established", name, i+1, h.Payload[:min(6, len(h.Payload))])
			}
			if !hello && (got.Cipher != want.Cipher || got.JA3S != want.JA3S || got.SNI != want.SNI || got.JA4 != want.JA4 || got.Alert != want.Alert) {
				t.Errorf("%s without frame %d: %+v, want %+v", name, i+1, got, want)
			}
		}
	}
}

// handshakes are what the TLS connections of some frames say, by the client's port.
func handshakes(frames []tap.Packet) map[uint16]TLS {
	said := map[uint16]TLS{}
	for _, f := range run(frames...) {
		if f.TLS != nil {
			said[f.Src.Port()] = *f.TLS
		}
	}
	return said
}

// TestHelloInADialogueIsReadBehindAHole: of dialogues that turn to TLS one frame after the other is lost.
func TestHelloInADialogueIsReadBehindAHole(t *testing.T) {
	tried := map[string]bool{}
	for _, name := range []string{"starttls.pcap", "mail.pcap", "databases.pcap", "ldap.pcap", "xmpp.pcap", "proxy.pcap"} {
		frames := capture(t, name)
		whole := handshakes(frames)
		for i, p := range frames {
			var h decode.Headers
			if decode.Decode(p.Link, p.Data, p.Length, &h) != nil || h.Proto != decode.ProtoTCP || h.PayloadLength == 0 || isClientHello(h.Payload) {
				continue
			}
			want, ok := whole[h.SrcPort]
			if !ok {
				want, ok = whole[h.DstPort]
			}
			got := handshakes(slices.Delete(slices.Clone(frames), i, i+1))
			if one, there := got[max(h.SrcPort, h.DstPort)]; ok && (!there || one.JA3 != want.JA3 || one.SNI != want.SNI) {
				t.Errorf("%s without frame %d (%q): %+v, want %+v", name, i+1, h.Payload[:min(20, len(h.Payload))], one, want)
			}
			tried[want.StartTLS] = true
		}
	}
	if len(tried) < 6 {
		t.Errorf("tried %v", tried)
	}
}

// TestBytesThatOnlyNumbersTellAreMissed: what was lost at the end of a stream shows in the numbers of what follows, and in what the other side acknowledges. A reset's text is sent, too.
func TestBytesThatOnlyNumbersTellAreMissed(t *testing.T) {
	w := newWire(t)
	begin := []tap.Packet{w.tcp(true, 100, 0, "S", nil), w.tcp(false, 500, 101, "SA", nil), w.tcp(true, 101, 501, "A", nil)}
	for name, c := range map[string]struct {
		then             []tap.Packet
		sent, got, holes uint64
		history          string
	}{
		"FIN":                         {[]tap.Packet{w.tcp(true, 101, 501, "PA", []byte("hello")), w.tcp(false, 701, 106, "FA", nil), w.tcp(true, 106, 702, "FA", nil), w.tcp(false, 702, 107, "A", nil)}, 5, 0, 200, "ShADfFga"},
		"acknowledgement alone":       {[]tap.Packet{w.tcp(true, 101, 501, "A", nil), w.tcp(true, 101, 901, "A", nil)}, 0, 0, 400, "ShAg"},
		"acknowledged FIN":            {[]tap.Packet{w.tcp(true, 101, 501, "FA", nil), w.tcp(false, 501, 102, "FA", nil), w.tcp(true, 102, 502, "A", nil)}, 0, 0, 0, "ShAFf"},
		"acknowledged before":         {[]tap.Packet{w.tcp(false, 501, 151, "A", nil), w.tcp(true, 101, 501, "PA", make([]byte, 50))}, 50, 0, 0, "ShAaD"},
		"filled behind the number":    {[]tap.Packet{w.tcp(true, 151, 501, "A", nil), w.tcp(true, 101, 501, "PA", make([]byte, 50))}, 50, 0, 0, "ShAD"},
		"number that nobody believes": {[]tap.Packet{w.tcp(false, 501, 1<<31, "A", nil)}, 0, 0, 0, "ShAa"},
		"reset with a text":           {[]tap.Packet{w.tcp(false, 501, 101, "RA", []byte("no socket")), w.tcp(false, 501, 101, "RA", []byte("no socket"))}, 0, 9, 0, "ShAr"},
	} {
		f := onlyFlows(t, run(append(slices.Clone(begin), c.then...)...), 1)[0]
		if f.SrcBytes != c.sent || f.DstBytes != c.got || f.MissedBytes != c.holes || f.History != c.history {
			t.Errorf("%s: %d and %d bytes, %d missed, %s; want %d, %d, %d, %s", name, f.SrcBytes, f.DstBytes, f.MissedBytes, f.History, c.sent, c.got, c.holes, c.history)
		}
	}
}
