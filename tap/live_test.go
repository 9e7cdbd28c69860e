package tap

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
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
	for iface, link := range map[string]LinkType{"lo": LinkEthernet, "any": LinkLinuxSLL} {
		server, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(server.LocalAddr().String())
		s, err := OpenLive(LiveConfig{Iface: iface, Filter: "udp and dst port " + port})
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
			if p.Link != link || p.Iface != iface || p.Data[len(p.Data)-2] != 'n' || time.Since(time.Unix(0, p.Time)) > time.Minute {
				t.Fatalf("%s: packet %+v", iface, p)
			}
			if i := p.Data[len(p.Data)-1]; got[i] == 0 {
				got[i]++
				seen++
			}
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
	_, err = OpenLive(LiveConfig{Iface: "lo", NetNS: "/run/netns/nosuch"})
	if err == nil || !strings.Contains(err.Error(), "/run/netns/nosuch") {
		t.Errorf("a namespace that is not there: %v", err)
	}
}
