package tap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Interface is a network interface of the present namespace.
type Interface struct {
	Name      string
	Addresses []netip.Addr
	Up        bool
	Loopback  bool
}

// Interfaces lists the interfaces of the calling thread's network namespace, in the kernel's order.
func Interfaces() ([]Interface, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	var out []Interface
	for _, i := range list {
		one := Interface{Name: i.Name, Up: i.Flags&net.FlagUp != 0, Loopback: i.Flags&net.FlagLoopback != 0}
		addresses, err := i.Addrs()
		if err != nil {
			continue // it went away between the two questions
		}
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					one.Addresses = append(one.Addresses, ip.Unmap())
				}
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// InNamespace runs f in the network namespace at path, on a thread that is thrown away; with "" it simply runs f. A socket
// stays in the namespace it was opened in, so the capture can be read from anywhere afterwards.
func InNamespace(path string, f func() error) error {
	if path == "" {
		return f()
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		result <- func() error {
			h, err := netns.GetFromPath(path)
			if err != nil {
				return fmt.Errorf("open network namespace %s: %w", path, err)
			}
			defer h.Close()
			if err := netns.Set(h); errors.Is(err, unix.EPERM) {
				return &RightsError{Doing: "enter network namespace " + path, Missing: "CAP_SYS_ADMIN", Fix: grant("cap_sys_admin"), Err: err}
			} else if err != nil {
				return fmt.Errorf("enter network namespace %s: %w", path, err)
			}
			return f()
		}()
	}()
	return <-result
}

// ifaceNames tells the names behind the interface numbers of frames from "any". One goroutine owns it.
type ifaceNames struct {
	names map[int]string
	asked time.Time
}

// askEvery is how often an unknown number makes the kernel be asked again: interfaces come and go.
const askEvery = time.Second

func (n *ifaceNames) of(c LiveConfig, index int) string {
	if name, ok := n.names[index]; ok {
		return name
	}
	if time.Since(n.asked) >= askEvery {
		n.asked = time.Now()
		n.names = map[int]string{}
		// Without an answer rows say "any": the frame counts, not the name.
		_ = InNamespace(c.NetNS, func() error {
			list, err := net.Interfaces()
			for _, i := range list {
				n.names[i.Index] = i.Name
			}
			return err
		})
	}
	if name, ok := n.names[index]; ok {
		return name
	}
	return c.Iface
}
