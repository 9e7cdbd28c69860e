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
