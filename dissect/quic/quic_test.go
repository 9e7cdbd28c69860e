package quic

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	quicgo "github.com/quic-go/quic-go"

	hello "netaudit/dissect/tls"
)

// TestKeysAreThoseOfTheSpecification checks against RFC 9001 appendix A.1 and RFC 9369 appendix A.1.
func TestKeysAreThoseOfTheSpecification(t *testing.T) {
	dcid, _ := hex.DecodeString("8394c8f03e515708")
	for version, want := range map[uint32][2]string{
		version1: {"fa044b2f42a3fd3b46fb255c", "0ac1493ca1905853b0bba03e"},
		version2: {"91f73e2351d8fa91660e909f", "684d5d4b52a9e7d0a3cf5d8f"},
		draft23:  {"8681359410a70bb9c92f0420"}, facebook27: {"8681359410a70bb9c92f0420"}, draft29: {"6b26114b9cba2b63a9e8dd4f"}, draft33: {"fa044b2f42a3fd3b46fb255c"},
		draft22: {"fb33da41a8f297d482df670e"}, facebook22: {"fb33da41a8f297d482df670e"}, facebookTrial: {"8681359410a70bb9c92f0420"}, // with these tshark 4.0 reads the same packets
	} {
		client, server, err := initialKeys(version, dcid)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(client.iv[:]); got != want[0] {
			t.Errorf("version %x: client iv %s, want %s", version, got, want[0])
		}
		if version == version1 {
			if got := hex.EncodeToString(server.iv[:]); got != want[1] {
				t.Errorf("server iv %s, want %s", got, want[1])
			}
		}
	}
}

// datagram is what passed on the wire, and who sent it.
type datagram struct {
	side int
	data []byte
}

// converse lets a real client and a real server shake hands through a relay that keeps every datagram.
func converse(t *testing.T, version quicgo.Version, alpn string, retry bool) []datagram {
	t.Helper()
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	transport := &quicgo.Transport{Conn: server, VerifySourceAddress: func(net.Addr) bool { return retry }}
	listener, err := transport.Listen(&tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{alpn}}, &quicgo.Config{Versions: []quicgo.Version{version}})
	if err != nil {
		t.Fatal(err)
	}
	relay := newRelay(t, server.LocalAddr().(*net.UDPAddr))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := quicgo.DialAddr(ctx, relay.address(), &tls.Config{ServerName: "upload.mit-odoo.de", NextProtos: []string{alpn}, InsecureSkipVerify: true}, &quicgo.Config{Versions: []quicgo.Version{version}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWithError(0, ""); err != nil {
		t.Error(err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	if err := transport.Close(); err != nil {
		t.Error(err)
	}
	_ = server.Close()
	return relay.stop()
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// relay passes datagrams on and keeps a copy of each.
type relay struct {
	front, back *net.UDPConn
	mu          sync.Mutex
	client      net.Addr
	passed      []datagram
	done        sync.WaitGroup
}

func newRelay(t *testing.T, server *net.UDPAddr) *relay {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp4", nil, server)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{front: front, back: back}
	r.done.Go(func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := front.ReadFrom(buffer)
			if err != nil {
				return
			}
			r.keep(Client, buffer[:n], from)
			_, _ = back.Write(buffer[:n])
		}
	})
	r.done.Go(func() {
		buffer := make([]byte, 2048)
		for {
			n, err := back.Read(buffer)
			if err != nil {
				return
			}
			_, _ = front.WriteTo(buffer[:n], r.keep(Server, buffer[:n], nil))
		}
	})
	return r
}

func (r *relay) keep(side int, data []byte, from net.Addr) net.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if from != nil {
		r.client = from
	}
	r.passed = append(r.passed, datagram{side, bytes.Clone(data)})
	return r.client
}

func (r *relay) address() string { return r.front.LocalAddr().String() }

func (r *relay) stop() []datagram {
	_ = r.front.Close()
	_ = r.back.Close()
	r.done.Wait()
	return r.passed
}

func TestHellosOfRealConnectionsAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		version quicgo.Version
		retry   bool
	}{"v1": {quicgo.Version1, false}, "v2": {quicgo.Version2, false}, "v1 retry": {quicgo.Version1, true}, "v2 retry": {quicgo.Version2, true}} {
		t.Run(name, func(t *testing.T) {
			var q Connection
			for _, d := range converse(t, c.version, "h3", c.retry) {
				_ = q.Datagram(d.side, d.data) // Handshake packets and later ones are out of reach
			}
			message := q.Handshake(Client)
			if len(message) < 4 {
				t.Fatal("no ClientHello")
			}
			var h hello.ClientHello
			err := h.Parse(message[4:])
			if err != nil || string(h.ServerName) != "upload.mit-odoo.de" || len(h.ALPN) != 1 || string(h.ALPN[0]) != "h3" {
				t.Errorf("hello %+v, error %v", h, err)
			}
			answer := q.Handshake(Server)
			if len(answer) < 4 {
				t.Fatal("no ServerHello")
			}
			var s hello.ServerHello
			err = s.Parse(answer[4 : 4+int(answer[1])<<16+int(answer[2])<<8+int(answer[3])])
			if err != nil || s.Version != 0x0304 {
				t.Errorf("server hello %+v, error %v", s, err)
			}
		})
	}
}

