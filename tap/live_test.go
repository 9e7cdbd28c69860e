package tap

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// needRoot fails in CI and skips on a developer's machine: capturing needs CAP_NET_RAW.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root to capture; CI must run as root")
	}
	t.Skip("needs root to capture: run make test")
}

func TestLiveCaptureSeesEveryDatagramThatTheFilterLets(t *testing.T) {
	needRoot(t)
	defer goleak.VerifyNone(t)
	for name, how := range map[string]struct {
		iface string
		link  LinkType
		ring  bool
	}{"lo": {"lo", LinkEthernet, false}, "any": {"any", LinkLinuxSLL2, false}, "ring": {"lo", LinkEthernet, true}} {
		iface := how.iface
		server, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(server.LocalAddr().String())
		s, err := OpenLive(LiveConfig{Iface: iface, Ring: how.ring, Filter: "udp and dst port " + port})
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("udp4", server.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		other, err := net.Dial("udp4", "127.0.0.1:9") // the filter keeps it out
		if err != nil {
			t.Fatal(err)
		}
		const n = 50
		for i := range n {
			if _, err := client.Write([]byte{'n', byte(i)}); err != nil {
				t.Fatal(err)
			}
			_, _ = other.Write([]byte("no")) // refused from the second one on: nobody listens there
		}
		got := make([]int, n)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		for seen := 0; seen < n; {
			var p Packet
			err := s.Next(ctx, &p)
			if errors.Is(err, ErrIdle) {
				continue
			}
			if err != nil {
				t.Fatalf("%s: after %d datagrams: %v", iface, seen, err)
			}
			if p.Link != how.link || p.Iface != "lo" || p.Data[len(p.Data)-2] != 'n' || time.Since(time.Unix(0, p.Time)) > time.Minute {
				t.Fatalf("%s: packet %+v", iface, p)
			}
			if i := p.Data[len(p.Data)-1]; got[i] == 0 {
				seen++
			}
			got[p.Data[len(p.Data)-1]]++
		}
		if name != "any" && slices.Max(got) > 1 {
			t.Errorf("%s: a datagram came more than once: %v", name, got)
		}
		if st := s.Stats(); st.Packets < n || st.KernelDropped != 0 || !st.InterfaceUp {
			t.Errorf("%s: %+v", iface, st)
		}
		cancel()
		if err := s.Next(ctx, &Packet{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v after the context ended", iface, err)
		}
		if err := errors.Join(s.Close(), s.Close(), client.Close(), other.Close(), server.Close()); err != nil {
			t.Error(err)
		}
		if err := s.Next(t.Context(), &Packet{}); !errors.Is(err, io.EOF) {
			t.Errorf("%s: error %v after Close, want io.EOF", iface, err)
		}
	}
}

func TestWorkersShareTheFramesAndAFlowMeetsOneOfThem(t *testing.T) {
	needRoot(t)
	defer goleak.VerifyNone(t)
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.LocalAddr().String())
	const workers, flows, each = 3, 60, 5
	var sources [workers]Source
	for i := range sources {
		if sources[i], err = OpenLive(LiveConfig{Iface: "lo", Ring: true, Fanout: 4711, Filter: "udp and port " + port}); err != nil {
			t.Fatal(err)
		}
		defer sources[i].Close()
	}
	var mu sync.Mutex
	met := map[uint16]map[int]int{} // client port → worker → frames
	total := 0
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for i, s := range sources {
		readers.Go(func() {
			for {
				var p Packet
				err := s.Next(ctx, &p)
				if errors.Is(err, ErrIdle) {
					continue
				}
				if err != nil {
					return
				}
				client := binary.BigEndian.Uint16(p.Data[34:])
				if strconv.Itoa(int(client)) == port {
					client = binary.BigEndian.Uint16(p.Data[36:])
				}
				mu.Lock()
				if met[client] == nil {
					met[client] = map[int]int{}
				}
				met[client][i]++
				total++
				mu.Unlock()
			}
		})
	}
	answer := make([]byte, 16)
	for range flows {
		client, err := net.Dial("udp4", server.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		for range each {
			if _, err := client.Write([]byte("question")); err != nil {
				t.Fatal(err)
			}
			_, from, err := server.ReadFrom(answer)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := server.WriteTo([]byte("answer"), from); err != nil {
				t.Fatal(err)
			}
		}
		defer client.Close() // not before the end: the kernel would give its port to another one
	}
	for range 100 { // until everything was read
		mu.Lock()
		all := total >= 2*flows*each
		mu.Unlock()
		if all {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	readers.Wait()
	used := map[int]bool{}
	for client, workers := range met {
		if len(workers) != 1 {
			t.Errorf("the flow of port %d met several workers: %v", client, workers)
		}
		for w := range workers {
			used[w] = true
		}
	}
	if total != 2*flows*each || len(met) != flows || len(used) < 2 {
		t.Errorf("%d frames of %d flows at %d workers; want %d of %d at several", total, len(met), len(used), 2*flows*each, flows)
	}
}

func TestWhatCannotBeCapturedIsSaidWithWhatToDo(t *testing.T) {
	needRoot(t)
	_, err := OpenLive(LiveConfig{Iface: "lo", Filter: "port port port"})
	if err == nil || !strings.Contains(err.Error(), `filter "port port port"`) {
		t.Errorf("a wrong filter: %v", err)
	}
	_, err = OpenLive(LiveConfig{Iface: "nosuch0"})
	var gone *InterfaceError
	if !errors.As(err, &gone) || !strings.Contains(err.Error(), "lo") {
		t.Errorf("an interface that is not there: %v, want the ones that are", err)
	}
	_, err = OpenLive(LiveConfig{Iface: "nosuch0", Ring: true})
	if !errors.As(err, &gone) || !strings.Contains(err.Error(), "lo") {
		t.Errorf("a ring on an interface that is not there: %v, want the ones that are", err)
	}
	_, err = OpenLive(LiveConfig{Iface: "lo", Ring: true, Filter: "port port port"})
	if err == nil || !strings.Contains(err.Error(), `filter "port port port"`) {
		t.Errorf("a wrong filter for a ring: %v", err)
	}
	_, err = OpenLive(LiveConfig{Iface: "lo", NetNS: "/run/netns/nosuch"})
	if err == nil || !strings.Contains(err.Error(), "/run/netns/nosuch") {
		t.Errorf("a namespace that is not there: %v", err)
	}
}
