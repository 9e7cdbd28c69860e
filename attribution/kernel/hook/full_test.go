package hook

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullRingIsCountedAndForgotten makes more calls than the ring has room for, while nobody reads it.
func TestFullRingIsCountedAndForgotten(t *testing.T) {
	h := attached(t)
	server := instantServer(t)
	connect := func() (*Call, bool) {
		c, err := net.Dial("tcp4", server.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		local, remote := ends2(c)
		return h.Lookup(ownNamespace(t), 6, local, remote)
	}
	early, err := net.Dial("tcp4", server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	local, remote := ends2(early)
	if _, ok := h.Lookup(ownNamespace(t), 6, local, remote); !ok {
		t.Fatal("the call was not recorded")
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const calls = ringSize/callSize + 5000
	for range calls {
		if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 9}); err != nil {
			t.Fatal(err)
		}
	}
	if c, ok := h.Lookup(ownNamespace(t), 6, local, remote); ok {
		t.Errorf("after records were lost an old one still names %+v", c)
	}
	s := h.Stats()
	if s.Lost == 0 || s.Calls+s.Lost < calls {
		t.Errorf("%d calls made: %+v", calls, s)
	}
	if _, ok := connect(); !ok {
		t.Error("after the ring was emptied nothing is recorded")
	}
	if again := h.Stats(); again.Lost != s.Lost {
		t.Errorf("more were lost: %+v", again)
	}
}
