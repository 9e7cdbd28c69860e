package hook

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// needRoot fails in CI and skips on a developer's machine: BPF needs rights.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root to attach programs to the kernel; CI must run as root")
	}
	t.Skip("needs root to attach programs to the kernel: run make test")
}

func attached(t testing.TB) *Hook {
	t.Helper()
	needRoot(t)
	h, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s := h.Stats(); s.Malformed != 0 {
			t.Errorf("%+v", s)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// ownNamespace is the cookie of this process's network namespace.
func ownNamespace(t testing.TB) uint64 {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		t.Fatal(err)
	}
	return cookie
}

func ends2(c net.Conn) (local, remote netip.AddrPort) {
	return netip.MustParseAddrPort(c.LocalAddr().String()), netip.MustParseAddrPort(c.RemoteAddr().String())
}

func TestCallerIsFoundByPacketAfterItsSocketWasClosed(t *testing.T) {
	h := attached(t)
	for _, to := range []struct {
		network, address string
		proto            uint8
	}{{"tcp4", "127.0.0.1:0", 6}, {"tcp6", "[::1]:0", 6}} {
		l, err := net.Listen(to.network, to.address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := net.Dial(to.network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		local, remote := ends2(c)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		call, ok := h.Lookup(ownNamespace(t), to.proto, local, remote)
		if !ok || call.PID != os.Getpid() || call.Remote != remote || call.UID != 0 || call.Proto != to.proto {
			t.Errorf("%s: %+v, found %v, stats %+v", to.network, call, ok, h.Stats())
		}
	}
}
