package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// connect joins the two namespaces by a wire.
func (s *Sandbox) connect(ctx context.Context) error {
	var err error
	if s.config.Delay > 0 {
		err = s.slowWire(ctx)
	} else {
		err = s.bareWire()
	}
	if err != nil {
		return err
	}
	if err := s.odoo.do(func() error { return address(odooAddresses(), true) }); err != nil {
		return err
	}
	return s.internet.do(func() error { return address(s.internetAddresses(), false) })
}

// bareWire is a veth pair: the kernel alone carries its frames. It is gone with its namespaces.
func (s *Sandbox) bareWire() error {
	return s.odoo.do(func() error {
		other, err := netns.GetFromPath(s.internet.path)
		if err != nil {
			return fmt.Errorf("open %s: %w", s.internet.path, err)
		}
		defer other.Close()
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: OdooInterface}, PeerName: OdooInterface, PeerNamespace: netlink.NsFd(other)}
		if err := netlink.LinkAdd(pair); err != nil {
			return fmt.Errorf("make a veth pair: %w", err)
		}
		return nil
	})
}

// slowWire is two tap devices and a forwarder that holds every frame for the delay. Kernels without netem cannot delay a veth pair, and without a delay a call is over before anybody could look at its caller.
func (s *Sandbox) slowWire(ctx context.Context) error {
	left, err := s.tap(s.odoo, OdooInterface)
	if err != nil {
		return err
	}
	right, err := s.tap(s.internet, OdooInterface)
	if err != nil {
		return errors.Join(err, left.Close())
	}
	var both sync.WaitGroup
	both.Go(func() { forward(ctx, left, right, s.config.Delay) })
	both.Go(func() { forward(ctx, right, left, s.config.Delay) })
	s.onClose(func() error {
		err := errors.Join(left.Close(), right.Close())
		both.Wait()
		return err
	})
	return nil
}

// tap opens a tap device inside a namespace (Linux Documentation/networking/tuntap.rst).
func (s *Sandbox) tap(n *namespace, name string) (f *os.File, err error) {
	err = n.do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun (modprobe tun?): %w", err)
		}
		req, err := unix.NewIfreq(name)
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			return errors.Join(fmt.Errorf("make tap device %s: %w", name, err), unix.Close(fd))
		}
		f = os.NewFile(uintptr(fd), "tap "+name)
		return nil
	})
	return f, err
}

// A frame on the wire and when it is due at the other end.
type frame struct {
	due  time.Time
	data []byte
}

// wireFrames is how many frames are on the wire at most in one direction; more are lost, as on any link.
const wireFrames = 4096

// forward carries frames from one tap to the other until either is closed.
func forward(ctx context.Context, from, to *os.File, delay time.Duration) {
	wire := make(chan frame, wireFrames)
	var out sync.WaitGroup
	out.Go(func() {
		for f := range wire {
			time.Sleep(time.Until(f.due))
			if _, err := to.Write(f.data); err != nil && errors.Is(err, os.ErrClosed) {
				continue // drain: the reader ends by itself
			}
		}
	})
	defer out.Wait()
	defer close(wire)
	buffer := make([]byte, 1<<16)
	for ctx.Err() == nil {
		n, err := from.Read(buffer)
		if err != nil {
			return // closed
		}
		select {
		case wire <- frame{time.Now().Add(delay), append([]byte(nil), buffer[:n]...)}:
		default:
		}
	}
}

func odooAddresses() []string {
	return []string{OdooAddr4.String() + "/24", OdooAddr6.String() + "/64"}
}

func (s *Sandbox) internetAddresses() []string {
	list := []string{Gateway4.String() + "/24", Gateway6.String() + "/64", Resolver.String() + "/24"}
	seen := map[string]bool{}
	for _, h := range s.config.Hosts {
		for _, a := range h.Addrs {
			bits := "/24"
			if a.Is6() {
				bits = "/64"
			}
			if text := a.String() + bits; !seen[text] {
				seen[text] = true
				list = append(list, text)
			}
		}
	}
	return list
}

// address brings the namespace's interfaces up and gives eth0 its addresses; with routes, everything else goes to the gateway.
func address(addresses []string, routes bool) error {
	for _, name := range []string{"lo", OdooInterface} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if name == OdooInterface {
			if err := addAddresses(link, addresses); err != nil {
				return err
			}
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("bring %s up: %w", name, err)
		}
		if name == OdooInterface && routes {
			if err := addRoutes(link); err != nil {
				return err
			}
		}
	}
	return nil
}

func addAddresses(link netlink.Link, addresses []string) error {
	for _, text := range addresses {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("address %s: %w", text, err)
		}
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD // usable at once: nobody else is on this wire
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("add address %s: %w", text, err)
		}
	}
	return nil
}

func addRoutes(link netlink.Link) error {
	for _, gw := range []net.IP{Gateway4.AsSlice(), Gateway6.AsSlice()} {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: gw}
		if gw.To4() == nil {
			route.Dst = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
		}
		if err := netlink.RouteAdd(route); err != nil {
			return fmt.Errorf("add the default route through %s: %w", gw, err)
		}
	}
	return nil
}