func TestPiecesComeInAnyOrder(t *testing.T) {
	text := []byte("the hello that a client cuts and shuffles")
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}, {1, 1, 3, 0, 2}} {
		var s stream
		for _, i := range order {
			from := max(0, i*10-3) // they overlap
			to := i*10 + 10
			if i == 3 {
				to = len(text)
			}
			s.add(uint64(from), text[from:to])
		}
		if !bytes.Equal(s.whole, text) {
			t.Errorf("order %v gives %q", order, s.whole)
		}
	}
	var s stream
	s.add(1<<40, text)
	s.add(MaxCrypto-1, text)
	for i := range 1000 {
		s.add(uint64(100+2*i), text[:1])
	}
	if len(s.pieces) > mostPieces {
		t.Errorf("%d pieces wait, the bound is %d", len(s.pieces), mostPieces)
	}
}

// FuzzDatagram: hostile datagrams neither crash nor grow without bound. What is fuzzed lies also behind the protection: the seed's payload is
// opened, changed and read as frames.
func FuzzDatagram(f *testing.F) {
	for _, version := range []uint32{version1, version2, draft23, draft29, draft34, draft22, facebook27, googleT050, googleT051} {
		initial := binary.BigEndian.AppendUint32([]byte{0xc0}, version)
		f.Add(append(initial, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x41, 0, 1, 2, 3, 4), []byte{6, 0, 5, 'h', 'e', 'l', 'l', 'o', 2, 0, 0, 0, 0})
	}
	f.Add([]byte{0xc0}, []byte{0x65, 1, 2, 0, 0, 2, 0, 9, 1, 0, 8, 1, 0, 8, 2, 7, 0, 0, 0, 0, 1, 0, 0, 8, 0, 5, 'h', 'e', 'l', 'l', 'o', 7, 0})
	f.Fuzz(func(t *testing.T, packet, frames []byte) {
		var c Connection
		_ = c.Datagram(Client, packet)
		_ = c.Datagram(Server, packet)
		_ = c.frames(Client, frames)
		_ = c.googleFrames(Client, frames)
		if len(c.Handshake(Client)) > MaxCrypto || len(c.crypto[Client].pieces) > mostPieces {
			t.Errorf("%d bytes and %d pieces", len(c.Handshake(Client)), len(c.crypto[Client].pieces))
		}
	})
}

