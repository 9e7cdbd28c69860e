package tap

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestABurstWaitsInTheRing sends many frames while nobody reads: all of them are there afterwards.
func TestABurstWaitsInTheRing(t *testing.T) {
	needRoot(t)
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.LocalAddr().String())
	s, err := OpenLive(LiveConfig{Iface: "lo", Filter: "udp dst port " + port})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	client, err := net.Dial("udp4", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const n = 20000
	long := bytes.Repeat([]byte{'l'}, 30000)
	for i := range uint32(n) {
		text := binary.BigEndian.AppendUint32(nil, i)
		if i%1000 == 0 {
			text = append(text, long...)
		}
		if _, err := client.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	const headers = 14 + 20 + 8
	var p Packet
	for i := range uint32(n) {
		if err := s.Next(t.Context(), &p); err != nil {
			t.Fatalf("frame %d: %v; %+v", i, err, s.Stats())
		}
		if got := binary.BigEndian.Uint32(p.Data[headers:]); got != i {
			t.Fatalf("frame %d came as frame %d", got, i)
		}
		if want := headers + 4 + len(long); i%1000 == 0 && (len(p.Data) != want || p.Length != want || !bytes.Equal(p.Data[headers+4:], long)) {
			t.Fatalf("frame %d has %d of %d bytes, want %d", i, len(p.Data), p.Length, want)
		}
	}
	if st := s.Stats(); st.KernelDropped != 0 || st.Truncated != 0 {
		t.Errorf("%+v", st)
	}
}

// twoHosts makes two namespaces, joined by a wire, and returns their paths.
func twoHosts(t *testing.T) (left, right string) {
	t.Helper()
	names := [2]string{fmt.Sprintf("tapl%d", time.Now().UnixNano()%1e9), fmt.Sprintf("tapr%d", time.Now().UnixNano()%1e9)}
	ip := func(args string) {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v %s", args, err, out)
		}
	}
	for _, name := range names {
		ip("netns add " + name)
		t.Cleanup(func() { ip("netns delete " + name) })
	}
	ip("-n " + names[0] + " link add wire type veth peer name wire netns " + names[1])
	for i, name := range names {
		ip(fmt.Sprintf("-n %s address add 10.7.0.%d/24 dev wire", name, i+1))
		ip("-n " + name + " link set wire mtu 9000 up")
	}
	return "/run/netns/" + names[0], "/run/netns/" + names[1]
}

