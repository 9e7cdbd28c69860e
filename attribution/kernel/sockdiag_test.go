package kernel

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func openDiag(t *testing.T) *Diag {
	t.Helper()
	d, err := OpenDiag("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// inodeOf is what stat says about a connection's file descriptor: the truth that sock_diag has to meet.
func inodeOf(t *testing.T, c interface{ File() (*os.File, error) }) uint32 {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		t.Fatal(err)
	}
	return uint32(s.Ino)
}

func addrPort(t *testing.T, a net.Addr) netip.AddrPort {
	t.Helper()
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTCPSocketIsFoundByItsExactEnds(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		d := openDiag(t)
		local, remote := addrPort(t, c.LocalAddr()), addrPort(t, c.RemoteAddr())
		s, err := d.Lookup(unix.IPPROTO_TCP, local, remote)
		if err != nil || s.Inode != inodeOf(t, c.(*net.TCPConn)) {
			t.Errorf("%s: inode %d, error %v; the socket's inode is %d", address, s.Inode, err, inodeOf(t, c.(*net.TCPConn)))
		}
		other := netip.AddrPortFrom(local.Addr(), local.Port()^1)
		if s, err := d.Lookup(unix.IPPROTO_TCP, other, remote); !errors.Is(err, ErrNoSocket) {
			t.Errorf("%s: a socket that is not there: %+v, error %v", address, s, err)
		}
	}
}

func TestUDPSocketIsFoundConnectedOrNot(t *testing.T) {
	d := openDiag(t)
	for _, network := range []struct{ name, address string }{{"udp4", "127.0.0.1:0"}, {"udp6", "[::1]:0"}} {
		server, err := net.ListenPacket(network.name, network.address)
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		c, err := net.Dial(network.name, server.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		remote := addrPort(t, server.LocalAddr())
		s, err := d.Lookup(unix.IPPROTO_UDP, addrPort(t, c.LocalAddr()), remote)
		if err != nil || s.Inode != inodeOf(t, c.(*net.UDPConn)) {
			t.Errorf("%s connected: inode %d, error %v; want %d", network.name, s.Inode, err, inodeOf(t, c.(*net.UDPConn)))
		}
		far := netip.AddrPortFrom(remote.Addr(), 9)
		s, err = d.Lookup(unix.IPPROTO_UDP, remote, far)
		if err != nil || s.Inode != inodeOf(t, server.(*net.UDPConn)) {
			t.Errorf("%s unconnected: inode %d, error %v; want %d", network.name, s.Inode, err, inodeOf(t, server.(*net.UDPConn)))
		}
	}
}