// TestServersUpgradeIsRead: a server may answer in a compatible version. Its keys come from that version and the client's id (RFC 9369 §4.1).
func TestServersUpgradeIsRead(t *testing.T) {
	passed := converse(t, quicgo.Version1, "h3", false)
	var plain Connection
	for _, d := range passed {
		_ = plain.Datagram(d.side, d.data)
	}
	want := bytes.Clone(plain.Handshake(Server))
	_, keys, err := initialKeys(version2, plain.dcid)
	if err != nil || len(want) == 0 {
		t.Fatalf("%d bytes of the server, error %v", len(want), err)
	}
	for _, wrong := range []bool{false, true} {
		var c Connection
		for _, d := range passed {
			if d.side == Client {
				_ = c.Datagram(Client, d.data)
			}
		}
		upgraded := sealed(keys, version2, want)
		if wrong {
			upgraded[len(upgraded)-1] ^= 1
		}
		if err := c.Datagram(Server, upgraded); (err != nil) != wrong || bytes.Equal(c.Handshake(Server), want) == wrong {
			t.Errorf("damaged %v: error %v, %d bytes, want %d", wrong, err, len(c.Handshake(Server)), len(want))
		}
	}
}

// sealed is an Initial packet with one CRYPTO frame, sealed as RFC 9001 §5 says.
func sealed(p *protection, version uint32, crypto []byte) []byte {
	frame := append([]byte{0x06, 0, 0x40 | byte(len(crypto)>>8), byte(len(crypto))}, crypto...)
	length := 1 + len(frame) + p.aead.Overhead() // a packet number of one byte
	packet := binary.BigEndian.AppendUint32([]byte{0xd0}, version)
	packet = append(packet, 0, 4, 's', 'r', 'v', '1', 0, 0x40|byte(length>>8), byte(length), 0)
	number := len(packet) - 1
	packet = p.aead.Seal(packet, p.iv[:], frame, packet)
	var mask [16]byte
	p.header.Encrypt(mask[:], packet[number+4:number+20])
	packet[0] ^= mask[0] & 0x0f
	packet[number] ^= mask[1]
	return packet
}

// TestGooglesFramesAreRead reads hellos in Google's own frames, sealed with the keys of its versions. tshark 4.0 reads the same packets.
func TestGooglesFramesAreRead(t *testing.T) {
	hello := []byte("the hello of a client")
	crypto := append([]byte{0x08, 0, byte(len(hello))}, hello...)
	for _, version := range []uint32{googleT050, googleT051} {
		for _, c := range []struct {
			what   string
			before []byte
			whole  bool
		}{
			{"nothing", nil, true},
			{"padding and a ping", []byte{0, 0, 7}, true},
			{"an acknowledgement of one block", []byte{0x40, 1, 0, 0, 1, 0}, true},
			{"one of three blocks, of long numbers, with two times", []byte{0x65, 0, 9, 0, 0, 2, 0, 1, 1, 0, 2, 1, 0, 3, 2, 1, 0, 0, 0, 5, 1, 0, 5}, true},
			{"the end", []byte{0x02, 0, 0, 0, 1, 0, 0}, false},
			{"an unknown frame", []byte{0x1f}, false},
		} {
			dcid := []byte("whatever")
			keys, _, err := initialKeys(version, dcid)
			if err != nil {
				t.Fatal(err)
			}
			var got Connection
			err = got.Datagram(Client, initial(keys, version, dcid, append(c.before, crypto...)))
			if whole := bytes.Equal(got.Handshake(Client), hello); whole != c.whole || c.whole && err != nil {
				t.Errorf("version %x behind %s: %q, error %v", version, c.what, got.Handshake(Client), err)
			}
		}
	}
}

// initial is a client's Initial packet, sealed as RFC 9001 §5 says, with a packet number of one byte and at least enough padding for the sample.
func initial(p *protection, version uint32, dcid, frames []byte) []byte {
	frames = append(frames, make([]byte, 20)...)
	length := 1 + len(frames) + p.aead.Overhead()
	packet := binary.BigEndian.AppendUint32([]byte{0xc0}, version)
	packet = append(append(packet, byte(len(dcid))), dcid...)
	packet = append(packet, 0, 0, 0x40|byte(length>>8), byte(length), 0)
	number := len(packet) - 1
	packet = p.aead.Seal(packet, p.iv[:], frames, packet)
	var mask [16]byte
	p.header.Encrypt(mask[:], packet[number+4:number+20])
	packet[0] ^= mask[0] & 0x0f
	packet[number] ^= mask[1]
	return packet
}