// TestTheTagsOfAVLANAreWhereTheyWere sends frames with a tag: the kernel takes it out of each before it hands the frame over. The longer one does not fit into a slot of the ring.
func TestTheTagsOfAVLANAreWhereTheyWere(t *testing.T) {
	needRoot(t)
	left, right := twoHosts(t)
	for _, ring := range []bool{false, true} {
		s, err := OpenLive(LiveConfig{Iface: "wire", NetNS: right, Ring: ring, Filter: "vlan 7"})
		if err != nil {
			t.Fatal(err)
		}
		for _, length := range []int{60, 1514, 2100, 9014} {
			frame := append([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x81\x00\x60\x07\x08\x00"), bytes.Repeat([]byte{byte(length)}, length-18)...)
			transmit(t, left, frame)
			var p Packet
			for err = ErrIdle; errors.Is(err, ErrIdle); {
				err = s.Next(t.Context(), &p)
			}
			if err != nil || !bytes.Equal(p.Data, frame) || p.Length != len(frame) {
				t.Errorf("ring %t: %d bytes of %d, want %d, %v; % x", ring, len(p.Data), p.Length, len(frame), err, p.Data[:min(len(p.Data), 24)])
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestNothingComesThatTheFilterExcludes opens a capture while other frames come all the time.
func TestNothingComesThatTheFilterExcludes(t *testing.T) {
	needRoot(t)
	left, right := twoHosts(t)
	ctx, stop := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	sending.Go(func() {
		for ctx.Err() == nil {
			transmit(t, left, append([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x08\x00"), make([]byte, 60)...))
		}
	})
	defer sending.Wait()
	defer stop()
	for _, ring := range []bool{false, true} {
		for range 20 {
			s, err := OpenLive(LiveConfig{Iface: "wire", NetNS: right, Ring: ring, Filter: "vlan 7"})
			if err != nil {
				t.Fatal(err)
			}
			var p Packet
			if err := s.Next(t.Context(), &p); !errors.Is(err, ErrIdle) {
				t.Errorf("ring %t: %d bytes, %v; % x", ring, len(p.Data), err, p.Data[:min(len(p.Data), 24)])
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// transmit sends a frame as it is.
func transmit(t *testing.T, host string, frame []byte) {
	t.Helper()
	err := InNamespace(host, func() error {
		i, err := net.InterfaceByName("wire")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return errors.Join(unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: i.Index}), unix.Close(fd))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFramesOfSegmentationOffloadAreWhole sends a stream, whose frames are many segments long on this wire: longer than the slots of the ring.
func TestFramesOfSegmentationOffloadAreWhole(t *testing.T) {
	needRoot(t)
	left, right := twoHosts(t)
	s, err := OpenLive(LiveConfig{Iface: "wire", NetNS: right, Filter: "tcp and src host 10.7.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sent := make([]byte, 4<<20)
	for i := range sent {
		sent[i] = byte(i >> 8 * i)
	}
	stream(t, left, right, sent)
	got, seen, first, longest := make([]byte, len(sent)), make([]bool, len(sent)), uint32(0), 0
	for missing := len(sent); missing > 0; {
		var p Packet
		if err := s.Next(t.Context(), &p); err != nil {
			t.Fatalf("%d bytes are missing: %v; %+v", missing, err, s.Stats())
		}
		if p.Length != len(p.Data) {
			t.Fatalf("%d of %d bytes", len(p.Data), p.Length)
		}
		const tcp = 14 + 20
		number, offset := binary.BigEndian.Uint32(p.Data[tcp+4:]), int(p.Data[tcp+12]>>4)*4
		if p.Data[tcp+13]&2 != 0 { // SYN
			first = number + 1
			continue
		}
		payload := p.Data[tcp+offset:]
		if at := int(number - first); len(payload) > 0 && at+len(payload) <= len(got) {
			copy(got[at:], payload)
			for i := range payload { // some may be sent again
				if !seen[at+i] {
					seen[at+i] = true
					missing--
				}
			}
		}
		longest = max(longest, len(p.Data))
	}
	if !bytes.Equal(got, sent) || longest <= 9014 {
		t.Errorf("the stream is not what was sent, or its longest frame has only %d bytes", longest)
	}
}

// stream sends bytes from one host to the other.
func stream(t *testing.T, left, right string, sent []byte) {
	t.Helper()
	var l net.Listener
	if err := InNamespace(right, func() (err error) { l, err = net.Listen("tcp4", "10.7.0.2:0"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = io.CopyN(io.Discard, conn, int64(len(sent)))
			err = errors.Join(err, conn.Close())
		}
		taken <- err
	}()
	var conn net.Conn
	if err := InNamespace(left, func() (err error) { conn, err = net.Dial("tcp4", l.Addr().String()); return err }); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Write(sent)
	if err := errors.Join(err, <-taken, conn.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestADeletedInterfaceEndsItsCapture: it is taken down first, and who waits for frames hears of that before it is gone.
func TestADeletedInterfaceEndsItsCapture(t *testing.T) {
	needRoot(t)
	for range 10 {
		_, right := twoHosts(t)
		s, err := OpenLive(LiveConfig{Iface: "wire", NetNS: right})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var gone *InterfaceError
			err := ErrIdle
			for err == nil || errors.Is(err, ErrIdle) {
				err = s.Next(ctx, &Packet{})
			}
			if errors.As(err, &gone) {
				err = nil
			}
			ended <- err
		}()
		time.Sleep(20 * time.Millisecond) // it waits
		if out, err := exec.Command("ip", "-n", strings.TrimPrefix(right, "/run/netns/"), "link", "delete", "wire").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnInterfaceThatWasDownIsReadOn takes an interface down and up again, and then away.
func TestAnInterfaceThatWasDownIsReadOn(t *testing.T) {
	needRoot(t)
	left, right := twoHosts(t)
	s, err := OpenLive(LiveConfig{Iface: "wire", NetNS: right, Filter: "tcp"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	link := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", append([]string{"-n", strings.TrimPrefix(right, "/run/netns/"), "link"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	var p Packet
	link("set", "wire", "down")
	for range 2 {
		if err := s.Next(t.Context(), &p); !errors.Is(err, ErrIdle) {
			t.Fatalf("an interface that is down: %v", err)
		}
	}
	if _, err := OpenLive(LiveConfig{Iface: "wire", NetNS: right}); !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("a capture that begins on an interface that is down: %v", err)
	}
	link("set", "wire", "up")
	stream(t, left, right, []byte("again"))
	if err := s.Next(t.Context(), &p); err != nil || p.Data[14+20+13]&2 == 0 { // SYN
		t.Errorf("after it came up again: %v, % x, %+v", err, p.Data, s.Stats())
	}
	link("delete", "wire")
	var gone *InterfaceError
	for deadline := time.Now().Add(10 * time.Second); !errors.As(err, &gone) && time.Now().Before(deadline); {
		err = s.Next(t.Context(), &p)
	}
	if gone == nil || s.Stats().InterfaceUp || s.Stats().InterfaceLost != 1 {
		t.Errorf("an interface that is gone: %v, %+v", err, s.Stats())
	}
}
